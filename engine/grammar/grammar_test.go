package grammar

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// pieces are the tokens of the tests' vocabulary that have several bytes. They cross the borders of
// a grammar's parts.
var pieces = []string{`{"`, `": `, `"a`, `",`, `"}`, `}]`, `tru`, `1.`, `e-`, `\u`, "é", "\xe2\x82",
	`<tool`, `_call>`, `l>x`, "\n  "}

// stop is the token that ends an answer. The first 256 tokens are the bytes, and pieces follow.
const stop = 400

func appendToken(dst []byte, id int32) []byte {
	switch {
	case id < 256:
		return append(dst, byte(id))
	case int(id) < 256+len(pieces):
		return append(dst, pieces[id-256]...)
	}
	return dst
}

var vocabulary = NewVocabulary(stop+1, appendToken, []int32{stop})

// TestRefused checks that a keyword that cannot be guaranteed is refused by its name.
func TestRefused(t *testing.T) {
	for source, want := range map[string]string{
		`{"type":"string","pattern":"(a)\\1"}`:                                                             `#: the keyword "pattern" cannot be held: "(a)\\1" has \1, which is not supported`,
		`{"type":"string","pattern":"a(?<=(?=b).)"}`:                                                       `looks around within what it looks for behind`,
		`{"type":"object","properties":{"a":{"multipleOf":3000}}}`:                                         `#/properties/a: the keyword "multipleOf" is supported up to`,
		`{"type":"object","properties":{"a/b":{"not":{"format":"color"}}}}`:                                `#/properties/a~1b: the keyword "not" cannot be held: the opposite of "format" is not supported`,
		`{"if":{"uniqueItems":true},"then":false}`:                                                         `#: the keyword "if" cannot be held: the opposite of "uniqueItems"`,
		`{"not":{"not":{"format":"color"}}}`:                                                               `#/not/not: the keyword "format" "color" is not supported`,
		`{"not":{"properties":{"a":{"format":"color"}}}}`:                                                  `#: the keyword "not" cannot be held: the opposite of "format" is not supported`,
		`{"contains":{"const":1},"minItems":3000}`:                                                         `#: the keyword "contains" is supported for few items only`,
		`{"contains":{},"minContains":-1}`:                                                                 `"contains" has bounds that are no whole numbers`,
		`{"$dynamicRef":"#x","$defs":{"a":{"$dynamicAnchor":"x"},"b":{"$dynamicAnchor":"x"}}}`:             `"$dynamicRef" to "#x" is supported only where one schema has that name`,
		`{"allOf":[{"unevaluatedItems":false}],"prefixItems":[{}]}`:                                        `#/allOf/0: the keyword "unevaluatedItems" is not supported here`,
		`{"allOf":[{"type":"string","pattern":"^#"},{"format":"color"}]}`:                                  `#/allOf/1: the keyword "format" "color" is not supported`,
		`{"type":"string","format":"color"}`:                                                               `#: the keyword "format" "color" is not supported`,
		`{"type":"string","maxLength":1.5}`:                                                                `"maxLength" must be a whole number`,
		`{"type":"string","minLength":null}`:                                                               `"minLength" must be a whole number`,
		`{"type":"integer","minimum":null}`:                                                                `"minimum" must be a number`,
		`{"$ref":"#/$defs/x"}`:                                                                             `points to "#/$defs/x"`,
		`{"$ref":"#"}`:                                                                                     `"$ref" refers to itself`,
		`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`:                                                         `refers to itself`,
		`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`:                               `nothing satisfies it`,
		`{"type":"integer","minimum":5,"maximum":4}`:                                                       `nothing satisfies it`,
		`{"type":"object","properties":{"n":{"type":"integer","minimum":5,"maximum":4}},"required":["n"]}`: `#/properties/n: the schema cannot be held: nothing satisfies it`,
		`{"oneOf":[{"type":"string"},{"format":"color"}]}`:                                                 `#: the keyword "oneOf" is supported only`,
		`{"oneOf":[{"type":"array"},{"uniqueItems":true}]}`:                                                `those at 0 and 1 may allow the same, and the second cannot be held: the opposite of "uniqueItems" is not supported`,
		`{"type":"object","additionalProperties":false,"required":["a"]}`:                                  `names "a", which is not a property`,
		`{"type":"thing"}`: `unknown type "thing"`,
		`[]`:               `is not a schema`,
	} {
		if _, err := Schema([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

// accepts reports whether a text is an answer within g.
func accepts(g *Grammar, text string) bool {
	m := newMachine(g, 0)
	at := m.run(m.start(), []byte(text))
	return at != dead && m.states[at].accept
}

// TestCalls checks that an answer with tools is text without the beginning of a call and then whole
// calls.
func TestCalls(t *testing.T) {
	form := Form{Open: "<tool_call>", Name: `{"name": "`, Args: `", "arguments": `, Close: `}</tool_call>`,
		Next: "\n" + `<tool_call>{"name": "`}
	tools := []Tool{{"f", []byte(`{"type":"object","properties":{"x":{"type":"integer"}},
		"required":["x"],"additionalProperties":false}`), false}, {Name: "g"}}
	call := `<tool_call>{"name": "f", "arguments": {"x":1}}</tool_call>`
	other := `<tool_call>{"name": "g", "arguments": {}}</tool_call>`
	for _, test := range []struct {
		required, many bool
		format         string
		good, bad      []string
	}{
		{false, true, "", []string{"", "text", call, "a<tool_ca <<tool" + call + "\n" + other},
			[]string{call + "x", "<tool_call>", call + other, strings.Replace(call, "1", "true", 1)}},
		{false, false, "", []string{"text" + other}, []string{call + "\n" + other}},
		{true, true, "", []string{call, other}, []string{"", "x" + call, call + "\n" + other}},
		{false, true, `{"type":"boolean"}`, []string{"true", call}, []string{"", "text", "true" + call}},
	} {
		var format []byte
		if test.format != "" {
			format = []byte(test.format)
		}
		g, _, err := Spec{Tools: tools, Form: form, Required: test.required, Many: test.many,
			Format: format}.Compile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range test.good {
			if !accepts(g, text) {
				t.Errorf("%+v: %q is refused", test, text)
			}
		}
		for _, text := range test.bad {
			if accepts(g, text) {
				t.Errorf("%+v: %q is accepted", test, text)
			}
		}
	}
}

// TestRanges checks every integer around random bounds, and that bounds take few rules: a schema
// with many of them must not be too large.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		low := r.IntN(1500) - 200
		high := low + r.IntN(1200)
		source := fmt.Sprintf(`{"type":"integer","minimum":%d,"maximum":%d}`, low, high)
		g, err := Schema([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		for n := low - 30; n <= high+30; n++ {
			if got, want := accepts(g, fmt.Sprint(n)), low <= n && n <= high; got != want {
				t.Fatalf("%d between %d and %d: %t", n, low, high, got)
			}
		}
	}
	g, err := Schema([]byte(`{"type":"number","minimum":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(g.rules); n > 1500 {
		t.Errorf("a number with a minimum takes %d rules", n)
	}
}

// TestInvalidUTF8 checks that an answer is UTF-8 even if the schema is not.
func TestInvalidUTF8(t *testing.T) {
	g, err := Schema([]byte("{\"const\":\"\xff\"}"))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := write(t, g, rand.New(rand.NewPCG(1, 1))); text != "\"\ufffd\"" {
		t.Errorf("wrote %q", text)
	}
}

// TestAmbiguous checks that a small schema with very many ways to the same value costs no more than
// its size.
func TestAmbiguous(t *testing.T) {
	var s strings.Builder
	s.WriteString(`{"$ref":"#/$defs/0","$defs":{`)
	for i := range 60 {
		fmt.Fprintf(&s, `"%d":{"anyOf":[{"$ref":"#/$defs/%[2]d"},{"$ref":"#/$defs/%[2]d"}]},`, i, i+1)
	}
	s.WriteString(`"60":{"const":7}}}`)
	g, err := Schema([]byte(s.String()))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := write(t, g, rand.New(rand.NewPCG(1, 1))); text != "7" {
		t.Errorf("wrote %q", text)
	}
}

// BenchmarkMask measures the mask for one token with a vocabulary as large as Gemma's: in a new
// state, and in a known state that allows many tokens or few.
func BenchmarkMask(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const size = 262144
	texts := make([]string, size)
	for i := range texts {
		for range 1 + r.IntN(8) {
			texts[i] += string(rune('a' + r.IntN(26)))
		}
	}
	appendText := func(dst []byte, id int32) []byte { return append(dst, texts[id]...) }
	v := NewVocabulary(size, appendText, nil)
	g, err := Schema([]byte(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("state=new", func(b *testing.B) {
		for b.Loop() {
			m := newMachine(g, 0)
			v.allowed(m, m.run(m.start(), []byte(`{"name":"`)))
		}
	})
	logits := make([]float32, size)
	for name, text := range map[string]string{"many": `{"name":"`, "none": `{`} {
		m := newMachine(g, 0)
		set := v.allowed(m, m.run(m.start(), []byte(text)))
		b.Run("state=known/allows="+name, func(b *testing.B) {
			for b.Loop() {
				ruleOut(logits, set)
			}
		})
	}
}

package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// The vocabulary of the tests: every byte, some longer tokens that cross what a grammar tells apart, and a stop token.
var pieces = []string{`{"`, `": `, `"a`, `",`, `"}`, `}]`, `tru`, `1.`, `e-`, `\u`, "é", "\xe2\x82", `<tool`, `_call>`, `l>x`, "\n  "}

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

// write lets chance write an answer within a grammar; false when it did not come to an end.
func write(t *testing.T, g *Grammar, r *rand.Rand) (string, bool) {
	t.Helper()
	mask := g.Mask(vocabulary)
	logits := make([]float32, stop+1)
	var ids []int32
	var text []byte
	for len(ids) < 1500 {
		clear(logits)
		mask(ids, logits)
		var allowed []int32
		for id, l := range logits {
			if !math.IsInf(float64(l), -1) {
				allowed = append(allowed, int32(id))
			}
		}
		if len(allowed) == 0 {
			t.Fatalf("after %q nothing is allowed", text)
		}
		id := allowed[r.IntN(len(allowed))]
		// Chance alone seldom closes what it opens.
		if closing := strings.IndexFunc(`"}]1,`, func(c rune) bool { return logits[c] == 0 }); closing >= 0 && r.IntN(3) > 0 {
			id = int32(`"}]1,`[closing])
		}
		if logits[stop] == 0 && r.IntN(2) == 0 || id == stop {
			return string(text), true
		}
		ids = append(ids, id)
		text = appendToken(text, id)
	}
	return "", false
}

// valid is JSON Schema by its definition, for the keywords that Schema knows.
func valid(root, schema any, v any) bool {
	s, ok := schema.(map[string]any)
	if !ok {
		return schema.(bool)
	}
	if ref, ok := s["$ref"].(string); ok {
		at := root
		for part := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
			if part != "" {
				at = at.(map[string]any)[part]
			}
		}
		return valid(root, at, v)
	}
	count := func(key string) (n int) {
		for _, sub := range s[key].([]any) {
			if valid(root, sub, v) {
				n++
			}
		}
		return n
	}
	if s["anyOf"] != nil && count("anyOf") == 0 || s["oneOf"] != nil && count("oneOf") != 1 || s["allOf"] != nil && count("allOf") != len(s["allOf"].([]any)) {
		return false
	}
	if c, ok := s["const"]; ok && !reflect.DeepEqual(c, v) {
		return false
	}
	if e, ok := s["enum"].([]any); ok {
		found := false
		for _, c := range e {
			found = found || reflect.DeepEqual(c, v)
		}
		if !found {
			return false
		}
	}
	if !hasType(s["type"], v) {
		return false
	}
	number := func(key string, preset float64) float64 {
		if n, ok := s[key].(float64); ok {
			return n
		}
		return preset
	}
	switch v := v.(type) {
	case string:
		n := float64(utf8.RuneCountInString(v))
		return n >= number("minLength", 0) && n <= number("maxLength", 1e9)
	case float64:
		return v >= number("minimum", -1e300) && v <= number("maximum", 1e300) && v > number("exclusiveMinimum", -1e300) && v < number("exclusiveMaximum", 1e300)
	case []any:
		for _, item := range v {
			if s["items"] != nil && !valid(root, s["items"], item) {
				return false
			}
		}
		return float64(len(v)) >= number("minItems", 0) && float64(len(v)) <= number("maxItems", 1e9)
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		for name, item := range v {
			sub, ok := properties[name]
			if !ok {
				sub, ok = s["additionalProperties"]
			}
			if ok && !valid(root, sub, item) {
				return false
			}
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				return false
			}
		}
	}
	return true
}

func hasType(types, v any) bool {
	switch t := types.(type) {
	case []any:
		for _, one := range t {
			if hasType(one, v) {
				return true
			}
		}
		return false
	case string:
		f, isNumber := v.(float64)
		switch t {
		case "integer":
			return isNumber && f == math.Trunc(f)
		case "number":
			return isNumber
		}
		kind := map[string]reflect.Kind{"string": reflect.String, "boolean": reflect.Bool, "array": reflect.Slice, "object": reflect.Map}[t]
		return reflect.ValueOf(v).Kind() == kind // null has no kind
	}
	return true
}

// random makes a schema.
func random(r *rand.Rand, depth int) any {
	n := r.IntN(13)
	if depth == 0 {
		n %= 7
	}
	sub := func() any { return random(r, depth-1) }
	low, more := r.IntN(4), r.IntN(4)
	switch n {
	case 0:
		return map[string]any{"type": "string", "minLength": low, "maxLength": low + more}
	case 1:
		return map[string]any{"type": "integer", "minimum": r.IntN(2000) - 1000, "exclusiveMaximum": r.IntN(2000)}
	case 2:
		return map[string]any{"type": "number", "exclusiveMinimum": float64(r.IntN(200)-100) / 8, "maximum": 3 + r.IntN(300)}
	case 3:
		return map[string]any{"enum": []any{"a", 1, "é\n", nil, true, []any{1}}, "type": []any{"string", "null", "array"}}
	case 4:
		return map[string]any{"const": map[string]any{"k": "<&>"}}
	case 5:
		return map[string]any{"type": []any{"boolean", "null", "integer"}}
	case 6:
		return map[string]any{"type": "number"}
	case 7, 8:
		return map[string]any{"type": "array", "items": sub(), "minItems": low, "maxItems": low + more}
	case 9:
		return map[string]any{"type": "object", "additionalProperties": sub()}
	case 10:
		return map[string]any{"anyOf": []any{sub(), sub()}}
	case 11:
		return map[string]any{"oneOf": []any{map[string]any{"type": "object", "properties": map[string]any{"self": map[string]any{"$ref": "#"}}}, map[string]any{"type": "string"}}}
	default:
		return map[string]any{"type": "object", "properties": map[string]any{"a": sub(), "b \"q": sub(), "c": sub()}, "required": []any{"c", "b \"q", "z"}}
	}
}

// checkSchema holds what chance writes within a schema's grammar against the schema.
func checkSchema(t *testing.T, source []byte, r *rand.Rand) {
	t.Helper()
	g, err := Schema(source)
	if err != nil {
		if _, ok := errors.AsType[*SchemaError](err); !ok {
			t.Fatalf("%s: %v", source, err)
		}
		return
	}
	var schema any
	json.Unmarshal(source, &schema)
	for range 5 {
		text, ok := write(t, g, r)
		if !ok {
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil || !utf8.ValidString(text) {
			t.Fatalf("%s: wrote %q: %v", source, text, err)
		}
		if !valid(schema, schema, v) {
			t.Fatalf("%s: wrote %q, which is not valid", source, text)
		}
	}
}

// Whatever chance writes within the grammar of any schema is valid under it.
func TestSchema(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		source, err := json.Marshal(random(r, 3))
		if err != nil {
			t.Fatal(err)
		}
		checkSchema(t, source, r)
	}
}

func FuzzSchema(f *testing.F) {
	for _, s := range []string{`true`, `{}`, `{"type":"object"}`, `{"type":"integer","minimum":-5,"maximum":120}`,
		`{"type":"object","properties":{"n":{"$ref":"#"},"v":{"type":"string"}},"required":["v"],"additionalProperties":false}`,
		`{"$defs":{"a":{"enum":[1,2]}},"type":"array","items":{"$ref":"#/$defs/a"},"maxItems":3}`} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, source []byte, seed uint64) {
		// The tests' own validator knows neither names that fold together nor escapes in pointers.
		lower := strings.ToLower(string(source))
		if len(source) > 400 || !json.Valid(source) || strings.ContainsAny(lower, "~%") || strings.Contains(lower, `$ref`) && !strings.Contains(lower, `"#"`) {
			t.Skip()
		}
		checkSchema(t, source, rand.New(rand.NewPCG(seed, 0)))
	})
}

// What cannot be guaranteed is refused by its name.
func TestRefused(t *testing.T) {
	for source, want := range map[string]string{
		`{"type":"string","pattern":"a"}`:                                    `#: the keyword "pattern" is not supported`,
		`{"type":"object","properties":{"a":{"multipleOf":3}}}`:              `#/properties/a: the keyword "multipleOf" is not supported`,
		`{"type":"string","maxLength":1e6}`:                                  `"maxLength" must be a whole number`,
		`{"$ref":"#/$defs/x"}`:                                               `points to "#/$defs/x"`,
		`{"$ref":"#"}`:                                                       `"$schema" cannot be kept to`,
		`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`:                           `refers to itself`,
		`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`: `nothing satisfies it`,
		`{"type":"integer","minimum":5,"maximum":4}`:                         `nothing satisfies it`,
		`{"oneOf":[{"type":"integer"},{"type":"number"}]}`:                   `"oneOf" is supported only`,
		`{"anyOf":[{"type":"null"}],"type":"null"}`:                          `"anyOf" is not supported beside "type"`,
		`{"type":"object","additionalProperties":false,"required":["a"]}`:    `names "a", which is no property`,
		`{"type":"thing"}`:                                                   `unknown type "thing"`,
		`[]`:                                                                 `is not a schema`,
	} {
		if _, err := Schema([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

// An answer with tools is text without the trigger and then whole calls.
func TestCalls(t *testing.T) {
	form := Form{"<tool_call>", `{"name": "`, `", "arguments": `, `}</tool_call>`}
	tools := []Tool{{"f", []byte(`{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],"additionalProperties":false}`)}, {Name: "g"}}
	call := `<tool_call>{"name": "f", "arguments": {"x":1}}</tool_call>`
	other := `<tool_call>{"name": "g", "arguments": {}}</tool_call>`
	for _, test := range []struct {
		required, many bool
		format         string
		good, bad      []string
	}{
		{false, true, "", []string{"", "text", call, "a<tool_ca <<tool" + call + "\n" + other}, []string{call + "x", "<tool_call>", call + other, strings.Replace(call, "1", "true", 1)}},
		{false, false, "", []string{"text" + other}, []string{call + "\n" + other}},
		{true, true, "", []string{call, other}, []string{"", "x" + call, call + "\n" + other}},
		{false, true, `{"type":"boolean"}`, []string{"true", call}, []string{"", "text", "true" + call}},
	} {
		var format []byte
		if test.format != "" {
			format = []byte(test.format)
		}
		g, err := Calls(tools, form, test.required, test.many, format)
		if err != nil {
			t.Fatal(err)
		}
		accepts := func(text string) bool {
			m := newMachine(g)
			at := m.run(m.start(), []byte(text))
			return at != dead && m.states[at].accept
		}
		for _, text := range test.good {
			if !accepts(text) {
				t.Errorf("%+v: %q is refused", test, text)
			}
		}
		for _, text := range test.bad {
			if accepts(text) {
				t.Errorf("%+v: %q is accepted", test, text)
			}
		}
	}
}

// A small schema with very many ways to the same value costs no more than its size.
func TestAmbiguous(t *testing.T) {
	var s strings.Builder
	s.WriteString(`{"$ref":"#/$defs/0","$defs":{`)
	for i := range 60 {
		fmt.Fprintf(&s, `"%d":{"anyOf":[{"$ref":"#/$defs/%d"},{"$ref":"#/$defs/%d"}]},`, i, i+1, i+1)
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

// BenchmarkMask is what a token costs in a state that was not met before, and in one that was and allows many or few tokens,
// with a vocabulary as large as Gemma's.
func BenchmarkMask(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const size = 262144
	texts := make([]string, size)
	for i := range texts {
		for range 1 + r.IntN(8) {
			texts[i] += string(rune('a' + r.IntN(26)))
		}
	}
	v := NewVocabulary(size, func(dst []byte, id int32) []byte { return append(dst, texts[id]...) }, nil)
	g, err := Schema([]byte(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("state=new", func(b *testing.B) {
		for b.Loop() {
			m := newMachine(g)
			v.allowed(m, m.run(m.start(), []byte(`{"name":"`)))
		}
	})
	logits := make([]float32, size)
	for name, text := range map[string]string{"many": `{"name":"`, "none": `{`} {
		m := newMachine(g)
		set := v.allowed(m, m.run(m.start(), []byte(text)))
		b.Run("state=known/allows="+name, func(b *testing.B) {
			for b.Loop() {
				rule(logits, set)
			}
		})
	}
}

package generate

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"loadstone/engine/grammar"
)

// agentTools are tools of an agent, with size bytes of schemas at least.
func agentTools(size int) (tools []grammar.Tool) {
	for n := 0; n < size; {
		schema := fmt.Sprintf(`{"type":"object","properties":{"path":{"type":"string"},"mode":{"enum":`+
			`["add","rm"]},"line":{"type":"integer","minimum":%d,"maximum":100000},"tags":{"type":`+
			`"array","items":{"type":"string","maxLength":40},"maxItems":8},"deep":{"type":"object",`+
			`"properties":{"a":{"type":"boolean"},"b":{"anyOf":[{"type":"null"},{"type":"number"}]}}}},`+
			`"required":["path"],"additionalProperties":false}`, len(tools))
		tools = append(tools, grammar.Tool{Name: fmt.Sprintf("tool%d", len(tools)),
			Parameters: []byte(schema)})
		n += len(schema)
	}
	return tools
}

// TestGrammars: a grammar is compiled once for all requests that have it, and for no other.
func TestGrammars(t *testing.T) {
	g := &Generator{grammars: newGrammars(1 << 20)}
	first := grammar.Spec{Tools: agentTools(1000), Form: hermes.Form}
	one, err := g.compiled(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	again := grammar.Spec{Tools: agentTools(1000), Form: hermes.Form}
	if two, err := g.compiled(t.Context(), again); err != nil || two != one {
		t.Errorf("the same tools are compiled again: %v", err)
	}
	// Whatever is another in a spec, the key is another.
	keys := map[specKey]string{keyOf(first): "the first"}
	for name, change := range map[string]func(*grammar.Spec){
		"Format":         func(s *grammar.Spec) { s.Format = []byte("{}") },
		"empty Format":   func(s *grammar.Spec) { s.Format = []byte{} },
		"Loose":          func(s *grammar.Spec) { s.Loose = true },
		"Required":       func(s *grammar.Spec) { s.Required = true },
		"Many":           func(s *grammar.Spec) { s.Many = true },
		"Reach":          func(s *grammar.Spec) { s.Reach = 100 },
		"Open":           func(s *grammar.Spec) { s.Form.Open += "x" },
		"Name":           func(s *grammar.Spec) { s.Form.Name += "x" },
		"Args":           func(s *grammar.Spec) { s.Form.Args += "x" },
		"Close":          func(s *grammar.Spec) { s.Form.Close += "x" },
		"Next":           func(s *grammar.Spec) { s.Form.Next += "x" },
		"End":            func(s *grammar.Spec) { s.Form.End += "x" },
		"ID":             func(s *grammar.Spec) { s.Form.ID += "x" },
		"Lead":           func(s *grammar.Spec) { s.Form.Lead += "x" },
		"AtStart":        func(s *grammar.Spec) { s.Form.AtStart = true },
		"XML":            func(s *grammar.Spec) { s.Form.XML = true },
		"thinks":         func(s *grammar.Spec) { s.Thinking.Open = "x" },
		"thinks, ends":   func(s *grammar.Spec) { s.Thinking.Close = "x" },
		"thinks already": func(s *grammar.Spec) { s.Thinking.Begun = true },
		"fewer tools":    func(s *grammar.Spec) { s.Tools = s.Tools[1:] },
		"tool's name":    func(s *grammar.Spec) { s.Tools[0].Name += "x" },
		"tool's schema":  func(s *grammar.Spec) { s.Tools[0].Parameters = []byte("{}") },
		"tool's nothing": func(s *grammar.Spec) { s.Tools[0].Parameters = nil },
		"loose tool":     func(s *grammar.Spec) { s.Tools[0].Loose = true },
		"border": func(s *grammar.Spec) {
			s.Tools[0].Name += string(s.Tools[0].Parameters[:1])
			s.Tools[0].Parameters = s.Tools[0].Parameters[1:]
		},
	} {
		other := grammar.Spec{Tools: agentTools(1000), Form: hermes.Form}
		change(&other)
		if was, ok := keys[keyOf(other)]; ok {
			t.Errorf("%s has the key of %s", name, was)
		}
		keys[keyOf(other)] = name
	}
	if n := reflect.TypeFor[grammar.Spec]().NumField() + reflect.TypeFor[grammar.Tool]().NumField() +
		reflect.TypeFor[grammar.Form]().NumField() +
		reflect.TypeFor[grammar.Thinking]().NumField(); n != 24 {
		t.Errorf("a spec has %d fields: is the new one in its key, and above?", n)
	}
}

// TestGrammarsForget: memory is bounded, what was used longest ago goes first, and what is too
// large is not kept.
func TestGrammarsForget(t *testing.T) {
	spec := func(n int) grammar.Spec {
		return grammar.Spec{Format: fmt.Appendf(nil, `{"const":"%d%s"}`, n, strings.Repeat("x", 500))}
	}
	g := &Generator{grammars: newGrammars(1 << 20)}
	compile := func(n int) *compiledSpec {
		c, err := g.compiled(context.Background(), spec(n))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := compile(1), compile(2)
	g.grammars.limit = 3 * first.grammar.Size()
	compile(1) // is used again, so 2 is now the oldest
	compile(3)
	compile(4)
	if g.grammars.bytes > g.grammars.limit || len(g.grammars.known) != g.grammars.recent.Len() {
		t.Errorf("%d bytes, %d grammars", g.grammars.bytes, len(g.grammars.known))
	}
	if compile(1) != first || compile(2) == second {
		t.Error("not the oldest one is forgotten")
	}
	g.grammars.limit = 10
	if once, again := compile(9), compile(9); once == again {
		t.Error("a grammar beyond the limit is kept")
	}
}

// BenchmarkGrammar measures what the schemas of a request cost, 10 KB of them, where they are new
// and where a request had them before.
func BenchmarkGrammar(b *testing.B) {
	spec := grammar.Spec{Tools: agentTools(10_000), Form: hermes.Form, Many: true}
	for _, state := range []string{"new", "known"} {
		b.Run("schemas=10KB/state="+state, func(b *testing.B) {
			b.ReportAllocs()
			g := &Generator{grammars: newGrammars(grammarBytes)}
			for b.Loop() {
				if state == "new" {
					g.grammars = newGrammars(grammarBytes)
				}
				if _, err := g.compiled(b.Context(), spec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

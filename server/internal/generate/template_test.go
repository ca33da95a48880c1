package generate

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
)

// published returns the tokenizer of the embedded model with the chat template of a family, as the
// tokenizer's own tests have it.
func published(t *testing.T, name string) *tokenizer.Model {
	t.Helper()
	data, err := os.ReadFile("../../../engine/tokenizer/testdata/templates/chats.json")
	if err != nil {
		t.Fatal(err)
	}
	var chats struct {
		Templates []struct{ Name, Source string }
	}
	if err := json.Unmarshal(data, &chats); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range []string{"tokenizer.json", "tokenizer_config.json"} {
		if b, err := fs.ReadFile(tiny.FS, f); err == nil {
			files[f] = &fstest.MapFile{Data: b}
		}
	}
	for _, c := range chats.Templates {
		if c.Name == name {
			files["chat_template.jinja"] = &fstest.MapFile{Data: []byte(c.Source)}
		}
	}
	if files["chat_template.jinja"] == nil {
		t.Fatalf("no template %q", name)
	}
	m, err := tokenizer.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTemplates: what a family's template shows is what its models write.
func TestTemplates(t *testing.T) {
	for _, test := range []struct {
		name, open, closed string // the marks of reasoning
		begun              bool   // the prompt has the first
		args               string // of the form of calls
		describes          bool
	}{
		{"chatml", "", "", false, callArgs, false},
		{"gemma3", "", "", false, callArgs, false},
		{"qwen25", "", "", false, callArgs, true},
		{"hermes", "", "", false, callArgs, true},
		{"qwen3", "<think>", "</think>", false, callArgs, false}, // this one is without tools
		{"qwen3-coder", "", "", false, ">\n", true},
		{"qwq", "<think>", "</think>", true, callArgs, false},
		{"deepseek-r1", "<think>", "</think>", true, callArgs, false},
		{"llama31", "", "", false, `", "parameters": `, true},
		{"llama3", "", "", false, callArgs, false},
		{"mistral-nemo", "", "", false, callArgs, true},
		{"kimi", "", "", false, callArgs, false},
		{"granite", "", "", false, callArgs, false},
	} {
		m := published(t, test.name)
		g := newGenerator(m)
		if form := g.tools; form.Args != test.args || g.describesTools != test.describes {
			t.Errorf("%s: calls in the form %+v, described %v", test.name, form.Form, g.describesTools)
		}
		switch {
		case g.thinking == nil && test.open == "":
			continue
		case g.thinking == nil || g.thinking.open != test.open || g.thinking.close != test.closed:
			t.Errorf("%s: reasoning %+v", test.name, g.thinking)
			continue
		}
		p := &Params{}
		b := g.begun(p)
		var opener []byte
		for _, id := range b.opener {
			opener = g.appendToken(opener, id)
		}
		if b.open != test.begun || !b.exact || strings.TrimSpace(string(opener)) != strings.TrimSpace(test.open) && test.begun {
			t.Errorf("%s: begun %v, exact %v, %q", test.name, b.open, b.exact, opener)
		}
		// The answer of a turn, and what a tool returned: the prompt goes on from the very tokens.
		p.AddMessage(RoleUser, "Hi")
		first, err := g.encodeChat(p, 0)
		if err != nil {
			t.Fatal(err)
		}
		ids := m.Encode("I must look.\n"+test.closed+"\n\nI look.", false, 0)
		whole := answerTokens{whole: append(b.opener, ids...)}
		p.Agent = "ada"
		p.AddAnswer("", "I look.", nil)
		p.AddToolResult("noon")
		g.answers.keep(p.asker(), "I look.", whole)
		second, err := g.encodeChat(p, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !startsWith(second, append(first[:len(first):len(first)], ids...)) {
			t.Errorf("%s: the second prompt does not begin with the first and its answer", test.name)
		}
	}
}

package generate

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/grammar"
)

// A publishedTemplate is how a published chat template writes an answer with calls.
type publishedTemplate struct {
	Name, Text string
	Marks      []string // of those that toolForms looks for
	Calls      int
}

// TestPublishedCalls: what the template that a model was published with writes as the model's own
// answer has exactly the form that the model is held to, and is read as the same calls, however the
// text is cut into tokens. testdata/calls.py made the texts.
func TestPublishedCalls(t *testing.T) {
	data, err := os.ReadFile("testdata/calls.json")
	var published []publishedTemplate
	if err == nil {
		err = json.Unmarshal(data, &published)
	}
	if err != nil || len(published) < 15 {
		t.Fatalf("%d templates, %v", len(published), err)
	}
	tools := []Tool{
		{Name: "weather", Parameters: []byte(`{"type":"object","properties":{"place":{"type":"string"},"days":{"type":"integer"},"units":{"type":"array","items":{"type":"string"}}},"required":["place"]}`)},
		{Name: "now", Parameters: []byte(`{"type":"object","properties":{}}`)},
	}
	want := []string{`weather({"days":2,"place":"Oslo \"é\" {}","units":["m","s]"]})`, `now({})`}
	for _, p := range published {
		form := toolFormOf(strings.Join(p.Marks, "\n"))
		text := p.Text
		if strings.HasPrefix(p.Name, "mistralai-Mistral-Nemo") {
			// Its template adds ids, which clients send and the model does not write.
			text = strings.NewReplacer(`, "id": "abcdefgh0"`, "", `, "id": "abcdefgh1"`, "").Replace(text)
		}
		at := strings.Index(text, form.Open)
		if at < 0 {
			t.Errorf("%s: no %q in %q", p.Name, form.Open, text)
			continue
		}
		text = text[at:]
		calls := p.answer(t, form, tools, text)
		read := func(what string, tokens ...string) {
			t.Helper()
			s, a := newSplitter(nil, form, tools), &assembly{}
			for _, token := range tokens {
				s.push([]byte(token), a)
			}
			s.end(a)
			var got []string
			for _, c := range a.calls {
				var v any
				if err := json.Unmarshal(c.Arguments, &v); err != nil {
					t.Errorf("%s, %s: %v in %s", p.Name, what, err, c.Arguments)
				}
				plain, _ := json.Marshal(v)
				got = append(got, fmt.Sprintf("%s(%s)", c.Name, plain))
			}
			if fmt.Sprint(got) != fmt.Sprint(want[:p.Calls]) || len(a.text) > 0 {
				t.Errorf("%s, %s: calls %q, text %q", p.Name, what, got, a.text)
			}
		}
		for i := range len(calls) + 1 {
			for j := i; j <= min(i+12, len(calls)); j++ {
				read(fmt.Sprintf("cut at %d and %d", i, j), calls[:i], calls[i:j], calls[j:])
			}
		}
		read("byte by byte", strings.Split(calls, "")...)
		read("with the token that ends the answer", text)
	}
}

// answer returns the longest beginning of a text that is a whole answer by the grammar of a form.
// What follows must be what ends the turn.
func (p publishedTemplate) answer(
	t *testing.T, form *toolForm, tools []Tool, text string,
) string {
	t.Helper()
	spec := grammar.Spec{Form: form.Form, Many: true}
	for _, tool := range tools {
		spec.Tools = append(spec.Tools, grammar.Tool{Name: tool.Name, Parameters: tool.Parameters})
	}
	g, _, err := spec.Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	const stop = 256
	bytes := func(dst []byte, id int32) []byte {
		if id == stop {
			return dst
		}
		return append(dst, byte(id))
	}
	mask := g.Mask(grammar.NewVocabulary(stop+1, bytes, []int32{stop})).Rule
	end := 0
	var written []int32
	for i := 0; ; i++ {
		logits := make([]float32, stop+1)
		mask(written, logits)
		if logits[stop] == 0 {
			end = i
		}
		if i == len(text) || logits[text[i]] != 0 {
			break
		}
		written = append(written, int32(text[i]))
	}
	ends := []string{"</s>", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>"}
	begins := func(mark string) bool { return strings.HasPrefix(text[end:], mark) }
	if !slices.ContainsFunc(ends, begins) {
		t.Errorf("%s: the model could not write %q behind %q", p.Name, text[end:], text[:end])
	}
	return text[:end]
}

package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
)

// startTiny returns a server on the embedded network.
func startTiny(t *testing.T, noDrafts bool) *Server {
	t.Helper()
	weights, err := checkpoint.Open(tiny.FS)
	if err != nil {
		t.Fatal(err)
	}
	model, err := ref.New(weights, "f32")
	if err != nil {
		t.Fatal(err)
	}
	text, err := tokenizer.Load(tiny.FS)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Model: model, KVBytes: 8 << 20, NoDrafts: noDrafts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s := newTestServer(Config{})
	s.Ready(e, text)
	return s
}

// A randomQuestion is a path and a body that a random client sends.
type randomQuestion struct{ path, body string }

// random makes a question with any of what changes how tokens are drawn or where an answer ends.
func random(r *rand.Rand) randomQuestion {
	line := "When you ask someone for help, say what you want to do, what you have tried, and what happened instead."
	text := fmt.Sprint("Repeat this. ", line, " ", line[:20+r.IntN(60)])
	content := fmt.Sprintf("[{\"role\":\"user\",\"content\":%q}]", text)
	fields := []string{fmt.Sprintf(`"max_tokens":%d`, 8+r.IntN(40))}
	maybe := func(field string) {
		if r.IntN(3) == 0 {
			fields = append(fields, field)
		}
	}
	messages := r.IntN(5) == 0 // an API without a seed
	if messages || r.IntN(2) == 0 {
		fields = append(fields, `"temperature":0`)
	} else {
		fields = append(fields, `"temperature":0.4`, fmt.Sprintf(`"top_p":0.%d`, 5+r.IntN(5)))
	}
	stops := []string{`" you"`, `"e"`, `"ing","wh"`, `"zz"`}[r.IntN(4)]
	if messages {
		maybe(`"stop_sequences":[` + stops + `]`)
		fields = append(fields, `"messages":`+content)
		return randomQuestion{"/v1/messages", "{" + strings.Join(fields, ",") + "}"}
	}
	fields = append(fields, fmt.Sprintf(`"seed":%d`, r.IntN(9)))
	maybe(`"stop":[` + stops + `]`)
	maybe(`"frequency_penalty":0.5`)
	maybe(`"presence_penalty":0.7`)
	maybe(`"repetition_penalty":1.1`)
	maybe(fmt.Sprintf(`"logit_bias":{"%d":2}`, 200+r.IntN(200)))
	maybe(`"min_tokens":6`)
	maybe(`"ignore_eos":true`)
	maybe(`"n":2`)
	if r.IntN(4) == 0 {
		fields = append(fields, fmt.Sprintf(`"prompt":%q`, text))
		maybe(`"logprobs":2`)
		return randomQuestion{"/v1/completions", "{" + strings.Join(fields, ",") + "}"}
	}
	maybe(`"logprobs":true,"top_logprobs":3`)
	maybe(`"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object",` +
		`"properties":{"first_name":{"enum":["Ada","Bob"]},"family_name":{"type":"string","maxLength":9},"is_a_member":{"type":"boolean"}},` +
		`"required":["first_name","family_name","is_a_member"],"additionalProperties":false}}}`)
	fields = append(fields, `"messages":`+content)
	return randomQuestion{"/v1/chat/completions", "{" + strings.Join(fields, ",") + "}"}
}

// ofTheMoment are the parts of an answer that differ from one to the next.
var ofTheMoment = regexp.MustCompile(`"(id|created)":("[^"]*"|\d+)|,?"drafts":\{[^}]*\}|"restore_ms":[\d.]+`)

// The body of an answer is the same, byte for byte, on a server with drafts and on one without:
// whatever the API, greedy or drawn, with stop strings, penalties, a bias, a schema, lengths and
// log-probabilities. A stream has the same text.
func TestDraftsChangeNoBody(t *testing.T) {
	plain, drafting := startTiny(t, true), startTiny(t, false)
	send := func(s *Server, q randomQuestion) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", q.path, strings.NewReader(q.body))
		r.Header.Set("Content-Type", "application/json")
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", q.body, w.Code, w.Body)
		}
		return w.Body.String()
	}
	rng := rand.New(rand.NewPCG(5, 6))
	n, drafted := 120, 0
	for range n {
		q := random(rng)
		want, got := send(plain, q), send(drafting, q)
		if strings.Contains(want, `"drafts"`) {
			t.Fatalf("a server without drafts counts some: %s", want)
		}
		if strings.Contains(got, `"drafts"`) {
			drafted++
		}
		if a, b := ofTheMoment.ReplaceAllString(got, ""), ofTheMoment.ReplaceAllString(want, ""); a != b {
			t.Fatalf("%s %s:\n%s\nand without drafts\n%s", q.path, q.body, a, b)
		}
		if q.path != "/v1/chat/completions" || strings.Contains(q.body, `"n":2`) {
			continue
		}
		stream := randomQuestion{q.path, strings.Replace(q.body, "{", `{"stream":true,`, 1)}
		for _, s := range []*Server{plain, drafting} { // both, so that both have the same in the cache
			if a, b := streamedText(t, send(s, stream)), contentOf(t, want); a != b {
				t.Fatalf("%s: streamed %q, want %q", q.body, a, b)
			}
		}
	}
	if drafted < n/10 {
		t.Errorf("%d of %d answers have drafts", drafted, n)
	}
}

// A chatPart is what a chat's answer, or a chunk of it, says.
type chatPart struct {
	Choices []struct {
		Message, Delta struct{ Content string }
	}
}

func contentOf(t *testing.T, body string) string {
	var a chatPart
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatal(err)
	}
	return a.Choices[0].Message.Content
}

// streamedText returns the text of a stream.
func streamedText(t *testing.T, stream string) (text string) {
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(line, "data: {")
		if !ok {
			continue
		}
		var chunk chatPart
		if err := json.Unmarshal([]byte("{"+data), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			text += c.Delta.Content
		}
	}
	return text
}

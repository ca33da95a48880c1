package server

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// trimText drops white space around contents that it encodes, as chat templates do.
type trimText struct{ byteText }

func (t trimText) EncodeChat(roles, contents []string, answers [][]int32, variables map[string]any, limit int) ([]int32, error) {
	contents = slices.Clone(contents)
	for i := range contents {
		contents[i] = strings.TrimSpace(contents[i])
	}
	return t.byteText.EncodeChat(roles, contents, answers, variables, limit)
}

// A talk is a conversation of a client of one of the APIs with a server.
type talk struct {
	path, fields string
	messages     []json.RawMessage
}

// turn sends a question and returns the answer's message and how many tokens of the prompt were
// cached. Both messages become a part of the talk.
func (c *talk) turn(t *testing.T, s *Server, user string) (answer string, cached string) {
	t.Helper()
	c.messages = append(c.messages, json.RawMessage(user))
	body, err := json.Marshal(map[string]any{"messages": c.messages, "temperature": 0,
		"session_id": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if c.fields != "" {
		body = append(body[:len(body)-1], ","+c.fields+"}"...)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", c.path, bytes.NewReader(body))
	r.Host = "localhost"
	s.ServeHTTP(w, r)
	var reply struct {
		Choices []struct{ Message map[string]any }
		Content []map[string]any
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != 200 {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	message := map[string]any{"role": "assistant", "content": reply.Content}
	if len(reply.Choices) > 0 {
		message = reply.Choices[0].Message
	}
	raw, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	c.messages = append(c.messages, raw)
	return string(raw), w.Header().Get("X-Cached-Tokens")
}

// TestRecall: after a restart and on another server, a conversation goes on from the tokens that
// were generated, and as much of it is cached as without the change.
func TestRecall(t *testing.T) {
	user := func(text string) string {
		return `{"role":"user","content":` + string(wire.AppendString(nil, text)) + `}`
	}
	hello := []string{user("Hello, who is there?"), user("Me, déjà vu"),
		user("and I, and I, and I")}
	result := `{"role":"tool","tool_call_id":"x","content":"rain"}`
	results := `{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"rain"}]}`
	for _, test := range []struct {
		name   string
		talk   talk
		script string
		users  []string
		text   Text
	}{
		{"chat", talk{path: "/v1/chat/completions"}, "", hello, byteText{}},
		{"messages", talk{path: "/v1/messages", fields: `"max_tokens":100`}, "", hello, byteText{}},
		{"generate", talk{path: "/v1/agents/ada/generate"}, "", hello, byteText{}},
		{"cut off within a character", talk{path: "/v1/chat/completions", fields: `"max_tokens":5`}, "", []string{user("Voilà!"), user("Voilà!!"), user("Aha")}, byteText{}},
		{"ended by a stop string", talk{path: "/v1/chat/completions", fields: `"stop":"there"`}, "", hello, byteText{}},
		{"tool calls", talk{path: "/v1/chat/completions", fields: weather}, twoCalls, []string{user("Go"), result, result}, byteText{}},
		{"Anthropic's tool calls", talk{path: "/v1/messages", fields: `"max_tokens":300,` + messageTools}, twoCalls, []string{user("Go"), results, results}, byteText{}},
		{"answers that no server gave", talk{path: "/v1/chat/completions", messages: []json.RawMessage{
			json.RawMessage(user("What is 1+1?")),
			json.RawMessage(`{"role":"assistant","content":" 2\n"}`),
			json.RawMessage(user("What is 1+2?")),
			json.RawMessage(`{"role":"assistant","content":"3"}`),
		}}, "", hello, trimText{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			open := func(dir string) (*Server, *engine.Engine) {
				model := &echoModel{}
				if test.script != "" {
					model = script(test.script)
					for i := range model.script {
						model.script[i] += generated
					}
				}
				s, e := start(t, Config{}, engine.Config{Model: model, Dir: dir, Fingerprint: "a"},
					test.text)
				if known, err := e.Principal("").Knows("ada"); err == nil && !known {
					e.Principal("").Create("ada", false)
				}
				return s, e
			}
			dir := t.TempDir()
			steady, _ := open(t.TempDir())
			moved, from := open(t.TempDir())
			want, restarted, exported := test.talk, test.talk, test.talk
			for i, user := range test.users {
				answer, cached := want.turn(t, steady, user)
				if i > 0 && len(cached) < 2 {
					t.Fatalf("turn %d: %s tokens cached where nothing had happened", i, cached)
				}
				s, e := open(dir)
				if got, n := restarted.turn(t, s, user); withoutIDs(got) != withoutIDs(answer) ||
					n != cached {
					t.Errorf("turn %d after a restart: %s tokens cached, want %s; answer %s, want %s",
						i, n, cached, got, answer)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				if got, n := exported.turn(t, moved, user); withoutIDs(got) != withoutIDs(answer) ||
					n != cached {
					t.Errorf("turn %d on another server: %s tokens cached, want %s; answer %s, want %s",
						i, n, cached, got, answer)
				}
				var file bytes.Buffer
				if err := from.Principal("").Export("ada", &file); err != nil {
					t.Fatal(err)
				}
				if moved, from = open(t.TempDir()); moved == nil {
					t.Fatal("no server")
				}
				if _, err := from.Principal("").Import(&file); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// withoutIDs returns a message without its ids, which are drawn anew for each message.
func withoutIDs(message string) string {
	for _, id := range []string{"call_", "toolu_"} {
		for at := 0; ; {
			i := strings.Index(message[at:], id)
			if i < 0 {
				break
			}
			at += i + len(id)
			end := at + strings.IndexByte(message[at:], '"')
			message = message[:at] + message[end:]
		}
	}
	return message
}

// TestRecallOfAnotherText: the text of the client counts, whatever the memory holds.
func TestRecallOfAnotherText(t *testing.T) {
	dir := t.TempDir()
	first := talk{path: "/v1/chat/completions"}
	s, e := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: dir}, byteText{})
	first.turn(t, s, `{"role":"user","content":"Hello"}`)
	e.Close()
	for _, answer := range []string{"Hell", "Hello!", "hello", ""} {
		s, e := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: dir}, byteText{})
		tokens, err := e.Principal("").Tokens("ada", "")
		if err != nil || len(tokens) == 0 {
			t.Fatalf("the memory: %v, %v", tokens, err)
		}
		p := &generate.Params{Agent: "ada"}
		p.AddMessage(generate.RoleUser, "Hello")
		p.AddAnswer("", answer, nil)
		p.AddMessage(generate.RoleUser, "Me")
		ids, err := s.backend.Load().generator.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		for _, id := range ids {
			if id == begin || id == end {
				text = append(text, '|')
			}
			text = byteText{}.AppendToken(text, id)
		}
		if want := "|uHello||a" + answer + "||uMe||a"; string(text) != want {
			t.Errorf("with the answer %q the prompt is %q, want %q", answer, text, want)
		}
		e.Close()
	}
}

package server

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

// TestSealedReasoning: what a client gets as encrypted_content gives the model its reasoning back,
// hides it from others, and works neither changed nor for another principal.
func TestSealedReasoning(t *testing.T) {
	seen := new(chatSeen)
	open := func(dir string, sealKeys ...[]byte) tried {
		store, err := OpenResponses(dir, ResponseLimits{}, sealKeys...)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := start(t, Config{Responses: store, Keys: siegeKeys}, engine.Config{Model: script(generates)},
			readText{byteText{template: switchTemplate}, seen})
		return tried{s, seen}
	}
	ask := func(s tried, key string) string {
		t.Helper()
		w := s.post(responsesPath, `{"input":"go","temperature":0,"store":false,"include":["reasoning.encrypted_content"]}`, "Authorization", "Bearer "+key)
		_, rest, _ := strings.Cut(w.Body.String(), `"encrypted_content":"`)
		content, _, ok := strings.Cut(rest, `"`)
		if w.Code != 200 || !ok {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return content
	}
	// send sends a turn's reasoning back. The prompt shows whether the model sees it.
	send := func(s tried, key, content string) (int, string) {
		t.Helper()
		w := s.post(responsesPath, `{"temperature":0,"max_output_tokens":1,"store":false,"input":[{"role":"user","content":"go"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"`+content+`"},{"type":"function_call","call_id":"1","name":"now","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"noon"}]}`, "Authorization", "Bearer "+key)
		if w.Code == 200 {
			return w.Code, s.prompt()
		}
		return w.Code, w.Body.String()
	}
	const line = "1 < 2"
	refused := func(what string, code int, said string) {
		t.Helper()
		if code != 400 || !strings.Contains(said, `"code":"invalid_encrypted_content"`) ||
			!strings.Contains(said, "input[1].encrypted_content: this is not reasoning that") {
			t.Errorf("%s: %d %s", what, code, said)
		}
	}
	dir := t.TempDir()
	s := open(dir)
	content := ask(s, "sk-alice")
	for _, key := range []string{"sk-alice", "sk-alice-2"} {
		if code, prompt := send(s, key, content); code != 200 || !strings.Contains(prompt, line) {
			t.Errorf("%s: %d %s", key, code, prompt)
		}
	}
	code, said := send(s, "sk-bob", content)
	refused("another principal's", code, said)

	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(content, "loadstone:"))
	if err != nil || strings.Contains(string(raw), line) {
		t.Errorf("%v, the text is readable: %q", err, raw)
	}
	if content == ask(s, "sk-alice") {
		t.Error("the same reasoning twice is recognisable")
	}
	at := func(b []byte) string { return "loadstone:" + base64.StdEncoding.EncodeToString(b) }
	for i := range raw {
		if i >= 16 && i < 24 { // the key's id: it is another server's then
			continue
		}
		changed := []byte(string(raw))
		changed[i] ^= 1
		code, said := send(s, "sk-alice", at(changed))
		refused(fmt.Sprintf("byte %d changed", i), code, said)
	}
	for _, changed := range []string{at(raw[:len(raw)-1]), at(append(raw, 0)), at(raw[:60]), "loadstone:", "loadstone:?"} {
		code, said := send(s, "sk-alice", changed)
		refused(changed, code, said)
	}
	// What another server has sealed cannot be read, and is no reason to end the conversation.
	for _, other := range []string{ask(open(""), "sk-alice"), "gAAAAABo"} {
		if code, prompt := send(s, "sk-alice", other); code != 200 || strings.Contains(prompt, line) {
			t.Errorf("another server's: %d %s", code, prompt)
		}
	}
	// After a restart; and with the key of the server's files, which another server can have.
	if code, prompt := send(open(dir), "sk-alice", content); code != 200 || !strings.Contains(prompt, line) {
		t.Errorf("after a restart: %d %s", code, prompt)
	}
	key := []byte(strings.Repeat("k", 32))
	content = ask(open(t.TempDir(), key), "sk-alice")
	if code, prompt := send(open("", key), "sk-alice", content); code != 200 || !strings.Contains(prompt, line) {
		t.Errorf("with the same key elsewhere: %d %s", code, prompt)
	}
}

// TestResponseLimits: beyond the limits of a principal its oldest responses are gone, on disk too,
// and nobody else's are.
func TestResponseLimits(t *testing.T) {
	const in = `{"input":%q,"temperature":0}`
	for name, test := range map[string]struct {
		limits ResponseLimits
		keeps  int // of six
	}{
		"count": {ResponseLimits{Responses: 4}, 4},
		"bytes": {ResponseLimits{Bytes: 10 << 10}, 3},
	} {
		for _, dir := range []string{"", t.TempDir()} {
			t.Run(fmt.Sprintf("%s/disk=%t", name, dir != ""), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					open := func() tried {
						store, err := OpenResponses(dir, test.limits)
						if err != nil {
							t.Fatal(err)
						}
						return try(t, Config{Responses: store, Keys: siegeKeys}, &echoModel{})
					}
					s := open()
					ask := func(key string) string {
						time.Sleep(time.Second)
						text := strings.Repeat("a", 1000) // in its input, its answer and around them
						w := s.post(responsesPath, fmt.Sprintf(in, text), "Authorization", "Bearer "+key)
						return readResponse(t, w).ID
					}
					get := func(key, id string) int {
						return s.get(responsesPath+"/"+id, "Authorization", "Bearer "+key).Code
					}
					his := ask("sk-bob")
					var hers []string
					for range 6 {
						hers = append(hers, ask("sk-alice"))
					}
					check := func() {
						t.Helper()
						for i, id := range hers {
							want := 404
							if i >= len(hers)-test.keeps {
								want = 200
							}
							if got := get("sk-alice", id); got != want {
								t.Errorf("response %d: %d, want %d", i, got, want)
							}
						}
						if got := get("sk-bob", his); got != 200 {
							t.Errorf("another principal's: %d", got)
						}
					}
					check()
					w := s.post(responsesPath, `{"input":"x","previous_response_id":"`+hers[0]+`"}`,
						"Authorization", "Bearer sk-alice")
					if w.Code != 400 || !strings.Contains(w.Body.String(), "previous_response_not_found") {
						t.Errorf("continuing one that is gone: %d %s", w.Code, w.Body)
					}
					if dir != "" {
						s = open()
						check()
					}
				})
			})
		}
	}
}

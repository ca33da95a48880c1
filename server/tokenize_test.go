package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"loadstone/engine"
)

func TestWireTokenize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: &echoModel{}}, byteText{})
		l := listen(t, s)
		send := func(what, path, body string) { tr.exchange(t, l, what, postTo(path, body)) }
		send("llama.cpp's", "/tokenize", `{"content":"Hi","parse_special":false}`)
		send("with pieces, of which one is no text", "/v1/tokenize", `{"content":"é","parse_special":false,"with_pieces":true}`)
		send("vLLM's", "/tokenize", `{"model":"echo","prompt":"Hi","return_token_strs":true}`)
		send("a chat", "/v1/tokenize", `{"messages":[{"role":"user","content":"Hi"}]}`)
		send("nothing", "/tokenize", `{}`)
		send("two texts", "/tokenize", `{"content":"a","prompt":"b"}`)
		send("back to text", "/detokenize", `{"tokens":[256,117,72,105,257,195]}`)
		send("a token that is not there", "/v1/detokenize", `{"tokens":[72,100000]}`)
		send("no tokens", "/v1/detokenize", `{}`)
		send("the prompt of a chat", "/apply-template", `{"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"}]}`)
		send("of no chat", "/v1/apply-template", `{"content":"Hi"}`)
		tr.check(t, "tokenize")
	})
}

// TestTokenizeChat: what /tokenize says of a chat is its prompt, with tools and all, and
// /detokenize gives what /apply-template does.
func TestTokenizeChat(t *testing.T) {
	s := thinker(t, openTemplate, &echoModel{})
	for _, more := range []string{"", "," + weather, `,"chat_template_kwargs":{"enable_thinking":false}`} {
		body := `{"temperature":0,"max_tokens":1,"messages":[{"role":"user","content":"go"},{"role":"assistant","content":"ok"},{"role":"user","content":"on"}]` + more + `}`
		var tokens struct {
			Tokens []int32
			Count  int
		}
		var text, again struct{ Prompt, Content string }
		var chat struct {
			Usage struct {
				Prompt int `json:"prompt_tokens"`
			}
		}
		json.Unmarshal(s.post("/tokenize", body).Body.Bytes(), &tokens)
		json.Unmarshal(s.post("/apply-template", body).Body.Bytes(), &text)
		ids, _ := json.Marshal(tokens.Tokens)
		json.Unmarshal(s.post("/detokenize", fmt.Sprintf(`{"tokens":%s}`, ids)).Body.Bytes(), &again)
		json.Unmarshal(s.post(chatPath, body).Body.Bytes(), &chat)
		if tokens.Count != len(tokens.Tokens) || tokens.Count != chat.Usage.Prompt || text.Prompt != again.Content || !strings.HasSuffix(text.Prompt, "<begin>uon<end><begin>a<think>\n") {
			t.Errorf("%s: %d tokens, %d in the usage\n%q\n%q", more, tokens.Count, chat.Usage.Prompt, text.Prompt, again.Content)
		}
	}
}

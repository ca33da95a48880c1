package server

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"loadstone/engine"
	"loadstone/server/internal/openai"
	"loadstone/server/internal/wire"
)

// messagesBody returns the body of an Anthropic request with one user message.
func messagesBody(text string, more ...string) string {
	b := `{"model":"echo"`
	for _, m := range unless(more, `"max_tokens":300`, `"temperature":0`) {
		b += "," + m
	}
	b += `,"messages":[{"role":"user","content":` + string(wire.AppendString(nil, text)) + `}]`
	for _, m := range more {
		b += "," + m
	}
	return b + "}"
}

func TestWireCompletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)},
			engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
		l := listen(t, s)
		send := func(what, body string) { tr.exchange(t, l, what, postTo("/v1/completions", body)) }
		send("a text to continue",
			`{"model":"echo","prompt":"Hi!","temperature":0,"session_id":"s1"}`)
		send("with log-probabilities", `{"prompt":["Hi"],"temperature":0,"logprobs":2}`)
		send("as a stream",
			`{"prompt":"Hi","temperature":0,"stream":true,"stream_options":{"include_usage":true}}`)
		send("no prompt", `{"max_tokens":3}`)
		send("two prompts", `{"prompt":["a","b"]}`)
		tr.exchange(t, l, "a chat with log-probabilities",
			post(say("Hi", `"logprobs":true`, `"top_logprobs":1`)))
		tr.exchange(t, l, "the same as a stream",
			post(say("Hi", `"logprobs":true`, `"stream":true`)))
		tr.check(t, "completions")
	})
}

func TestWireMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)},
			engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
		l := listen(t, s)
		send := func(what, body string, headers ...string) {
			tr.exchange(t, l, what, postTo("/v1/messages", body, headers...))
		}
		send("an answer in one piece", messagesBody("Hi!", `"system":"Be brief."`))
		send("a stream", messagesBody("Hi 🙂", `"stream":true`))
		send("an empty stream", messagesBody("", `"stream":true`))
		send("a stop sequence", messagesBody("one, two", `"stop_sequences":["tw"]`))
		first := `{"max_tokens":9,"temperature":0,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"abcdefghi"}`
		send("an agent's first turn, cut off", first+`]}`, "X-Session-ID: ada")
		send("its second, of consecutive messages of the user",
			first+`,{"role":"assistant","content":[{"type":"text","text":"abcdefghi"}]},{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],"stream":true}`, "X-Session-ID: ada")
		tr.exchange(t, l, "counting",
			postTo("/v1/messages/count_tokens",
				`{"model":"echo","messages":[{"role":"user","content":"four"}]}`))
		send("held to a schema",
			messagesBody("say no",
				`"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"enum":["yes"]}}}`))
		send("a schema that cannot be",
			messagesBody("x",
				`"output_config":{"format":{"type":"json_schema","schema":{"not":{"format":"color"}}}}`))
		send("no schema", messagesBody("x", `"output_config":{"format":{"type":"json_schema"}}`))
		send("too many stop sequences",
			messagesBody("x", `"stop_sequences":["`+strings.Repeat(`a","`, 64)+`b"]`))
		send("no max_tokens", `{"messages":[{"role":"user","content":"x"}]}`)
		send("an image",
			`{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}`)
		send("the answer's beginning",
			`{"max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`)
		send("another model", `{"model":"claude","max_tokens":1,"messages":[]}`)
		s.draining.Store(true)
		send("draining", messagesBody("x"))
		tr.check(t, "messages")
	})
}

func TestWireKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log), Keys: keysOf("sk-one", "sk-two")},
			engine.Config{Model: &echoModel{}}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "no key", get("/v1/models"))
		tr.exchange(t, l, "a wrong key", post(say("hi"), "Authorization: Bearer sk-three"))
		tr.exchange(t, l, "a wrong key, in Anthropic's API",
			postTo("/v1/messages", messagesBody("hi"), "x-api-key: sk-on"))
		tr.exchange(t, l, "a bearer", get("/v1/models", "Authorization: bearer sk-two"))
		tr.exchange(t, l, "x-api-key", get("/v1/models", "x-api-key: sk-one"))
		tr.exchange(t, l, "health needs none", get("/health/live"))
		tr.exchange(t, l, "metrics do", get("/metrics"))
		tr.check(t, "keys")
	})
}

// TestRates: requests are taken at once up to a minute's worth, and then at an even rate. An agent
// that exceeds its rate costs no other agent anything.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{Rate: 6, AgentRate: 2}, engine.Config{Model: &echoModel{}},
			byteText{})
		l := listen(t, s)
		expect := func(want string, headers ...string) {
			t.Helper()
			answer := l.exchange(t, post(say("hi"), headers...))
			if !strings.HasPrefix(answer, "HTTP/1.1 "+want[:3]) ||
				!strings.Contains(answer, want[3:]) {
				t.Errorf("want %q: %q", want, answer)
			}
		}
		expect("200", "X-Agent-ID: ada")
		expect("200", "X-Agent-ID: ada")
		expect("429Retry-After: 30\r\n", "X-Agent-ID: ada")
		expect("200", "X-Session-ID: bob")
		for range 3 {
			expect("200")
		}
		expect("429Retry-After: 10\r\n", "X-Session-ID: bob")
		time.Sleep(30 * time.Second)
		expect("200", "X-Agent-ID: ada")
		expect("429agent ada takes 2 requests a minute", "X-Agent-ID: ada")
	})
}

// script returns a model that generates a text, with one token for each byte.
func script(text string) *echoModel {
	m := &echoModel{script: []int32{}}
	for _, b := range []byte(text) {
		m.script = append(m.script, int32(b))
	}
	return m
}

const weather = `"tools":[{"type":"function","function":{"name":"weather","description":"of a place","parameters":{"type":"object","properties":{"place":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["place"],"additionalProperties":false}}},{"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{}}}}]`

// messageTools are the same tools in Anthropic's form.
var messageTools = strings.NewReplacer(`"type":"function","function":{"name"`, `"name"`,
	`"parameters"`, `"input_schema"`, `}}}`, `}}`, `false}}`, `false}`).Replace(weather)

const twoCalls = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\":\"}é{\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"

// TestWireTools: what a model generates parts into text and calls, and into the same ones whole and
// streamed, in both APIs.
func TestWireTools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		model := script(twoCalls)
		model.delay = 5 * time.Millisecond
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: model},
			byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "two calls", post(say("go", weather)))
		tr.exchange(t, l, "as a stream", post(say("go", weather, `"stream":true`)))
		tr.exchange(t, l, "Anthropic's", postTo("/v1/messages", messagesBody("go", messageTools)))
		tr.exchange(t, l, "as a stream",
			postTo("/v1/messages", messagesBody("go", messageTools, `"stream":true`)))
		tr.exchange(t, l, "no tools after all", post(say("go", weather, `"tool_choice":"none"`)))
		tr.exchange(t, l, "cut off in the arguments", post(say("go", weather, `"max_tokens":75`)))
		tr.exchange(t, l, "a strict tool that cannot be",
			post(say("go",
				`"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}}}]`)))
		tr.check(t, "tools")
	})
}

// FuzzCalls has a model generate any text where it may call tools. What the grammar admits parts
// into the same text and the same calls whole and streamed, in both APIs, and every call that was
// not cut off names a tool of the request.
func FuzzCalls(f *testing.F) {
	f.Add(twoCalls, uint16(300), false, uint8(0))
	f.Add(twoCalls, uint16(75), false, uint8(0))
	f.Add("<tool_call>\n{\"name\": \"now\", \"arguments\": {}}", uint16(90), true, uint8(0))
	f.Add("a < b <tool_cal> <tool_call>{", uint16(300), false, uint8(0))
	f.Add("\xe2\x82<tool_call>\xac", uint16(200), true, uint8(0))
	for i, family := range families {
		f.Add(family.text+family.calls, uint16(400), false, uint8(i))
		f.Add(family.calls, uint16(90), true, uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, maxTokens uint16, required bool, family uint8) {
		if maxTokens == 0 || maxTokens > 400 || len(text) > 300 {
			t.Skip("longer than it need be")
		}
		template := families[int(family)%len(families)].template
		s, _ := start(t, Config{}, engine.Config{Model: script(text)}, byteText{template: template})
		max, choice := fmt.Sprintf(`"max_tokens":%d`, maxTokens), "auto"
		if required {
			choice = "required"
		}
		whole, streamed := parts{}, parts{}
		whole.readChat(t,
			serve(t, s, "/v1/chat/completions",
				say("go", weather, max, `"tool_choice":"`+choice+`"`)))
		for _, data := range frames(serve(t, s, "/v1/chat/completions",
			say("go", weather, max, `"tool_choice":"`+choice+`"`, `"stream":true`))) {
			streamed.addChunk(t, data)
		}
		if got, want := fmt.Sprintf("%q", streamed), fmt.Sprintf("%q", whole); got != want {
			t.Fatalf("streamed %s, whole %s", got, want)
		}
		for i, c := range whole.calls {
			if c.name != "weather" && c.name != "now" {
				t.Errorf("a call of %q", c.name)
			}
			if !json.Valid([]byte(c.arguments)) &&
				(whole.end != "length" || i < len(whole.calls)-1) {
				t.Errorf("call %d of %q is not JSON, and the answer was not cut off there: %s", i,
					c.arguments, whole.end)
			}
		}
		theirs := parts{}
		for _, data := range frames(serve(t, s, "/v1/messages",
			messagesBody("go", messageTools,
				`"tool_choice":{"type":"`+strings.Replace(choice, "required", "any",
					1)+`"},"stream":true`, max))) {
			theirs.addEvent(t, data)
		}
		theirs.end = whole.end // Anthropic's API has other words for it
		if got, want := fmt.Sprintf("%q", theirs), fmt.Sprintf("%q", whole); got != want {
			t.Errorf("Anthropic's stream %s, OpenAI's answer %s", got, want)
		}
	})
}

// parts are the text, the calls and the end of an answer.
type parts struct {
	text  string
	calls []struct{ name, arguments string }
	end   string
}

func serve(t *testing.T, s *Server, path, body string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	if w.Code != 200 || !utf8.Valid(w.Body.Bytes()) {
		t.Fatalf("%s: %d %q", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// frames returns the data of a stream's events.
func frames(stream string) (data []string) {
	for _, event := range strings.Split(stream, "\n\n") {
		if _, d, ok := strings.Cut(event, "data: "); ok && d != "[DONE]" {
			data = append(data, d)
		}
	}
	return data
}

func (p *parts) readChat(t *testing.T, body string) {
	t.Helper()
	var c openai.Completion
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	m := c.Choices[0].Message
	if m.Content != nil {
		p.text = *m.Content
	}
	for _, call := range m.ToolCalls {
		p.calls = append(p.calls,
			struct{ name, arguments string }{call.Function.Name, call.Function.Arguments})
	}
	p.end = c.Choices[0].FinishReason
}

func (p *parts) addChunk(t *testing.T, data string) {
	t.Helper()
	var c struct {
		Choices []struct {
			Delta struct {
				Content   string
				ToolCalls []struct {
					Index    int
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			FinishReason string `json:"finish_reason"`
		}
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		t.Fatal(err)
	}
	p.text += c.Choices[0].Delta.Content
	p.end += c.Choices[0].FinishReason
	for _, call := range c.Choices[0].Delta.ToolCalls {
		if call.Index == len(p.calls) {
			p.calls = append(p.calls, struct{ name, arguments string }{name: call.Function.Name})
		}
		p.calls[call.Index].arguments += call.Function.Arguments
	}
}

func (p *parts) addEvent(t *testing.T, data string) {
	t.Helper()
	var e struct {
		Block struct{ Type, Name string } `json:"content_block"`
		Delta struct {
			Text    string
			Partial string `json:"partial_json"`
		}
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatal(err)
	}
	if e.Block.Type == "tool_use" {
		p.calls = append(p.calls, struct{ name, arguments string }{name: e.Block.Name})
	}
	p.text += e.Delta.Text
	if e.Delta.Partial != "" {
		p.calls[len(p.calls)-1].arguments += e.Delta.Partial
	}
}

// TestHeld: a model that would generate anything else is held to what the request demands. The next
// turn repeats the answer's own tokens although the client formatted its JSON in another way.
func TestHeld(t *testing.T) {
	for _, test := range []struct{ more, want string }{
		{`"tool_choice":"required",` + weather, `"content":null,"tool_calls":[{"id":"call_`},
		{`"tool_choice":{"type":"function","function":{"name":"now"}},` + weather, `"name":"now"`},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"enum":["yes"]}}}`, `"content":"\"yes\""`},
		{`"response_format":{"type":"json_object"}`, `"content":"{`},
		{`"response_format":{"type":"json_schema","json_schema":{"strict":true,"schema":{"not":{"format":"color"}}}}`, `cannot hold an answer to the schema: #: the keyword \"not\" cannot be held: the opposite of \"format\"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
			if got := listen(t, s).exchange(t,
				post(say("say no", `"max_tokens":300`, test.more))); !strings.Contains(got,
				test.want) {
				t.Errorf("%s: %q, want %s", test.more, got, test.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, engine.Config{Model: script(twoCalls)}, byteText{})
		l := listen(t, s)
		l.exchange(t, post(say("go", weather), "X-Agent-ID: ada"))
		next := `{"messages":[{"role":"user","content":"go"},{"role":"assistant","content":"Let me see.\n","tool_calls":[` +
			`{"id":"1","type":"function","function":{"name":"weather","arguments":"{ \"place\" : \"}é{\" }"}},{"id":"2","type":"function","function":{"name":"now","arguments":"{}"}}]},` +
			`{"role":"tool","tool_call_id":"1","content":"rain"},{"role":"tool","tool_call_id":"2","content":"noon"}],` + weather + `}`
		if got := l.exchange(t, post(next, "X-Agent-ID: ada")); strings.Contains(got,
			`"miss":"diverged`) || strings.Contains(got, `"cached_tokens":0`) {
			t.Errorf("the next turn: %q", got)
		}
	})
}

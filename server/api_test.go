package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

// messagesBody is an Anthropic request with one user message.
func messagesBody(text string, more ...string) string {
	b := `{"model":"echo","max_tokens":300,"temperature":0,"messages":[{"role":"user","content":` + string(appendString(nil, text)) + `}]`
	for _, m := range more {
		b += "," + m
	}
	return b + "}"
}

func TestWireCompletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
		l := listen(t, s)
		send := func(what, body string) { tr.exchange(t, l, what, postTo("/v1/completions", body)) }
		send("a text to continue", `{"model":"echo","prompt":"Hi!","temperature":0,"session_id":"s1"}`)
		send("with log-probabilities", `{"prompt":["Hi"],"temperature":0,"logprobs":2}`)
		send("as a stream", `{"prompt":"Hi","temperature":0,"stream":true,"stream_options":{"include_usage":true}}`)
		send("no prompt", `{"max_tokens":3}`)
		send("two prompts", `{"prompt":["a","b"]}`)
		tr.exchange(t, l, "a chat with log-probabilities", post(say("Hi", `"logprobs":true`, `"top_logprobs":1`)))
		tr.exchange(t, l, "the same as a stream", post(say("Hi", `"logprobs":true`, `"stream":true`)))
		tr.check(t, "completions")
	})
}

func TestWireMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
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
		send("its second, of consecutive messages of the user", first+`,{"role":"assistant","content":[{"type":"text","text":"abcdefghi"}]},{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],"stream":true}`, "X-Session-ID: ada")
		tr.exchange(t, l, "counting", postTo("/v1/messages/count_tokens", `{"model":"echo","messages":[{"role":"user","content":"four"}]}`))
		send("no max_tokens", `{"messages":[{"role":"user","content":"x"}]}`)
		send("an image", `{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}`)
		send("the answer's beginning", `{"max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`)
		send("another model", `{"model":"claude","max_tokens":1,"messages":[]}`)
		s.draining.Store(true)
		send("draining", messagesBody("x"))
		tr.check(t, "messages")
	})
}

func TestWireKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log), Keys: []string{"sk-one", "sk-two"}}, engine.Config{Model: &echoModel{}}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "no key", get("/v1/models"))
		tr.exchange(t, l, "a wrong key", post(say("hi"), "Authorization: Bearer sk-three"))
		tr.exchange(t, l, "a wrong key, in Anthropic's API", postTo("/v1/messages", messagesBody("hi"), "x-api-key: sk-on"))
		tr.exchange(t, l, "a bearer", get("/v1/models", "Authorization: bearer sk-two"))
		tr.exchange(t, l, "x-api-key", get("/v1/models", "x-api-key: sk-one"))
		tr.exchange(t, l, "health needs none", get("/health/live"))
		tr.exchange(t, l, "metrics do", get("/metrics"))
		tr.check(t, "keys")
	})
}

// TestRates: a minute's worth at once, then the even rate; one agent's excess costs no other agent anything.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{Rate: 6, AgentRate: 2}, engine.Config{Model: &echoModel{}}, byteText{})
		l := listen(t, s)
		ask := func(want string, headers ...string) {
			t.Helper()
			answer := l.exchange(t, post(say("hi"), headers...))
			if !strings.HasPrefix(answer, "HTTP/1.1 "+want[:3]) || !strings.Contains(answer, want[3:]) {
				t.Errorf("want %q: %q", want, answer)
			}
		}
		ask("200", "X-Agent-ID: ada")
		ask("200", "X-Agent-ID: ada")
		ask("429Retry-After: 30\r\n", "X-Agent-ID: ada")
		ask("200", "X-Session-ID: bob")
		for range 3 {
			ask("200")
		}
		ask("429Retry-After: 10\r\n", "X-Session-ID: bob")
		time.Sleep(30 * time.Second)
		ask("200", "X-Agent-ID: ada")
		ask("429agent ada takes 2 requests a minute", "X-Agent-ID: ada")
	})
}

// script is a model that wants to say a text, one byte a token.
func script(text string) *echoModel {
	m := &echoModel{script: []int32{}}
	for _, b := range []byte(text) {
		m.script = append(m.script, int32(b))
	}
	return m
}

const weather = `"tools":[{"type":"function","function":{"name":"weather","description":"of a place","parameters":{"type":"object","properties":{"place":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["place"],"additionalProperties":false}}},{"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{}}}}]`

const twoCalls = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\":\"}é{\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"

// TestWireTools: what a model wants to say parts into text and calls, the same whole and streamed, in both APIs.
func TestWireTools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		model := script(twoCalls)
		model.delay = 5 * time.Millisecond
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: model}, byteText{})
		l := listen(t, s)
		tools := strings.NewReplacer(`"type":"function","function":{"name"`, `"name"`, `"parameters"`, `"input_schema"`, `}}}`, `}}`, `false}}`, `false}`).Replace(weather)
		tr.exchange(t, l, "two calls", post(say("go", weather)))
		tr.exchange(t, l, "as a stream", post(say("go", weather, `"stream":true`)))
		tr.exchange(t, l, "Anthropic's", postTo("/v1/messages", messagesBody("go", tools)))
		tr.exchange(t, l, "as a stream", postTo("/v1/messages", messagesBody("go", tools, `"stream":true`)))
		tr.exchange(t, l, "no tools after all", post(say("go", weather, `"tool_choice":"none"`)))
		tr.exchange(t, l, "cut off in the arguments", post(say("go", weather, `"max_tokens":75`)))
		tr.exchange(t, l, "a strict tool that cannot be", post(say("go", `"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"string","pattern":"a+"}}}}}]`)))
		tr.check(t, "tools")
	})
}

// TestHeld: a model that would say anything else is held to what the request demands, and the next turn repeats the
// answer's own tokens although the client wrote its JSON anew.
func TestHeld(t *testing.T) {
	for _, test := range []struct{ more, want string }{
		{`"tool_choice":"required",` + weather, `"content":null,"tool_calls":[{"id":"call_`},
		{`"tool_choice":{"type":"function","function":{"name":"now"}},` + weather, `"name":"now"`},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"enum":["yes"]}}}`, `"content":"\"yes\""`},
		{`"response_format":{"type":"json_object"}`, `"content":"{`},
		{`"response_format":{"type":"json_schema","json_schema":{"schema":{"not":{}}}}`, `cannot hold an answer to the schema: #: the keyword \"not\" is not supported`},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
			if got := listen(t, s).exchange(t, post(say("say no", `"max_tokens":300`, test.more))); !strings.Contains(got, test.want) {
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
		if got := l.exchange(t, post(next, "X-Agent-ID: ada")); strings.Contains(got, `"miss":"diverged`) || strings.Contains(got, `"cached_tokens":0`) {
			t.Errorf("the next turn: %q", got)
		}
	})
}

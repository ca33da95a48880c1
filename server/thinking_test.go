package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

// thinker returns a server whose model thinks in the way that its template shows.
func thinker(t *testing.T, template string, model *echoModel) tried {
	t.Helper()
	seen := new(chatSeen)
	s, _ := start(t, Config{}, engine.Config{Model: model}, readText{byteText{template: template}, seen})
	return tried{s, seen}
}

const (
	thought   = "Let me see:\n  1 < 2, \"é\""
	answered  = "It is so."
	generates = "<think>\n" + thought + "\n</think>\n\n" + answered
)

// said is what a client reads of an answer, of whatever API.
type said struct {
	reasoning, text, calls string
	reasoningTokens        int
}

// hear reads an answer, whole or streamed.
func hear(t *testing.T, path string, body []byte, stream bool) (a said) {
	t.Helper()
	var events []map[string]any
	if stream {
		events = readEvents(t, string(body))
	} else {
		var v map[string]any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		events = []map[string]any{v}
	}
	text := func(v any) string {
		s, _ := v.(string)
		return s
	}
	for _, e := range events {
		switch path {
		case chatPath:
			choices, _ := e["choices"].([]any)
			for _, c := range choices {
				m, ok := c.(map[string]any)["delta"].(map[string]any)
				if !ok {
					m = c.(map[string]any)["message"].(map[string]any)
				}
				a.reasoning += text(m["reasoning_content"])
				a.text += text(m["content"])
				if m["tool_calls"] != nil {
					a.calls += fmt.Sprint(m["tool_calls"])
				}
			}
			if u, ok := e["usage"].(map[string]any); ok {
				if d, ok := u["completion_tokens_details"].(map[string]any); ok {
					a.reasoningTokens = int(d["reasoning_tokens"].(float64))
				}
			}
		case messagesPath:
			for _, b := range list(e["content"]) {
				a.reasoning += text(b["thinking"])
				a.text += text(b["text"])
			}
			if d, ok := e["delta"].(map[string]any); ok {
				a.reasoning += text(d["thinking"])
				a.text += text(d["text"])
			}
		case responsesPath:
			switch e["type"] {
			case "response.reasoning_text.delta":
				a.reasoning += text(e["delta"])
			case "response.output_text.delta":
				a.text += text(e["delta"])
			case "response.completed":
				e = e["response"].(map[string]any)
				a.reasoningTokens = int(e["usage"].(map[string]any)["output_tokens_details"].(map[string]any)["reasoning_tokens"].(float64))
			case nil:
				for _, item := range list(e["output"]) {
					for _, part := range list(item["content"]) {
						if part["type"] == "reasoning_text" {
							a.reasoning += text(part["text"])
						} else {
							a.text += text(part["text"])
						}
					}
				}
				a.reasoningTokens = int(e["usage"].(map[string]any)["output_tokens_details"].(map[string]any)["reasoning_tokens"].(float64))
			}
		}
	}
	return a
}

func list(v any) (items []map[string]any) {
	all, _ := v.([]any)
	for _, x := range all {
		items = append(items, x.(map[string]any))
	}
	return items
}

// TestThinking: reasoning is parted from the answer in every API, streamed and whole alike, whether
// the model begins it or the prompt does. A model whose template shows none has none.
func TestThinking(t *testing.T) {
	opened := strings.TrimPrefix(generates, "<think>\n")
	tokens := len("<think>\n" + thought + "\n</think>\n\n")
	for _, test := range []struct {
		name, template, script string
		want                   said
	}{
		{"the model begins", switchTemplate, generates, said{reasoning: thought, text: answered, reasoningTokens: tokens}},
		{"the prompt begins", openTemplate, "<think>\n" + opened, said{reasoning: thought, text: answered, reasoningTokens: tokens - len("<think>\n")}},
		{"nothing thought", switchTemplate, "<think>\n\n</think>\n\n" + answered, said{text: answered, reasoningTokens: len("<think>\n\n</think>\n\n")}},
		{"no reasoning", switchTemplate, answered, said{text: answered}},
		{"not at the beginning", switchTemplate, answered + generates, said{text: answered + generates}},
		{"nearly", switchTemplate, " <thin king>", said{text: " <thin king>"}},
		{"a template without it", "", generates, said{text: generates}},
	} {
		s := thinker(t, test.template, script(test.script))
		for _, path := range []string{chatPath, messagesPath, responsesPath} {
			for _, stream := range []bool{false, true} {
				body := say("go", fmt.Sprintf(`"stream":%v`, stream))
				switch path {
				case chatPath:
					if stream {
						body = say("go", `"stream":true`, `"stream_options":{"include_usage":true}`)
					}
				case messagesPath:
					body = messagesBody("go", fmt.Sprintf(`"stream":%v`, stream))
				case responsesPath:
					body = fmt.Sprintf(`{"input":"go","temperature":0,"stream":%v}`, stream)
				}
				w := s.post(path, body)
				want := test.want
				if path == messagesPath {
					want.reasoningTokens = 0 // this API does not count them
				}
				if got := hear(t, path, w.Body.Bytes(), stream); w.Code != 200 || got != want {
					t.Errorf("%s, %s, stream %v: %d %+v, want %+v\n%s", test.name, path, stream, w.Code, got, want, w.Body)
				}
			}
		}
	}
}

func TestWireThinking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := transcript{joined: true}
		model := script("<think>\nHm.\n</think>\n\nYes")
		model.delay = time.Millisecond
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: model}, byteText{template: switchTemplate})
		l := listen(t, s)
		tr.exchange(t, l, "a chat", post(say("go", `"logprobs":true`)))
		tr.exchange(t, l, "as a stream", post(say("go", `"stream":true`, `"stream_options":{"include_usage":true}`)))
		tr.exchange(t, l, "cut off while it thinks", post(say("go", `"max_tokens":10`)))
		tr.exchange(t, l, "a message", postTo(messagesPath, messagesBody("go", `"thinking":{"type":"enabled","budget_tokens":100}`)))
		tr.exchange(t, l, "as a stream", postTo(messagesPath, messagesBody("go", `"stream":true`)))
		tr.exchange(t, l, "a response", postTo(responsesPath, `{"input":"go","temperature":0,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"}}`))
		tr.exchange(t, l, "as a stream", postTo(responsesPath, `{"input":"go","temperature":0,"stream":true}`))
		tr.exchange(t, l, "a budget of all there is", postTo(messagesPath, messagesBody("go", `"thinking":{"type":"enabled","budget_tokens":300}`)))
		tr.exchange(t, l, "an effort that is none", post(say("go", `"reasoning_effort":"huge"`)))
		tr.check(t, "thinking")
	})
}

// memoryText returns the text of an agent's memory.
func memoryText(t *testing.T, s tried, agent string) string {
	t.Helper()
	ids, err := s.backend.Load().engine.Principal("").Tokens(agent, "")
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, id := range ids {
		if id == begin || id == end {
			b = append(b, '|')
		}
		b = byteText{}.AppendToken(b, id)
	}
	return string(b)
}

// TestThinkingTurns: within a turn the model sees what it thought before each call, token for token
// and from the cache, though clients of OpenAI's API do not send it back; in the next turn it does
// not.
func TestThinkingTurns(t *testing.T) {
	for template, opener := range map[string]string{switchTemplate: "", openTemplate: "<think>\n"} {
		first := strings.TrimPrefix("<think>\nI must look.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", opener)
		model := script(opener + first)
		s := thinker(t, template, model)
		user, answer := `{"role":"user","content":"go"}`, `{"role":"assistant","content":"I look.\n","tool_calls":[{"id":"1","type":"function","function":{"name":"now","arguments":"{}"}}]}`
		result := `{"role":"tool","tool_call_id":"1","content":"noon"}`
		send := func(messages ...string) (cached, prompt, output int) {
			t.Helper()
			w := s.post(chatPath, `{"temperature":0,`+weather+`,"messages":[`+strings.Join(messages, ",")+`]}`, "X-Agent-ID", "ada")
			var a struct {
				Usage struct {
					Prompt  int `json:"prompt_tokens"`
					Output  int `json:"completion_tokens"`
					Details struct {
						Cached int `json:"cached_tokens"`
					} `json:"prompt_tokens_details"`
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return a.Usage.Details.Cached, a.Usage.Prompt, a.Usage.Output
		}
		_, prompt, output := send(user)
		model.script = script(opener + "It is noon.").script
		cached, second, _ := send(user, answer, result)
		if want := prompt + output; cached != want {
			t.Errorf("%q: %d of %d tokens were cached within the turn, want %d", template, cached, second, want)
		}
		if got := memoryText(t, s, "ada"); !strings.Contains(got, "|a"+opener+first+"||u<tool_response>") {
			t.Errorf("%q: within the turn: %s", template, got)
		}
		_, third, _ := send(user, answer, result, `{"role":"assistant","content":"It is noon."}`, `{"role":"user","content":"and"}`)
		got := memoryText(t, s, "ada")
		if strings.Contains(got, "must look") || third > second+60 {
			t.Errorf("%q: in the next turn, %d tokens: %s", template, third, got)
		}
	}
}

// TestThinkingHistory: reasoning that a client sends back is seen within its turn, where the server
// has no memory of it.
func TestThinkingHistory(t *testing.T) {
	s := thinker(t, switchTemplate, &echoModel{})
	want := "assistant: <think>\nI must look.\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\nuser: <tool_response>\nnoon\n</tool_response>"
	for path, messages := range map[string]string{
		chatPath:      `"messages":[{"role":"user","content":"go"},{"role":"assistant","reasoning_content":"I must look.","tool_calls":[{"id":"1","function":{"name":"now","arguments":"{}"}}]},{"role":"tool","content":"noon"}`,
		messagesPath:  `"messages":[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"thinking","thinking":"I must look.","signature":"x"},{"type":"tool_use","id":"1","name":"now","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"noon"}]}`,
		responsesPath: `"input":[{"role":"user","content":"go"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"another server's","content":[{"type":"reasoning_text","text":"I must look."}]},{"type":"function_call","call_id":"1","name":"now","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"noon"}`,
	} {
		w := s.post(path, `{"max_tokens":1,"temperature":0,`+messages+`]}`)
		if got := s.prompt(); w.Code != 200 || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %d %s\n%s", path, w.Code, w.Body, got)
		}
		next := `,{"role":"assistant","content":"ok"},{"role":"user","content":"and"}`
		w = s.post(path, `{"max_tokens":1,"temperature":0,`+messages+next+`]}`)
		if got := s.prompt(); w.Code != 200 || strings.Contains(got, "must look") {
			t.Errorf("%s, the next turn: %d %s\n%s", path, w.Code, w.Body, got)
		}
	}
}

// TestThinkingBudget: reasoning ends at its budget, and with it the answer goes on; a model that is
// not to think does not.
func TestThinkingBudget(t *testing.T) {
	long := "<think>\n" + strings.Repeat("and so on ", 30) + "</think>\n\n" + answered
	for _, test := range []struct {
		template, field string
		tokens          int // of the reasoning's text; 0: none
	}{
		{switchTemplate, `"thinking_budget":20`, 20},
		{switchTemplate, `"thinking_token_budget":20`, 20},
		{switchTemplate, `"thinking_budget_tokens":20,"reasoning_effort":"high"`, 20},
		{switchTemplate, `"thinking_budget":-1`, 300},
		{openTemplate, `"thinking_budget":20`, 20},
		{openTemplate, `"reasoning_effort":"none"`, 0},
		{openTemplate, `"enable_thinking":false`, 0},
	} {
		s := thinker(t, test.template, script(long))
		w := s.post(chatPath, say("go", `"max_tokens":400`, test.field))
		got := hear(t, chatPath, w.Body.Bytes(), false)
		if n := len(got.reasoning); w.Code != 200 || n > test.tokens || n < test.tokens-len("<think>\n") {
			t.Errorf("%s: %d %q, want %d bytes\n%s", test.field, w.Code, got.reasoning, test.tokens, w.Body)
		}
		if strings.Contains(got.text, "</think>") && test.tokens == 300 {
			t.Errorf("%s: %q", test.field, got.text)
		}
	}
	// The template's own switch.
	for _, field := range []string{`"reasoning_effort":"none"`, `"chat_template_kwargs":{"enable_thinking":false}`, `"enable_thinking":false`} {
		s := thinker(t, switchTemplate, script("<think>\n\n</think>\n\n"+answered))
		w := s.post(chatPath, say("go", field))
		if got := hear(t, chatPath, w.Body.Bytes(), false); w.Code != 200 || got != (said{text: answered}) {
			t.Errorf("%s: %d %+v", field, w.Code, got)
		}
	}
	s := thinker(t, switchTemplate, script(answered))
	if w := s.post(chatPath, say("go", `"chat_template_kwargs":{"messages":[]}`)); w.Code != 400 || !strings.Contains(w.Body.String(), "chat_template_kwargs.messages") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestThinkingForms: what comes behind the reasoning is held to its form, and the reasoning is not.
func TestThinkingForms(t *testing.T) {
	schema := `"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}}}`
	for _, template := range []string{switchTemplate, openTemplate} {
		s := thinker(t, template, script("<think>\nIs it {\"a\": 7}?\n</think>\n\n{\"a\":7}"))
		got := hear(t, chatPath, s.post(chatPath, say("go", schema)).Body.Bytes(), false)
		var v map[string]int
		if err := json.Unmarshal([]byte(got.text), &v); err != nil || got.reasoning != `Is it {"a": 7}?` || len(v) != 1 || v["a"] < 1 || v["a"] > 2 {
			t.Errorf("%q: %+v", template, got)
		}
		got = hear(t, chatPath, s.post(chatPath, say("go", `"guided_choice":["yes","no"]`)).Body.Bytes(), false)
		if got.reasoning != `Is it {"a": 7}?` || got.text != "yes" && got.text != "no" {
			t.Errorf("%q: %+v", template, got)
		}
		s = thinker(t, template, script("<think>\nA <tool_call>?\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"))
		for _, choice := range []string{"auto", "required"} {
			got = hear(t, chatPath, s.post(chatPath, say("go", weather, `"tool_choice":"`+choice+`"`)).Body.Bytes(), false)
			if got.reasoning != "A <tool_call>?" || got.text != "" || !strings.Contains(got.calls, "name:now") {
				t.Errorf("%q, %s: %+v", template, choice, got)
			}
		}
	}
}

package server

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// A readText is byteText that keeps the last conversation that it was given.
type readText struct {
	byteText
	last *chatSeen
}

type chatSeen struct {
	mu    sync.Mutex
	lines []string // role: content
}

func (t readText) EncodeChat(roles, contents []string, answers [][]int32, variables map[string]any, limit int) ([]int32, error) {
	t.last.mu.Lock()
	defer t.last.mu.Unlock()
	t.last.lines = nil
	for i := range roles {
		t.last.lines = append(t.last.lines, roles[i]+": "+contents[i])
	}
	return t.byteText.EncodeChat(roles, contents, answers, variables, limit)
}

// A tried server answers requests of tests and says what its model was given.
type tried struct {
	*Server
	seen *chatSeen
}

func try(t *testing.T, cfg Config, model *echoModel) tried {
	t.Helper()
	seen := new(chatSeen)
	s, _ := start(t, cfg, engine.Config{Model: model}, readText{last: seen})
	return tried{s, seen}
}

// post answers a request; headers alternate names and values.
func (s tried) post(path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// prompt returns what the model was given last, without the description of tools.
func (s tried) prompt() string {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	return strings.Join(s.seen.lines, "\n")
}

const (
	chatPath     = "/v1/chat/completions"
	textPath     = "/v1/completions"
	messagesPath = "/v1/messages"
)

// asked returns the body of a chat whose second message is the one given.
func asked(message string) string {
	return `{"max_tokens":4,"temperature":0,"messages":[{"role":"user","content":"hi"},` + message +
		`,{"role":"user","content":"y"}]}`
}

// TestHistory: whatever a model wrote, of here or of elsewhere, is taken back and rendered.
func TestHistory(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	call := func(name, arguments string) string {
		return `assistant: <tool_call>` + "\n" + `{"name": "` + name + `", "arguments": ` + arguments + "}\n</tool_call>"
	}
	calls := func(function string) string {
		return `{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":` + function + `}]}`
	}
	use := func(rest string) string {
		return `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f"` + rest + `}]}`
	}
	for _, test := range []struct{ path, message, want string }{
		{chatPath, calls(`{"name":"f","arguments":""}`), call("f", "{}")},
		{chatPath, calls(`{"name":"f"}`), call("f", "{}")},
		{chatPath, calls(`{"name":"f","arguments":null}`), call("f", "{}")},
		{chatPath, calls(`{"name":"f","arguments":" \n"}`), call("f", "{}")},
		{chatPath, calls(`{"name":"f","arguments":"null"}`), call("f", "{}")},
		{chatPath, calls(`{"name":"f","arguments":"[]"}`), call("f", "[]")},
		{chatPath, calls(`{"name":"f","arguments":"{\"text\": \"This"}`), call("f", `{"text": "This`)},
		{chatPath, calls(`{"name":"f","arguments":"not JSON"}`), call("f", "not JSON")},
		{chatPath, calls(`{"name":"f","arguments":"{\"b\":1,\"a\":\"\\u00fc\"}"}`), call("f", `{"b": 1, "a": "ü"}`)},
		{chatPath, calls(`{"name":"f","arguments":{"a":1}}`), call("f", `{"a": 1}`)},
		{chatPath, calls(`{"name":"multi_tool_use.parallel","arguments":"{}"}`), call("multi_tool_use.parallel", "{}")},
		{chatPath, calls(`{"name":"` + strings.Repeat("n", 200) + `","arguments":"{}"}`), call(strings.Repeat("n", 200), "{}")},
		{chatPath, calls(`{"name":"say \"hi\"","arguments":"{}"}`), call(`say \"hi\"`, "{}")},
		{chatPath, calls(`{"name":"","arguments":"{}"}`), call("", "{}")},
		{chatPath, `{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"sh","input":"ls -l"}}]}`, call("sh", "ls -l")},
		{chatPath, `{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"}}`, call("f", `{"x": 1}`)},
		{chatPath, `{"role":"assistant","content":null,"function_call":null,"tool_calls":null,"refusal":null}`, "assistant: "},
		{chatPath, `{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}`, "assistant: no"},
		{chatPath, `{"role":"assistant","content":[{"type":"text","text":"I say "},{"type":"refusal","refusal":"no"}]}`, "assistant: I say no"},
		{chatPath, `{"role":"assistant","content":null,"refusal":"no"}`, "assistant: no"},
		{chatPath, `{"role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{}},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"b"}]}`, "assistant: ab\n"},
		{chatPath, `{"role":"assistant","content":[]}`, "assistant: \n"},
		{chatPath, `{"role":"assistant"}`, "assistant: \n"},
		{chatPath, `{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}`, call("f", "{}")},
		{chatPath, `{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":null}]}`, "assistant: \n"},
		{chatPath, calls(`{"name":"f","arguments":5}`), call("f", "5")},
		{chatPath, calls(`{"name":"f","arguments":"{\"a\": \"x\ny\"}"}`), call("f", "{\"a\": \"x\ny\"}")},
		{chatPath, `{"role":"user","name":"Bob","content":[{"type":"input_text","text":"x"},{"type":"text","text":"y","cache_control":{"type":"ephemeral"}}]}`, "user: xy"},
		{chatPath, `{"role":"developer","content":[{"type":"text","text":"be brief"}]}`, "system: be brief"},
		{chatPath, `{"role":"tool","tool_call_id":"c","content":[]}`, "user: <tool_response>\n\n</tool_response>"},
		{chatPath, `{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, "user: <tool_response>\nab\n</tool_response>"},
		{chatPath, `{"role":"tool","tool_call_id":"c","content":null}`, "user: <tool_response>\n\n</tool_response>"},
		{chatPath, `{"role":"function","name":"f","content":"12"}`, "user: <tool_response>\n12\n</tool_response>"},
		{messagesPath, use(`,"input":{"b":1,"a":"\u00fc\/"}`), call("f", `{"b": 1, "a": "ü/"}`)},
		{messagesPath, use(``), call("f", "{}")},
		{messagesPath, use(`,"input":null`), call("f", "{}")},
		{messagesPath, use(`,"input":""`), call("f", "{}")},
		{messagesPath, use(`,"input":"{\"a\": 1"`), call("f", `{"a": 1`)},
		{messagesPath, strings.Replace(use(`,"input":{}`), `"f"`, `"a.b"`, 1), call("a.b", "{}")},
		{messagesPath, `{"role":"system","content":"Plan mode is on."}`, "\n<system-reminder>\nPlan mode is on.\n</system-reminder>\ny"},
		{messagesPath, `{"role":"system","content":[{"type":"text","text":"Plan"},{"type":"text","text":"mode"}]}`, "<system-reminder>\nPlan\nmode\n</system-reminder>"},
		{messagesPath, `{"role":"user","content":[{"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"body"}}]}`, "T\nbody"},
		{messagesPath, `{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"body"}]}}]}`, "\nbody\n"},
		{messagesPath, `{"role":"user","content":[{"type":"search_result","source":"x","title":"T","content":[{"type":"text","text":"found"}]}]}`, "T\nx\nfound"},
		{messagesPath, `{"role":"assistant","content":[{"type":"text","text":"I look."},{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":"x"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"u"}]},{"type":"text","text":"Found."}]}`,
			"assistant: I look." + call("web_search", `{"q": "x"}`)[len("assistant: "):] + "\nuser: <tool_response>\n[{\"type\": \"web_search_result\", \"url\": \"u\"}]\n</tool_response>\nassistant: Found."},
		{messagesPath, `{"role":"assistant","content":[{"type":"mcp_tool_use","id":"s","name":"f","server_name":"y","input":{}},{"type":"mcp_tool_result","tool_use_id":"s","content":[{"type":"text","text":"z"}]}]}`, call("f", "{}") + "\nuser: <tool_response>\nz\n</tool_response>"},
		{messagesPath, `{"role":"assistant","content":[{"type":"compaction","content":"So far."},{"type":"text","text":" And."}]}`, "assistant: So far. And."},
		{messagesPath, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"f"},{"type":"text","text":"x"}]}]}`, "<tool_response>\nf\nx\n</tool_response>"},
		{messagesPath, `{"role":"assistant","content":[]}`, "assistant: \n"},
		{messagesPath, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":null}]}`, "<tool_response>\n\n</tool_response>"},
		{messagesPath, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"document","source":{"type":"text","data":"body"}}]}]}`, "<tool_response>\nbody\n</tool_response>"},
	} {
		w := s.post(test.path, asked(test.message))
		if got := s.prompt(); w.Code != 200 || !strings.Contains(got, test.want) {
			t.Errorf("%s: %d %s, prompt\n%s\nwant\n%s", test.message, w.Code, w.Body, got, test.want)
		}
	}
	result := func(content string) string {
		return `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":` + content + `}]}`
	}
	// What a client must write is refused all the same.
	for _, test := range []struct{ path, message, want string }{
		{chatPath, `{"role":"user","content":null}`, "messages[1].content: missing"},
		{chatPath, `{"role":"user","content":[{"type":"refusal","refusal":"no"}]}`, "text parts only"},
		{messagesPath, `{"role":"user","content":[{"type":"document","source":{"type":"base64","data":""}}]}`, "documents of text"},
		{messagesPath, `{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"document","source":{"type":"text","data":"a"}}]}}]}`, "messages[1].content[0].source.content[0].type"},
		{messagesPath, `{"role":"user","content":[{"type":"search_result","source":"x","title":"T","content":[{"type":"search_result","source":"y","title":"T","content":[]}]}]}`, "messages[1].content[0].content[0].type"},
		{messagesPath, `{"role":"tool","content":"x"}`, "want user, assistant or system"},
		{chatPath, `{"role":"user","content":[{"type":"text","text":null}]}`, "messages[1].content[0].text: missing"},
		{chatPath, `{"role":"user","content":[{"type":"thinking","thinking":"x"}]}`, "text parts only"},
		{chatPath, `{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,xx"}}]}`, `messages[1].content[0].type: \"image_url\"`},
		{chatPath, `{"role":"user","content":[{"type":"text","text":"x"},{"type":"input_audio","input_audio":{}}]}`, `messages[1].content[1].type: \"input_audio\"`},
		{chatPath, `{"role":"tool","tool_call_id":"c","content":[{"type":"file","file":{"file_id":"x"}}]}`, `messages[1].content[0].type: \"file\"`},
		{chatPath, `{"role":"assistant","content":"{","prefix":true}`, "prefix and partial are not supported"},
		{chatPath, `{"role":"assistant","content":"{","partial":true}`, "prefix and partial are not supported"},
		{messagesPath, `{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}`, `messages[1].content[0].type: \"image\"`},
		{messagesPath, `{"role":"user","content":[{"type":"container_upload","file_id":"x"}]}`, "container_upload"},
		// The path leads to what is wrong, however deep that is.
		{chatPath, `{"role":"user","content":["x"]}`, "messages[1].content[0]: want an object, got string"},
		{chatPath, `{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":{"value":"y"}}]}`, "messages[1].content[1].text: want a string, got object"},
		{chatPath, `{"role":"tool","tool_call_id":"c","content":[{"type":5,"text":"x"}]}`, "messages[1].content[0].type: want a string, got number"},
		{messagesPath, `{"role":"user","content":[{"type":"text","text":"x"},"y"]}`, "messages[1].content[1]: want an object, got string"},
		{messagesPath, result(`[{"type":"text","text":"x"},{"type":"text","text":"x"},{"type":"image","source":{}}]`), `messages[1].content[0].content[2].type: \"image\"`},
		{messagesPath, result(`[{"type":"text","text":"x"},"y"]`), "messages[1].content[0].content[1]: want an object, got string"},
		{messagesPath, result(`[{"type":"text","text":7}]`), "messages[1].content[0].content[0].text: want a string, got number"},
		{messagesPath, result(`[{"type":"text"}]`), "messages[1].content[0].content[0].text: missing"},
		{messagesPath, result(`{"type":"text"}`), "messages[1].content[0].content: want a string or an array of blocks"},
		{messagesPath, result(`"x","is_error":"true"`), "messages[1].content[0].is_error: want a boolean, got string"},
		{messagesPath, result(`[{"type":"document","source":{"type":"text","data":1}}]`), "messages[1].content[0].content[0].source.data: want a string, got number"},
		{messagesPath, result(`[{"type":"document"}]`), "messages[1].content[0].content[0].source: missing"},
		{messagesPath, result(`[{"type":"document","source":"x"}]`), "messages[1].content[0].content[0].source: want an object, got string"},
		{messagesPath, `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":5,"input":{}}]}`, "messages[1].content[0].name: want a string, got number"},
		{messagesPath, `{"role":"system","content":[{"type":"text","text":5}]}`, "messages[1].content[0].text: want a string, got number"},
	} {
		if w := s.post(test.path, asked(test.message)); w.Code != 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %s", test.message, w.Code, w.Body, test.want)
		}
	}
	// Anthropic's system messages at the beginning are the system prompt, and at the end a question.
	w := s.post(messagesPath, `{"max_tokens":2,"system":"A","messages":[{"role":"system","content":"B"},{"role":"user","content":"hi"},{"role":"assistant","content":"ho"},{"role":"system","content":"C"}]}`)
	if got := s.prompt(); w.Code != 200 || got != "system: A\nB\nuser: hi\nassistant: ho\nuser: <system-reminder>\nC\n</system-reminder>" {
		t.Errorf("%d %s, %q", w.Code, w.Body, got)
	}
}

// TestCutCall: the answer that max_tokens cut off in a call comes back, as a client of either API
// sends it, and its tokens are found in the cache.
func TestCutCall(t *testing.T) {
	for _, limit := range []int{45, 60, 75} {
		for _, path := range []string{chatPath, messagesPath} {
			s := try(t, Config{}, script(twoCalls))
			tools := weather
			if path == messagesPath {
				tools = messageTools
			}
			c := talk{path: path, fields: tools + fmt.Sprintf(`,"max_tokens":%d`, limit)}
			c.turn(t, s.Server, `{"role":"user","content":"go"}`)
			result := `{"role":"user","content":"go on"}`
			_, cached := c.turn(t, s.Server, result)
			var n int
			fmt.Sscan(cached, &n)
			if prompt := len(guideOf(t, s)); n < prompt+limit {
				t.Errorf("%s, %d tokens: %d of the next prompt were cached, the first had %d", path, limit, n, prompt)
			}
		}
	}
}

// TestCutTag: the beginning of a call that max_tokens cut off before its name is no text where the
// answer had to be a call, streamed and whole, in both APIs, and its tokens are not reported as
// those of text. Where it may be text, it is.
func TestCutTag(t *testing.T) {
	call := strings.TrimPrefix(twoCalls, "Let me see.\n")
	for limit := 1; limit <= len("<tool_call>\n{\"name\": \"we"); limit++ {
		cut := call[:limit]
		for _, test := range []struct{ path, tools, want string }{
			{chatPath, weather + `,"tool_choice":"required"`, ""},
			{chatPath, weather + `,"tool_choice":{"type":"function","function":{"name":"weather"}}`, ""},
			{chatPath, weather + `,"response_format":{"type":"json_object"}`, ""},
			{chatPath, weather, cut[:len(cut)*btoi(len(cut) < len("<tool_call>"))]},
			{messagesPath, messageTools + `,"tool_choice":{"type":"any"}`, ""},
			{messagesPath, messageTools, cut[:len(cut)*btoi(len(cut) < len("<tool_call>"))]},
		} {
			s := try(t, Config{}, script(call))
			body := say("go", test.tools, fmt.Sprintf(`"max_tokens":%d`, limit))
			if test.path == messagesPath {
				body = messagesBody("go", test.tools, fmt.Sprintf(`"max_tokens":%d`, limit))
			}
			whole := s.post(test.path, body).Body.String()
			got := chatText([]byte(whole))
			if test.path == messagesPath {
				got = messageText([]byte(whole))
			}
			var p parts
			for _, data := range frames(s.post(test.path, strings.TrimSuffix(body, "}")+`,"stream":true}`).Body.String()) {
				if test.path == messagesPath {
					p.addEvent(t, data)
				} else {
					p.addChunk(t, data)
				}
			}
			if got != test.want || p.text != test.want || len(p.calls) > 0 || !strings.Contains(whole, `"length"`) && !strings.Contains(whole, `"max_tokens"`) {
				t.Errorf("%s with %.60s, %d tokens: %q, streamed %q %v, want %q: %s", test.path, test.tools, limit, got, p.text, p.calls, test.want, whole)
			}
			if test.path == chatPath && test.want == "" {
				body = strings.TrimSuffix(body, "}") + `,"logprobs":true}`
				if w := s.post(test.path, body).Body.String(); !strings.Contains(w, `"logprobs":{"content":[]}`) {
					t.Errorf("%.60s, %d tokens: %s", test.tools, limit, w)
				}
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// guideOf returns the text that describes the tools, the first message of the last prompt.
func guideOf(t *testing.T, s tried) string {
	t.Helper()
	_, guide, ok := strings.Cut(strings.SplitN(s.prompt(), "\nuser: ", 2)[0], "system: ")
	if !ok {
		t.Fatalf("no description of tools in %q", s.prompt())
	}
	return guide
}

// TestForms: what demands a form of the answer is held to, or refused by the field's name.
func TestForms(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	schema := `{"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}`
	quoted, _ := json.Marshal(schema)
	held := func(answer string) bool {
		var v map[string]int
		return json.Unmarshal([]byte(answer), &v) == nil && len(v) == 1 && (v["a"] == 1 || v["a"] == 2)
	}
	object := func(answer string) bool { return strings.HasPrefix(answer, "{") }
	choice := func(answer string) bool { return answer == "yes" || answer == "no way" || answer == "✔" }
	for _, test := range []struct {
		field string
		right func(answer string) bool
	}{
		{`"response_format":{"type":"json_object","schema":` + schema + `}`, held},
		{`"response_format":{"type":"json_object","schema":null}`, object},
		{`"response_format":{"type":"json_object","value":` + schema + `}`, held},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":` + schema + `}}`, held},
		{`"guided_json":` + schema, held},
		{`"guided_json":` + string(quoted), held},
		{`"json_schema":` + schema, held},
		{`"json_schema":` + string(quoted), held},
		{`"structured_outputs":{"json":` + schema + `,"regex":null}`, held},
		{`"structured_outputs":{"json_object":true}`, object},
		{`"structured_outputs":{"choice":["yes","no way","✔"]}`, choice},
		{`"nvext":{"guided_json":` + schema + `}`, held},
		{`"guided_choice":["yes","no way","✔"],"guided_decoding_backend":"xgrammar"`, choice},
		{`"format":` + schema, held},
		{`"format":"json"`, object},
		{`"text":{"format":{"type":"json_schema","name":"x","schema":` + schema + `}}`, held},
		{`"text":{"verbosity":"low","format":{"type":"text"}}`, func(a string) bool { return a == "say it" }},
		{`"guided_json":null,"guided_regex":"","grammar":null,"structured_outputs":{},"response_format":null,"guided_choice":[],"bad_words":[]`, func(a string) bool { return a == "say it" }},
	} {
		chat := s.post(chatPath, say("say it", `"max_tokens":500`, test.field))
		if got := chatText(chat.Body.Bytes()); chat.Code != 200 || !test.right(got) {
			t.Errorf("%s: %d %q, %s", test.field, chat.Code, got, chat.Body)
		}
		text := s.post(textPath, `{"prompt":"say it","max_tokens":500,"temperature":0,`+test.field+`}`)
		if got := completionText(text.Body.Bytes()); text.Code != 200 || !test.right(got) {
			t.Errorf("completion with %s: %d %q, %s", test.field, text.Code, got, text.Body)
		}
		if strings.Contains(test.field, "response_format") {
			continue
		}
		theirs := s.post(messagesPath, messagesBody("say it", `"max_tokens":500`, test.field))
		if got := messageText(theirs.Body.Bytes()); theirs.Code != 200 || !test.right(got) {
			t.Errorf("message with %s: %d %q, %s", test.field, theirs.Code, got, theirs.Body)
		}
	}
	for _, field := range []string{"output_format", "output_config.format"} {
		body := `"output_format":{"type":"json_schema","schema":` + schema + `}`
		if field != "output_format" {
			body = `"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}`
		}
		w := s.post(messagesPath, messagesBody("say it", `"max_tokens":500`, body))
		if got := messageText(w.Body.Bytes()); w.Code != 200 || !held(got) {
			t.Errorf("%s: %d %q", field, w.Code, got)
		}
	}
	for name, field := range map[string]string{
		"guided_regex":                   `"guided_regex":"a+"`,
		"guided_grammar":                 `"guided_grammar":"root ::= \"a\""`,
		"grammar":                        `"grammar":"root ::= \"a\""`,
		"regex":                          `"regex":"a+"`,
		"ebnf":                           `"ebnf":"root ::= \"a\""`,
		"structural_tag":                 `"structural_tag":{"type":"x"}`,
		"structured_outputs.regex":       `"structured_outputs":{"regex":"a+"}`,
		"structured_outputs.grammar":     `"structured_outputs":{"grammar":"a"}`,
		"structured_outputs":             `"structured_outputs":"a"`,
		"guided_json":                    `"guided_json":"no schema"`,
		"guided_choice":                  `"guided_choice":[1]`,
		"nvext.guided_regex":             `"nvext":{"guided_regex":"a"}`,
		"format":                         `"format":"xml"`,
		"text.format.type":               `"text":{"format":{"type":"grammar","definition":"x"}}`,
		"allowed_token_ids":              `"allowed_token_ids":[1,2]`,
		"bad_words":                      `"bad_words":["x"]`,
		"guided_whitespace_pattern":      `"guided_whitespace_pattern":" ?"`,
		"json_schema":                    `"guided_json":{"type":"object"},"json_schema":{"type":"object"}`,
		"structured_outputs.json_object": `"guided_json":{"type":"object"},"structured_outputs":{"json_object":true}`,
	} {
		for path, body := range map[string]string{
			chatPath:     say("x", field),
			textPath:     `{"prompt":"x",` + field + `}`,
			messagesPath: messagesBody("x", field),
		} {
			if w := s.post(path, body); w.Code != 400 || !strings.Contains(w.Body.String(), `"`+name+`: `) {
				t.Errorf("%s %s: %d %s", path, field, w.Code, w.Body)
			}
		}
	}
	for _, test := range []struct{ path, body, want string }{
		{chatPath, say("x", `"response_format":{"type":"grammar","grammar":"x"}`), "response_format.type"},
		{textPath, `{"prompt":"x","response_format":{"type":"regex"}}`, "response_format.type"},
		{messagesPath, messagesBody("x", `"response_format":{"type":"json_object"}`), "response_format: not a field of this API"},
		{chatPath, say("x", weather, `"guided_choice":["a"]`), "guided_choice: not together with tools"},
	} {
		if w := s.post(test.path, test.body); w.Code != 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %s", test.body, w.Code, w.Body, test.want)
		}
	}
}

func chatText(body []byte) string {
	var a struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if json.Unmarshal(body, &a) != nil || len(a.Choices) == 0 {
		return ""
	}
	return a.Choices[0].Message.Content
}

func completionText(body []byte) string {
	var a struct{ Choices []struct{ Text string } }
	if json.Unmarshal(body, &a) != nil || len(a.Choices) == 0 {
		return ""
	}
	return a.Choices[0].Text
}

func messageText(body []byte) string {
	var a struct{ Content []struct{ Text string } }
	if json.Unmarshal(body, &a) != nil || len(a.Content) == 0 {
		return ""
	}
	return a.Content[0].Text
}

// TestSpelling: a request is the same prompt and the same grammar, however its JSON is spelled.
func TestSpelling(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	tool := func(parameters string) string {
		return say("go", `"max_tokens":200`, `"tool_choice":"required"`,
			`"tools":[{"type":"function","function":{"name":"f","parameters":`+parameters+`}}]`)
	}
	plain := `{"type":"object","properties":{"path":{"type":"string","description":"don't <x> & größe 北京/天气"},"mode":{"enum":["don't","a/b","上海"]},"n":{"const":10.0}},"required":["mode"]}`
	want, prompt := "", ""
	for i, parameters := range []string{
		plain,
		strings.NewReplacer(`'`, `\u0027`, `<`, `\u003C`, `>`, `\u003e`, `&`, `\u0026`, `ö`, `\u00f6`, `北京`, `\u5317\u4eac`, `上海`, `\u4e0a\u6d77`).Replace(plain),
		strings.ReplaceAll(plain, `/`, `\/`),
		strings.NewReplacer(`{`, "{ \n", `:`, ` : `, `,`, " ,\t").Replace(plain),
		strings.Replace(plain, "10.0", "1e1", 1),
		strings.NewReplacer(`"type"`, `"t\u0079pe"`, `"enum"`, `"\u0065num"`).Replace(plain),
	} {
		w := s.post(chatPath, tool(parameters))
		var a struct {
			Choices []struct {
				Message struct {
					ToolCalls []struct{ Function struct{ Arguments string } } `json:"tool_calls"`
				}
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || len(a.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		got := a.Choices[0].Message.ToolCalls[0].Function.Arguments
		if i == 0 {
			want, prompt = got, s.prompt()
			if !strings.Contains(prompt, `"parameters": {"type": "object", "properties": {"path": {"type": "string", "description": "don't <x> & größe 北京/天气"}, "mode": {"enum": ["don't", "a/b", "上海"]}, "n": {"const": 10.0}}, "required": ["mode"]}`) {
				t.Errorf("prompt %s", prompt)
			}
		}
		if got != want || s.prompt() != prompt {
			t.Errorf("%s:\nanswer %s, want %s\nprompt %s\nwant   %s", parameters, got, want, s.prompt(), prompt)
		}
	}
	// The order of names is the client's.
	s.post(chatPath, tool(`{"required":["b"],"type":"object","properties":{"b":{},"a":{}}}`))
	if !strings.Contains(s.prompt(), `{"required": ["b"], "type": "object", "properties": {"b": {}, "a": {}}}`) {
		t.Errorf("prompt %s", s.prompt())
	}
}

// TestSpellingOfHistory: an answer that comes back in another spelling is found in the cache.
func TestSpellingOfHistory(t *testing.T) {
	s := try(t, Config{}, script("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\":\"Zürich / 上海\"}}\n</tool_call>"))
	first := s.post(messagesPath, messagesBody("go", messageTools, `"session_id":"ada"`))
	for _, input := range []string{
		`{"place":"Zürich / 上海"}`, `{"place":"Z\u00fcrich \/ \u4e0a\u6d77"}`, `{ "place": "Z\u00FCrich / 上\u6D77" }`,
	} {
		w := s.post(messagesPath, `{"max_tokens":1,"temperature":0,"session_id":"ada",`+messageTools+
			`,"messages":[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"weather","input":`+input+
			`}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"rain"}]}]}`)
		if miss := w.Header().Get("X-Cache-Miss"); w.Code != 200 || strings.HasPrefix(miss, "diverged") {
			t.Errorf("%s after %d: %d, %s, %s cached", input, first.Code, w.Code, miss, w.Header().Get("X-Cached-Tokens"))
		}
	}
}

// TestLengths: without a length an answer may go to the end of the context. One that is too long is
// cut in OpenAI's API and refused in Anthropic's, in the words that clients look for.
func TestLengths(t *testing.T) {
	long := script(strings.Repeat("x", 4090))
	s := try(t, Config{}, long)
	output := func(w *httptest.ResponseRecorder) (n int) {
		var a struct {
			Usage struct {
				Completion int `json:"completion_tokens"`
				Output     int `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return a.Usage.Completion + a.Usage.Output
	}
	for _, test := range []struct {
		path, body string
		tokens     int
		header     string
	}{
		{chatPath, say("hi"), 4089, ""},
		{chatPath, say("hi", `"max_tokens":-1`), 4089, ""},
		{chatPath, say("hi", `"max_tokens":null,"max_completion_tokens":-1`), 4089, ""},
		{chatPath, say("hi", `"max_tokens":32000`), 4089, "4089"},
		{chatPath, say("hi", `"max_tokens":16.0`), 16, ""},
		{chatPath, say("hi", `"max_tokens":1e1`, `"top_k":40.0`, `"seed":1.0`, `"n":1.0`), 10, ""},
		{textPath, `{"prompt":"hi","temperature":0}`, 4089, ""},
		{textPath, `{"prompt":"hi","temperature":0,"max_tokens":99999}`, 4089, "4089"},
		{messagesPath, messagesBody("hi", `"max_tokens":4089`), 4089, ""},
	} {
		w := s.post(test.path, test.body)
		if got := output(w); w.Code != 200 || got != test.tokens || w.Header().Get("X-Max-Tokens") != test.header {
			t.Errorf("%s: %d, %d tokens, X-Max-Tokens %q; want %d, %q", test.body, w.Code, got,
				w.Header().Get("X-Max-Tokens"), test.tokens, test.header)
		}
	}
	word, words := strings.Repeat("word ", 1000), strings.Repeat("word ", 10_000)
	for _, test := range []struct{ path, body, want string }{
		{chatPath, say(words), "maximum context length is 4096 tokens. However, your messages resulted in 8193 tokens. Please reduce the length of the messages. (that is at least: counting ended at 8193 tokens)"},
		{chatPath, say(words, `"max_tokens":100`), "you requested 8293 tokens (8193 in the messages, 100 in the completion). Please reduce the length of the messages or completion. (that is at least:"},
		{textPath, `{"prompt":"` + words + `"}`, "your prompt resulted in 8198 tokens. Please reduce the length of the prompt. (that is at least: counting ended at 8198 tokens)"},
		{messagesPath, messagesBody(words), "prompt is too long: 8193 tokens > 4096 maximum (that is at least: counting ended at 8193 tokens)"},
		{messagesPath, messagesBody(words[:8000]), "prompt is too long: 8005 tokens > 4096 maximum\""},
		{chatPath, say(word, `"max_tokens":100`), `{"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested 5105 tokens (5005 in the messages, 100 in the completion). Please reduce the length of the messages or completion.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}`},
		{chatPath, say(word), `This model's maximum context length is 4096 tokens. However, your messages resulted in 5005 tokens. Please reduce the length of the messages.`},
		{textPath, `{"prompt":"` + word + `"}`, `your prompt resulted in 5005 tokens`},
		{messagesPath, messagesBody(word), `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 5005 tokens > 4096 maximum"},`},
		{chatPath, say("hi", `"max_tokens":100000000`), "maximum context length is 4096 tokens. However, you requested 100000007 tokens (7 in the messages, 100000000 in the completion)."},
		{chatPath, say(word, `"max_tokens":9223372036854775807`), "maximum context length is 4096 tokens. However, you requested 46116860"},
		{messagesPath, messagesBody("hi", `"max_tokens":32000`), "input length and `max_tokens` exceed context limit: 7 + 32000 > 4096, decrease input length or `max_tokens` and try again"},
	} {
		if w := s.post(test.path, test.body); w.Code != 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%.60s: %d %s, want %s", test.body, w.Code, w.Body, test.want)
		}
	}
	bounded := try(t, Config{MaxTokens: 7}, long)
	if w := bounded.post(chatPath, say("hi")); output(w) != 7 {
		t.Errorf("bounded: %s", w.Body)
	}
	if w := bounded.post(chatPath, say("hi", `"max_tokens":9`)); output(w) != 9 {
		t.Errorf("bounded, with a length: %s", w.Body)
	}
}

// TestSmallPool: where the pool has room for less than the context, a longer request is refused in
// the same words, with its own code and the reason.
func TestSmallPool(t *testing.T) {
	seen := new(chatSeen)
	server, e := start(t, Config{}, engine.Config{Model: script(strings.Repeat("x", 4000)), KVBytes: 4 * 32 * 16}, readText{last: seen})
	s := tried{server, seen}
	if e.Longest() != 513 || e.Context() != 4096 {
		t.Fatalf("%d of %d", e.Longest(), e.Context())
	}
	word := strings.Repeat("word ", 200)
	for _, test := range []struct{ path, body, want string }{
		{chatPath, say(word), `This model's maximum context length is 513 tokens. However, your messages resulted in 1005 tokens.`},
		{chatPath, say(word), `"code": "pool_too_small"`},
		{messagesPath, messagesBody(word), `prompt is too long: 1005 tokens > 513 maximum`},
		{messagesPath, messagesBody(word), `KV memory has room for 513`},
	} {
		if w := s.post(test.path, test.body); w.Code != 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%.60s: %d %s, want %s", test.body, w.Code, w.Body, test.want)
		}
	}
	if w := s.post(chatPath, say("hi")); w.Code != 200 || !strings.Contains(w.Body.String(), `"completion_tokens":506,`) {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
}

// TestManyWithoutLength: requests without a length run together although each of them may take the
// whole pool.
func TestManyWithoutLength(t *testing.T) {
	seen := new(chatSeen)
	server, _ := start(t, Config{}, engine.Config{Model: script(strings.Repeat("x", 300)), KVBytes: 4 * 32 * 128}, readText{last: seen})
	s := tried{server, seen}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if w := s.post(chatPath, say("hi")); w.Code != 200 || !strings.Contains(w.Body.String(), `"completion_tokens":300,`) {
				t.Errorf("%d %.300s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
}

// TestTwins: a name that stands twice, or is not exact, is not read.
func TestTwins(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	for body, want := range map[string]string{
		`{"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user"}]}`:                            "messages: stands there twice",
		`{"messages":[{"role":"user","content":"a","content":"b"}]}`:                                           "messages[0].content: stands there twice",
		say("a", `"tools":[]`, `"tools":[]`):                                                                   "tools: stands there twice",
		say("a", `"logit_bias":{"5":1,"5":2}`):                                                                 "logit_bias.5: stands there twice",
		say("a", `"unknown":{"x":1,"x":2}`):                                                                    "unknown.x: stands there twice",
		say("a", `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"x","type":"y"}}}]`): "tools[0].function.parameters.type: stands there twice",
		say("a", `"logit_bias":{"+5":1}`):                                                                      `logit_bias: \"+5\"`,
		say("a", `"logit_bias":{"05":1}`):                                                                      `logit_bias: \"05\"`,
		`{"meſſages":[{"role":"user","content":"a"}]}`:                                                         "messages: at least one is needed",
		"\uFEFF" + say("a"):                                                                                    "the body begins with a byte order mark",
		say("a", `"stop":"\ud83d"`):                                                                            "stop: has half of a surrogate pair",
		say("a", `"stop":["x","\ude0a b"]`):                                                                    "stop: has half of a surrogate pair",
		say("a", `"min_tokens":5,"max_tokens":4`):                                                              "min_tokens: 5, which is more than max_tokens of 4",
	} {
		if w := s.post(chatPath, body); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
	w := s.post(chatPath, say("abcdef", `"max_tokens":2`, `"MAX_TOKENS":5`, `"max_to\u212aens":4`, `"Max_Tokens":"x"`))
	if w.Code != 200 || chatText(w.Body.Bytes()) != "ab" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.post(messagesPath, messagesBody("a", `"stop_sequences":["\ud83d"]`)); w.Code != 400 {
		t.Errorf("half a surrogate pair: %d %s", w.Code, w.Body)
	}
}

// TestCodings: a body may be compressed; what it expands to is bounded like any other.
func TestCodings(t *testing.T) {
	s := try(t, Config{MaxBody: 2000}, &echoModel{})
	zip := func(b string) string {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write([]byte(b))
		w.Close()
		return z.String()
	}
	deflate := func(b string) string {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		w.Write([]byte(b))
		w.Close()
		return z.String()
	}
	bare := func(b string) string { // without zlib's header
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, flate.DefaultCompression)
		w.Write([]byte(b))
		w.Close()
		return z.String()
	}
	for _, test := range []struct {
		coding, body string
		status       int
		want         string
	}{
		{"gzip", zip(say("hi")), 200, `"content":"hi"`},
		{"GZIP", zip(say("hi")), 200, `"content":"hi"`},
		{"x-gzip", zip(say("hi")), 200, `"content":"hi"`},
		{"deflate", deflate(say("hi")), 200, `"content":"hi"`},
		{"deflate", bare(say("hi")), 200, `"content":"hi"`},
		{"identity", say("hi"), 200, `"content":"hi"`},
		{"identity, gzip", zip(say("hi")), 200, `"content":"hi"`},
		{"zstd", "(\xb5/\xfd", 415, "send the body as it is, or as one of gzip, deflate"},
		{"br", say("hi"), 415, `Content-Encoding \"br\" is not known here`},
		{"gzip, gzip", zip(zip(say("hi"))), 415, "gzip, gzip"},
		{"gzip", say("hi"), 400, "the body is not in gzip"},
		{"gzip", zip(say("hi"))[:30], 400, "the body is not in gzip"},
		{"gzip", "", 400, "the body is not in gzip"},
		{"deflate", zip(say("hi")), 400, "the body is not in deflate"},
		{"deflate", say("hi"), 400, "the body is not in deflate"},
		{"deflate", deflate(say("hi"))[:1], 400, "the body is not in deflate"},
		{"deflate", bare(say("hi"))[:20], 400, "the body is not in deflate"},
		{"deflate", bare(say(strings.Repeat("a", 1<<20))), 413, "the body is larger than 2000 bytes"},
		{"gzip", zip(say(strings.Repeat("a", 1<<20))), 413, "the body is larger than 2000 bytes"},
		{"gzip", zip(say(strings.Repeat("a", 100))), 200, "aaa"},
	} {
		w := s.post(chatPath, test.body, "Content-Encoding", test.coding)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %d %s", test.coding, w.Code, w.Body, test.status, test.want)
		}
		if got := w.Header().Get("Accept-Encoding"); (got == "gzip, deflate") != (test.status == 415) {
			t.Errorf("%s: Accept-Encoding %q", test.coding, got)
		}
	}
}

// TestExpect: a client that asks before it sends a body that is too long is told so at once.
func TestExpect(t *testing.T) {
	s := try(t, Config{MaxBody: 2000}, &echoModel{})
	got := listen(t, s).exchange(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "the body is larger than 2000 bytes") {
		t.Errorf("%q", got)
	}
}

// TestBillingLine: Claude Code's changing first line costs nothing of the cache, and the answer
// says that it was cut.
func TestBillingLine(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	line := func(n int) string {
		return fmt.Sprintf("x-anthropic-billing-header: cc_version=2.1.37.fa6; cc_entrypoint=cli; cch=%05d;", n)
	}
	rest := strings.Repeat("You are helpful. ", 20)
	for name, body := range map[string]func(n int) (path, body string){
		"blocks": func(n int) (string, string) {
			return messagesPath, messagesBody("hi", `"session_id":"a"`, `"system":[{"type":"text","text":"`+line(n)+`"},{"type":"text","text":"`+rest+`"}]`)
		},
		"a string": func(n int) (string, string) {
			return messagesPath, messagesBody("hi", `"session_id":"b"`, `"system":"`+line(n)+`\n`+rest+`"`)
		},
		"a later block": func(n int) (string, string) {
			return messagesPath, messagesBody("hi", `"session_id":"c"`, `"system":[{"type":"text","text":"`+rest+`"},{"type":"text","text":"`+line(n)+`"}]`)
		},
		"OpenAI's API": func(n int) (string, string) {
			return chatPath, `{"session_id":"d","messages":[{"role":"system","content":"` + line(n) + `\n` + rest + `"},{"role":"user","content":"hi"}],"temperature":0}`
		},
		"nothing else": func(n int) (string, string) {
			return messagesPath, messagesBody(rest, `"session_id":"e"`, `"system":"`+line(n)+`"`)
		},
	} {
		for n := range 2 {
			path, b := body(n)
			w := s.post(path, b)
			if w.Code != 200 || w.Header().Get("X-System-Line-Cut") != "x-anthropic-billing-header" ||
				strings.Contains(s.prompt(), "billing") || strings.Contains(s.prompt(), "system: \n") {
				t.Errorf("%s: %d %s, %q", name, w.Code, w.Body, s.prompt())
			}
			var cached int
			if fmt.Sscan(w.Header().Get("X-Cached-Tokens"), &cached); n == 1 && cached < 330 {
				t.Errorf("%s: %d tokens were cached", name, cached)
			}
		}
	}
	w := s.post(messagesPath, messagesBody("hi", `"system":"Tell of x-anthropic-billing-header: it is odd"`))
	if w.Header().Get("X-System-Line-Cut") != "" || !strings.Contains(s.prompt(), "system: Tell of x-anthropic-billing-header") {
		t.Errorf("%s: %q", w.Header(), s.prompt())
	}
	w = s.post(messagesPath+"/count_tokens", `{"system":"`+line(1)+`\nS","messages":[{"role":"user","content":"hi"}]}`)
	if w.Header().Get("X-System-Line-Cut") == "" || s.prompt() != "system: S\nuser: hi" {
		t.Errorf("counting: %s %q", w.Header(), s.prompt())
	}
}

// TestEnding: with ignore_eos or min_tokens, no token that ends the answer is drawn, and no stop
// string is looked for before.
func TestEnding(t *testing.T) {
	s := try(t, Config{}, script("abcde"))
	for _, test := range []struct {
		more   []string
		tokens int
		finish string
	}{
		{[]string{`"max_tokens":64`}, 5, "stop"},
		{[]string{`"max_tokens":64`, `"ignore_eos":true`}, 64, "length"},
		{[]string{`"max_tokens":64`, `"min_tokens":3`}, 5, "stop"},
		{[]string{`"max_tokens":64`, `"ignore_eos":false`, `"min_tokens":5.0`}, 5, "stop"},
		{[]string{`"max_tokens":64`, `"min_tokens":20`}, 20, "stop"},
		{[]string{`"max_tokens":64`, `"min_tokens":64`}, 64, "length"},
		{[]string{`"max_tokens":64`, `"stop":"c"`}, 3, "stop"},
		{[]string{`"max_tokens":64`, `"stop":"c"`, `"min_tokens":2`}, 3, "stop"},
		{[]string{`"max_tokens":64`, `"stop":"c"`, `"min_tokens":4`}, 5, "stop"},
		{[]string{`"max_tokens":64`, `"stop":"c"`, `"ignore_eos":true`}, 3, "stop"},
		{[]string{`"max_tokens":64`, `"ignore_eos":true`, `"temperature":1`, `"seed":3`}, 64, "length"},
		{[]string{`"max_tokens":64`, `"ignore_eos":true`, `"response_format":{"type":"json_schema","json_schema":{"schema":{"const":"abc"}}}`}, 5, "stop"},
		{[]string{`"max_tokens":64`, `"min_tokens":9`, `"guided_choice":["xyz"]`}, 3, "stop"},
	} {
		w := s.post(chatPath, say("hi", test.more...))
		var a struct {
			Choices []struct {
				FinishReason string `json:"finish_reason"`
			}
			Usage struct {
				Tokens int `json:"completion_tokens"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 ||
			a.Usage.Tokens != test.tokens || a.Choices[0].FinishReason != test.finish {
			t.Errorf("%v: %d %s, want %d tokens and %s", test.more, w.Code, w.Body, test.tokens, test.finish)
		}
	}
	if w := s.post(messagesPath, messagesBody("hi", `"max_tokens":30`, `"ignore_eos":true`)); !strings.Contains(w.Body.String(), `"output_tokens":30}`) {
		t.Errorf("Anthropic's: %s", w.Body)
	}
	if w := s.post(textPath, `{"prompt":"hi","max_tokens":30,"temperature":0,"min_tokens":30}`); !strings.Contains(w.Body.String(), `"completion_tokens":30,`) {
		t.Errorf("a completion: %s", w.Body)
	}
}

// TestStopTokens: tokens that a request names end the answer, and no other end it that was not to.
func TestStopTokens(t *testing.T) {
	s := try(t, Config{}, script("abcde"))
	for _, test := range []struct {
		more       string
		text, want string
	}{
		{`"stop_token_ids":[100]`, "abc", "stop"},
		{`"stop_token_ids":[101,99]`, "ab", "stop"},
		{`"stop_token_ids":[100],"ignore_eos":true,"max_tokens":30`, "abc", "stop"},
		{`"stop_token_ids":[100],"min_tokens":4`, "abc\x00e", ""},
		{`"stop_token_ids":[],"n_predict":2`, "ab", "length"},
		{`"stop_token_ids":null,"max_new_tokens":3`, "abc", "length"},
		{`"n_predict":2,"max_tokens":4`, "abcd", "length"},
		{`"n_predict":-1`, "abcde", "stop"},
	} {
		for _, path := range []string{chatPath, textPath} {
			body := say("hi", test.more)
			if path == textPath {
				body = `{"prompt":"hi","temperature":0,` + test.more + `}`
			}
			w := s.post(path, body)
			got := chatText(w.Body.Bytes()) + completionText(w.Body.Bytes())
			if test.want == "" { // another token stands in its place
				if w.Code != 200 || len(got) < 4 || got[:3] != "abc" || got[3] == 'd' {
					t.Errorf("%s %s: %d %s", path, test.more, w.Code, w.Body)
				}
				continue
			}
			if w.Code != 200 || got != test.text || !strings.Contains(w.Body.String(), `"finish_reason":"`+test.want+`"`) {
				t.Errorf("%s %s: %d %s, want %q", path, test.more, w.Code, w.Body, test.text)
			}
		}
	}
	for _, ids := range []string{"[-1]", "[99999999]"} {
		if w := s.post(chatPath, say("hi", `"stop_token_ids":`+ids)); w.Code != 400 || !strings.Contains(w.Body.String(), `"stop_token_ids: token `) {
			t.Errorf("%s: %d %s", ids, w.Code, w.Body)
		}
	}
}

// TestRefusedFields: what would change what the model reads or what the answer is made of is
// refused by name, and passed over where it asks for nothing.
func TestRefusedFields(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	for field, value := range map[string]string{
		"continue_final_message": "true", "chat_template": `"{{ x }}"`, "documents": `[{"text":"x"}]`,
		"truncate_prompt_tokens": "5", "use_beam_search": "true", "include_stop_str_in_output": "true",
		"add_generation_prompt": "false",
	} {
		nothing := `"` + field + `":null`
		if field == "add_generation_prompt" {
			nothing = `"` + field + `":true`
		}
		for path, body := range map[string]func(more string) string{
			chatPath: func(more string) string { return say("hi", `"max_tokens":3`, more) },
			textPath: func(more string) string { return `{"prompt":"hi","max_tokens":3,` + more + `}` },
		} {
			if w := s.post(path, body(`"`+field+`":`+value)); w.Code != 400 || !strings.Contains(w.Body.String(), `"param":"`+field+`"`) {
				t.Errorf("%s %s: %d %s", path, field, w.Code, w.Body)
			}
			if w := s.post(path, body(nothing)); w.Code != 200 {
				t.Errorf("%s %s: %d %s", path, nothing, w.Code, w.Body)
			}
		}
	}
	w := s.post(chatPath, say("hi", `"tools":[{"type":"function","name":"f","parameters":{}}]`))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "tools[0].function: missing") {
		t.Errorf("a tool of another API: %d %s", w.Code, w.Body)
	}
}

// TestAllowedTools: the model is told of all tools and held to some of them.
func TestAllowedTools(t *testing.T) {
	s := try(t, Config{}, script(twoCalls))
	for choice, want := range map[string]string{
		`{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"now"}}]}}`: `"name":"now"`,
		`{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"weather"}]}`:                            `"name":"weather"`,
		`{"type":"function","name":"now"}`: `"name":"now"`,
	} {
		w := s.post(chatPath, say("go", weather, `"max_tokens":400`, `"tool_choice":`+choice))
		if n := strings.Count(w.Body.String(), `"type":"function"`); w.Code != 200 || n != 1 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", choice, w.Code, w.Body)
		}
		if p := s.prompt(); !strings.Contains(p, `"name": "weather"`) || !strings.Contains(p, `"name": "now"`) {
			t.Errorf("%s: prompt %s", choice, p)
		}
	}
	w := s.post(chatPath, say("go", weather, `"max_tokens":400`, `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"now"}}]}}`))
	if w.Code != 200 || strings.Contains(w.Body.String(), `"name":"weather"`) {
		t.Errorf("auto: %d %s", w.Code, w.Body)
	}
	for choice, want := range map[string]string{
		`{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"x"}}]}}`: `no tool has the name \"x\"`,
		`{"type":"allowed_tools","allowed_tools":{"mode":"any","tools":[]}}`:                                                 "want auto or required",
		`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`:                                                "no tools",
	} {
		if w := s.post(chatPath, say("go", weather, `"tool_choice":`+choice)); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", choice, w.Code, w.Body)
		}
	}
}

// TestToolNames: Anthropic's names of tools are up to 128 characters long, OpenAI's 64.
func TestToolNames(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	for _, test := range []struct {
		path   string
		length int
		want   int
	}{
		{messagesPath, 65, 200}, {messagesPath, 128, 200}, {messagesPath, 129, 400}, {chatPath, 64, 200}, {chatPath, 65, 400},
	} {
		name := strings.Repeat("n", test.length)
		body := messagesBody("hi", `"max_tokens":400`, `"tool_choice":{"type":"any"}`, `"tools":[{"name":"`+name+`","input_schema":{"type":"object"}}]`)
		if test.path == chatPath {
			body = say("hi", `"max_tokens":400`, `"tool_choice":"required"`, `"tools":[{"type":"function","function":{"name":"`+name+`"}}]`)
		}
		w := s.post(test.path, body)
		if w.Code != test.want || test.want == 200 && !strings.Contains(w.Body.String(), `"name":"`+name+`"`) {
			t.Errorf("%s, %d characters: %d %s", test.path, test.length, w.Code, w.Body)
		}
	}
}

// TestHealth: GET /health is 200 while the model is loaded, however full the pool is.
func TestHealth(t *testing.T) {
	get := func(s *Server, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	loading := newTestServer(Config{Keys: keysOf("k")})
	if w := get(loading, "/health"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("loading: %d %s", w.Code, w.Body)
	}
	s := try(t, Config{Keys: keysOf("k")}, &echoModel{})
	if w := get(s.Server, "/health"); w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"ok"`) {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	s.draining.Store(true)
	if w := get(s.Server, "/health"); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("draining: %d %s", w.Code, w.Body)
	}
}

// TestAliases: the model is served under further names.
func TestAliases(t *testing.T) {
	models := func(s tried, path string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	s := try(t, Config{Aliases: []string{"gpt-4o", "org/name"}}, &echoModel{})
	for model, want := range map[string]int{"echo": 200, "gpt-4o": 200, "org/name": 200, "GPT-4o": 404, "other": 404} {
		if w := s.post(chatPath, say("hi", `"model":"`+model+`"`)); w.Code != want || want == 200 && !strings.Contains(w.Body.String(), `"model":"echo"`) {
			t.Errorf("%s: %d %s", model, w.Code, w.Body)
		}
		if code, body := models(s, "/v1/models/"+model); code != want || want == 200 && !strings.Contains(body, `"id":"`+model+`"`) {
			t.Errorf("model %s: %d %s", model, code, body)
		}
	}
	if _, body := models(s, "/v1/models"); strings.Count(body, `"root":"echo"`) != 3 || !strings.Contains(body, `"last_id":"org/name"`) {
		t.Errorf("%s", body)
	}
	anything := try(t, Config{Aliases: []string{"*"}}, &echoModel{})
	if w := anything.post(messagesPath, messagesBody("hi", `"session_id":"s"`)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := anything.post(messagesPath, strings.Replace(messagesBody("hi"), `"echo"`, `"claude-haiku-4-5"`, 1)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, body := models(anything, "/v1/models"); strings.Contains(body, `"*"`) || !strings.Contains(body, `"max_model_len":4096`) {
		t.Errorf("%s", body)
	}
}

// TestHints: a path that lacks /v1, or has it twice, is answered with the one that is meant.
func TestHints(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	for path, want := range map[string]string{
		"/chat/completions":           "want /v1/chat/completions: does the client's base URL lack /v1?",
		"/completions":                "want /v1/completions: does the client's base URL lack /v1?",
		"/messages":                   "want /v1/messages: does",
		"/messages/count_tokens":      "want /v1/messages/count_tokens: does",
		"/v1/v1/messages":             "want /v1/messages: the client adds /v1 itself",
		"/v1/v1/chat/completions":     "want /v1/chat/completions: the client adds /v1 itself",
		"/openai/v1/chat/completions": "; want /v1/chat/completions\"",
		"/v1/chat/completions/":       "; want /v1/chat/completions\"",
		"/api/generate":               "no such path: /api/generate\"",
		"/responses":                  "want /v1/responses: does",
		"/v1/embeddings":              "no such path: /v1/embeddings\"",
	} {
		if w := s.post(path, "{}"); w.Code != 404 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

// TestCutCharacter: a character that is cut off at the end of an answer is one U+FFFD, streamed and
// whole.
func TestCutCharacter(t *testing.T) {
	for n := 1; n < 4; n++ {
		s := try(t, Config{}, script("a😊b😊"[:1+n]))
		if got := chatText(s.post(chatPath, say("hi")).Body.Bytes()); got != "a\uFFFD" {
			t.Errorf("%d bytes: %q", n, got)
		}
		var p parts
		for _, data := range frames(s.post(chatPath, say("hi", `"stream":true`)).Body.String()) {
			p.addChunk(t, data)
		}
		if p.text != "a\uFFFD" {
			t.Errorf("%d bytes as a stream: %q", n, p.text)
		}
	}
}

// TestLengthErrorCode: the error's code is that of the bound that the request breaks.
func TestLengthErrorCode(t *testing.T) {
	for _, test := range []struct {
		e    generate.LengthError
		want string
	}{
		{generate.LengthError{Prompt: 9, MaxTokens: 2, Longest: 10, Context: 20}, generate.CodePool},
		{generate.LengthError{Prompt: 19, MaxTokens: 2, Longest: 10, Context: 20}, generate.CodeContext},
		{generate.LengthError{Prompt: 20, Longest: 20, Context: 20}, generate.CodeContext},
	} {
		if got := test.e.Code(); got != test.want || !slices.Contains(refusals, got) {
			t.Errorf("%+v: %s", test.e, got)
		}
	}
}

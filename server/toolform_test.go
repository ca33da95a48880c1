package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// A family is how one family of models writes the calls of familyCalls, behind a text.
type family struct {
	name, template string // the marks that its chat template shows
	text           string // before the calls
	calls          string
	result         string // role and text of what the first tool returned
}

const hermesResult = "user: <tool_response>\nrain\n</tool_response>"

var families = []family{
	{"hermes", "", "I look.\n", "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Oslo \\\"é\\\"\", \"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", hermesResult},
	{"qwen3-coder", "tools <tool_call> <function= <parameter=", "I look.\n", "<tool_call>\n<function=weather>\n<parameter=place>\nOslo \"é\"\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>", hermesResult},
	{"mistral", "tools [TOOL_CALLS][", "", `[TOOL_CALLS][{"name": "weather", "arguments": {"place": "Oslo \"é\"", "days": 2}}, {"name": "now", "arguments": {}}]`, hermesResult},
	{"mistral, spaced", "tools [TOOL_CALLS] [", "", `[TOOL_CALLS] [{"name": "weather", "arguments": {"place": "Oslo \"é\"", "days": 2}}, {"name": "now", "arguments": {}}]`, hermesResult},
	{"mistral 11", "tools [TOOL_CALLS] [CALL_ID] [ARGS]", "I look.", `[TOOL_CALLS]weather[CALL_ID]000000001[ARGS]{"place": "Oslo \"é\"", "days": 2}[TOOL_CALLS]now[CALL_ID]000000002[ARGS]{}`, hermesResult},
	{"mistral from 13 on", "tools [TOOL_CALLS] [ARGS]", "I look.", `[TOOL_CALLS]weather[ARGS]{"place": "Oslo \"é\"", "days": 2}[TOOL_CALLS]now[ARGS]{}`, hermesResult},
	{"llama", `tools ipython "parameters": `, "", `{"name": "weather", "parameters": {"place": "Oslo \"é\"", "days": 2}}; {"name": "now", "parameters": {}}`, "tool: rain"},
	{"deepseek", "tools <｜tool▁calls▁begin｜> ```json", "I look.", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"place\": \"Oslo \\\"é\\\"\", \"days\": 2}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", hermesResult},
	{"deepseek v3.1", "tools <｜tool▁calls▁begin｜>", "I look.", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"place\": \"Oslo \\\"é\\\"\", \"days\": 2}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", hermesResult},
}

// heardCalls reads the calls of an answer to a chat: name(arguments), joined by spaces.
func heardCalls(t *testing.T, body []byte, stream bool) (calls, text string) {
	t.Helper()
	type call struct {
		Index    int
		Function struct{ Name, Arguments string }
	}
	type message struct {
		Content   string
		ToolCalls []call `json:"tool_calls"`
	}
	var messages []message
	read := func(data []byte) {
		var a struct {
			Choices []struct{ Message, Delta message }
		}
		if err := json.Unmarshal(data, &a); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		for _, c := range a.Choices {
			messages = append(messages, c.Message, c.Delta)
		}
	}
	if !stream {
		read(body)
	} else {
		for line := range strings.Lines(string(body)) {
			if data, ok := strings.CutPrefix(line, "data: {"); ok {
				read([]byte("{" + data))
			}
		}
	}
	var names, arguments []string
	for _, m := range messages {
		text += m.Content
		for i, c := range m.ToolCalls {
			if !stream {
				c.Index = i
			}
			if c.Index == len(names) {
				names, arguments = append(names, c.Function.Name), append(arguments, "")
			}
			arguments[c.Index] += c.Function.Arguments
		}
	}
	for i, name := range names {
		if !json.Valid([]byte(arguments[i])) {
			t.Errorf("%s(%s)", name, arguments[i])
		}
		var v any
		json.Unmarshal([]byte(arguments[i]), &v)
		plain, _ := json.Marshal(v)
		calls += fmt.Sprintf("%s(%s) ", name, plain)
	}
	return calls, text
}

// TestToolForms: a model's calls are read in its family's own form, streamed and whole alike; the
// history has them in that form, and the exact tokens are found in the cache.
func TestToolForms(t *testing.T) {
	const want = `weather({"days":2,"place":"Oslo \"é\""}) now({}) `
	for _, f := range families {
		s := thinker(t, f.template, script(f.text+f.calls))
		for _, choice := range []string{"auto", "none"} {
			for _, stream := range []bool{false, true} {
				body := say("go", weather, fmt.Sprintf(`"stream":%v,"tool_choice":%q`, stream, choice))
				w := s.post(chatPath, body)
				calls, text := heardCalls(t, w.Body.Bytes(), stream)
				wantCalls, wantText := want, f.text
				if choice == "none" {
					wantCalls, wantText = "", f.text+f.calls
				}
				if w.Code != 200 || calls != wantCalls || text != wantText {
					t.Errorf("%s, %s, stream %v: %d %q, %q\n%s", f.name, choice, stream, w.Code, text, calls, w.Body)
				}
			}
		}
		// A call where one is required, and no text before it.
		w := thinker(t, f.template, script(f.calls)).post(chatPath, say("go", weather, `"tool_choice":"required"`))
		if calls, text := heardCalls(t, w.Body.Bytes(), false); calls != strings.TrimSuffix(want, "now({}) ") || text != "" {
			t.Errorf("%s, required: %q, %q", f.name, text, calls)
		}
		// A model that knows nothing of the form is held to it.
		w = thinker(t, f.template, script("what?")).post(chatPath, say("go", `"tools":[{"type":"function","function":{"name":"now","strict":true,"parameters":{"type":"object","properties":{},"additionalProperties":false}}}]`, `"tool_choice":"required"`))
		if calls, text := heardCalls(t, w.Body.Bytes(), false); calls != "now({}) " || text != "" {
			t.Errorf("%s, forced: %q, %q\n%s", f.name, text, calls, w.Body)
		}

		// The next turn, anonymous: the history is rendered in the form.
		history := `{"role":"user","content":"go"},{"role":"assistant","content":` + quote(f.text) + `,"tool_calls":[{"id":"1","type":"function","function":{"name":"weather","arguments":"{\"place\":\"Oslo \\\"é\\\"\",\"days\":2}"}},{"id":"2","type":"function","function":{"name":"now","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"rain"}`
		next := `{"temperature":0,"max_tokens":1,` + weather + `,"messages":[` + history + `]}`
		s.post(chatPath, next)
		if got, want := s.prompt(), "\nassistant: "+f.text+f.calls+"\n"+f.result; !strings.HasSuffix(got, want) {
			t.Errorf("%s: prompt\n%s\nwant at its end\n%s", f.name, got, want)
		}
		if described := strings.Contains(s.prompt(), "You can call functions."); described != (f.template == "") {
			t.Errorf("%s: the server describes the tools: %v", f.name, described)
		}
		// And an agent's: all of the turn before is cached, after a restart too, when the server has
		// only the memory.
		for _, forget := range []bool{false, true} {
			agent := fmt.Sprint("ada", forget)
			first := s.post(chatPath, say("go", weather), "X-Agent-ID", agent)
			if forget {
				old := s.backend.Swap(nil)
				s.Ready(old.engine, readText{byteText{template: f.template}, s.seen})
			}
			w = s.post(chatPath, next, "X-Agent-ID", agent)
			var a, b struct {
				Usage struct {
					Prompt  int `json:"prompt_tokens"`
					Output  int `json:"completion_tokens"`
					Details struct {
						Cached int `json:"cached_tokens"`
					} `json:"prompt_tokens_details"`
				}
			}
			json.Unmarshal(first.Body.Bytes(), &a)
			json.Unmarshal(w.Body.Bytes(), &b)
			if want := a.Usage.Prompt + a.Usage.Output; b.Usage.Details.Cached < want {
				t.Errorf("%s, forgotten %v: %d of %d tokens were cached, want %d", f.name, forget, b.Usage.Details.Cached, b.Usage.Prompt, want)
			}
		}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestLlamaText: what looks like a call of Llama's counts at the beginning of an answer alone.
func TestLlamaText(t *testing.T) {
	const template = `tools ipython "parameters": `
	call := `{"name": "now", "parameters": {}}`
	for _, test := range []struct{ script, text, calls string }{
		{"Use " + call, "Use " + call, ""},
		{`{"na`, `{"na`, ""},
		{`{"nam": 1}`, `{"nam": 1}`, ""},
		{"<|python_tag|>" + call, "", "now({}) "},
		{"<|python", "<|python", ""},
		{call, "", "now({}) "},
	} {
		for _, stream := range []bool{false, true} {
			w := thinker(t, template, script(test.script)).post(chatPath, say("go", weather, fmt.Sprintf(`"stream":%v`, stream)))
			if calls, text := heardCalls(t, w.Body.Bytes(), stream); calls != test.calls || text != test.text {
				t.Errorf("%s, stream %v: %q, %q", test.script, stream, text, calls)
			}
		}
	}
	// An answer that must be an object beside tools is one, whatever its first name.
	w := thinker(t, template, script(`{"name": "now"}`)).post(chatPath, say("go", weather, `"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}}}`))
	if calls, text := heardCalls(t, w.Body.Bytes(), false); calls != "" || text != `{"name": "now"}` {
		t.Errorf("%q, %q", text, calls)
	}
}

// TestXMLParameters: parameters that are written one by one become the object that the schema
// means.
func TestXMLParameters(t *testing.T) {
	const template = "tools <tool_call> <function= <parameter="
	tool := func(schema string) string {
		return `"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":` + schema + `}}],"tool_choice":"required","max_tokens":300`
	}
	call := func(parameters ...string) string {
		b := "<tool_call>\n<function=f>\n"
		for i := 0; i < len(parameters); i += 2 {
			b += "<parameter=" + parameters[i] + ">\n" + parameters[i+1] + "\n</parameter>\n"
		}
		return b + "</function>\n</tool_call>"
	}
	for _, test := range []struct{ schema, script, want string }{
		{`{"type":"object","properties":{"s":{"type":"string"}},"required":["s"],"additionalProperties":false}`, call("s", "a <b>\n</parameter>\"\\ é"), `{"s":"a <b>\n</parameter>\"\\ é"}`},
		{`{"type":"object","properties":{"s":{"type":"string"}},"required":["s"],"additionalProperties":false}`, call("s", "12"), `{"s":"12"}`},
		{`{"type":"object","properties":{"n":{"type":"integer"},"l":{"type":"array","items":{"type":"string"}}},"required":["n"],"additionalProperties":false}`, call("n", "12", "l", `["a", "b"]`), `{"l":["a","b"],"n":12}`},
		{`{"type":"object","properties":{"e":{"type":"string","enum":["red","blue"]}},"required":["e"],"additionalProperties":false}`, call("e", "blue"), `{"e":"blue"}`},
		{`{"type":"object","properties":{"o":{"$ref":"#/$defs/o"}},"$defs":{"o":{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"],"additionalProperties":false}},"required":["o"],"additionalProperties":false}`, call("o", `{"x": true}`), `{"o":{"x":true}}`},
		{`{"type":"object","properties":{"p":{"type":"string","pattern":"^[ab]+$"}},"required":["p"],"additionalProperties":false}`, call("p", `"abba"`), `{"p":"abba"}`},
		{`{"type":"object","properties":{},"additionalProperties":false}`, call(), `{}`},
		{`null`, call("any", "thing", "n", "1"), `{"any":"thing","n":1}`},
	} {
		for _, stream := range []bool{false, true} {
			w := thinker(t, template, script(test.script)).post(chatPath, say("go", tool(test.schema), fmt.Sprintf(`"stream":%v`, stream)))
			calls, _ := heardCalls(t, w.Body.Bytes(), stream)
			if got := strings.TrimSuffix(strings.TrimPrefix(calls, "f("), ") "); w.Code != 200 || !sameJSON(got, test.want) {
				t.Errorf("%s, stream %v: %d %s, want %s\n%s", test.schema, stream, w.Code, got, test.want, w.Body)
			}
		}
		// A model that means something else is held to the schema.
		w := thinker(t, template, script(strings.Repeat("no ", 20)+"\n</parameter>\n</function>\n")).post(chatPath, say("go", tool(test.schema)))
		if calls, _ := heardCalls(t, w.Body.Bytes(), false); w.Code != 200 || !strings.HasPrefix(calls, "f(") {
			t.Errorf("%s: %d %s\n%s", test.schema, w.Code, calls, w.Body)
		}
	}
	// What the form cannot hold is refused where a guarantee was asked for.
	schema := `{"type":"object","properties":{"a":{"type":"string"}},"minProperties":1}`
	if w := thinker(t, template, script("")).post(chatPath, say("go", tool(schema))); w.Code != 400 || !strings.Contains(w.Body.String(), "minProperties") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := thinker(t, template, script("")).post(chatPath, say("go", strings.Replace(tool(schema), `"strict":true,`, "", 1)))
	if w.Code != 200 || !strings.Contains(w.Header().Get("X-Unheld"), "minProperties") {
		t.Errorf("%d %s, %s", w.Code, w.Header().Get("X-Unheld"), w.Body)
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

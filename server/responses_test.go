package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

const responsesPath = "/v1/responses"

// responseTools are weather's tools in the form of the Responses API, and one of each other type.
const responseTools = `"tools":[{"type":"function","name":"weather","description":"of a place","strict":true,"parameters":{"type":"object","properties":{"place":{"type":"string"}},"required":["place"],"additionalProperties":false}},{"type":"function","name":"now","parameters":{"type":"object","properties":{}}},{"type":"custom","name":"patch","description":"Edits files."},{"type":"local_shell"},{"type":"namespace","name":"mcp__files__","description":"Files","tools":[{"type":"function","name":"read","parameters":{"type":"object","properties":{}}}]}]`

var responseID = regexp.MustCompile(`resp_[A-Z2-7]{26}`)

func TestWireResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := transcript{joined: true}
		model := &echoModel{delay: 5 * time.Millisecond}
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: model}, byteText{})
		l := listen(t, s)
		send := func(what, body string, headers ...string) string {
			t.Helper()
			return responseID.FindString(tr.exchange(t, l, what, postTo(responsesPath, body, headers...)))
		}
		first := send("an answer in one piece", `{"model":"echo","input":"Hi!","temperature":0,"instructions":"Be brief.","metadata":{"a":"b"},"user":"u"}`)
		second := send("a stream that continues it, cut off", `{"input":[{"role":"user","content":[{"type":"input_text","text":"Hello"}]}],"previous_response_id":"`+first+`","temperature":0,"stream":true,"max_output_tokens":3}`)
		send("an agent's, that is not stored, with log-probabilities", `{"input":"ab","store":false,"temperature":0,"include":["message.output_text.logprobs"],"top_logprobs":1}`, "X-Agent-ID: ada")
		tr.exchange(t, l, "a stored response", get(responsesPath+"/"+second))
		tr.exchange(t, l, "its input", get(responsesPath+"/"+second+"/input_items?order=asc"))
		tr.exchange(t, l, "cancelling it", postTo(responsesPath+"/"+second+"/cancel", ""))
		tr.exchange(t, l, "deleting it", strings.Replace(get(responsesPath+"/"+second), "GET", "DELETE", 1))
		tr.exchange(t, l, "it is gone", get(responsesPath+"/"+second))
		send("and cannot be continued", `{"input":"x","previous_response_id":"`+second+`"}`)
		tr.exchange(t, l, "how many tokens", postTo(responsesPath+"/input_tokens", `{"input":"Hi!","instructions":"Be brief."}`))

		model.broken, model.from = errors.New("step: out of luck"), 7
		send("the model fails in a stream", `{"input":"abcdef","temperature":0,"stream":true}`)
		tr.check(t, "responses")
	})
}

// TestReferences: a body of references, each of a few bytes, cannot have the server read more than a
// body may have.
func TestReferences(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	large := `{"type":"web_search_call","action":"` + strings.Repeat("x", 1<<20) + `"},`
	hi := `{"role":"user","content":"hi"}]}`
	id := readResponse(t, s.post(responsesPath, `{"input":[`+large+hi)).ID
	reference := `{"type":"item_reference","id":"` + strings.Replace(id, "resp_", "item_", 1) + `_in0"},`
	for n, want := range map[int]int{7: 200, 8: 400} {
		w := s.post(responsesPath, `{"input":[`+strings.Repeat(reference, n)+hi)
		if w.Code != want || want == 400 && !strings.Contains(w.Body.String(), `"param":"input[7].id"`) {
			t.Errorf("%d references to 1 MiB: %d %s", n, w.Code, w.Body)
		}
	}
}

// TestLongConversation: a conversation that is continued by an id may have as much as a body that
// has all of it, and is not read further.
func TestLongConversation(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	large := `{"input":[{"type":"web_search_call","action":"` + strings.Repeat("x", 1<<20) + `"},{"role":"user","content":"hi"}]`
	previous := ""
	for n := range 9 {
		body := large
		if previous != "" {
			body += `,"previous_response_id":"` + previous + `"`
		}
		w := s.post(responsesPath, body+"}")
		if want := map[bool]int{true: 200, false: 400}[n < 8]; w.Code != want {
			t.Fatalf("after %d responses of 1 MiB: %d %s", n, w.Code, w.Body)
		}
		if n < 8 {
			previous = readResponse(t, w).ID
		} else if !strings.Contains(w.Body.String(), `"code": "context_length_exceeded"`) || !strings.Contains(w.Body.String(), "Begin a new conversation") {
			t.Errorf("%s", w.Body)
		}
	}
}

func TestWireResponsesTools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := transcript{joined: true}
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)}, engine.Config{Model: script(everyCall)}, byteText{})
		l := listen(t, s)
		send := func(what, body string) { tr.exchange(t, l, what, postTo(responsesPath, body)) }
		send("calls of every kind", `{"input":"go","temperature":0,`+responseTools+`}`)
		send("as a stream", `{"input":"go","temperature":0,"stream":true,`+responseTools+`}`)
		send("one call, cut off", `{"input":"go","temperature":0,"max_output_tokens":70,`+responseTools+`}`)
		tr.check(t, "responses-tools")
	})
}

const everyCall = "So.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\":\"Oslo\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"patch\", \"arguments\": {\"input\":\"a\\n\\\"b\\\"\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"local_shell\", \"arguments\": {\"command\":[\"ls\",\"-l\"]}}\n</tool_call>\n<tool_call>\n{\"name\": \"mcp__files__read\", \"arguments\": {}}\n</tool_call>"

// responseBody is what tests read of a response.
type responseBody struct {
	ID     string
	Status string
	Store  bool
	Output []struct {
		ID, Type, Name, Arguments, Input, Namespace string
		CallID                                      string `json:"call_id"`
		Content                                     []struct{ Type, Text string }
	}
	Usage struct {
		Input   int `json:"input_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
			Tier   string
		} `json:"input_tokens_details"`
	}
}

func readResponse(t *testing.T, w *httptest.ResponseRecorder) (r responseBody) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return r
}

func (s tried) get(path string, headers ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	s.ServeHTTP(w, r)
	return w
}

func (s tried) delete(path string) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest("DELETE", path, nil), httptest.NewRecorder()
	r.Host = "localhost"
	s.ServeHTTP(w, r)
	return w
}

// TestResponseItems: every item that this API has for text becomes the message that it is.
func TestResponseItems(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	call := func(name, arguments string) string {
		return "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + arguments + "}\n</tool_call>"
	}
	for _, test := range []struct{ items, want string }{
		{`"hi"`, "user: hi"},
		{`[{"role":"user","content":"hi"}]`, "user: hi"},
		{`[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}]`, "user: ab"},
		{`[{"role":"developer","content":"A"},{"role":"system","content":"B"},{"role":"user","content":"x"}]`, "system: A\nB\nuser: x"},
		{`[{"role":"user","content":"x"},{"role":"developer","content":"A"}]`, "user: x\n<system-reminder>\nA\n</system-reminder>"},
		{`[{"role":"user","content":"x"},{"role":"user","content":"y"}]`, "user: x\ny"},
		{`[{"role":"user","content":"x"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ho","annotations":[]},{"type":"refusal","refusal":"!"}]},{"role":"user","content":"y"}]`, "user: x\nassistant: ho!\nuser: y"},
		{`[{"role":"user","content":"x"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"},{"role":"assistant","content":"so"},{"type":"function_call","call_id":"1","name":"f","arguments":"{\"a\":1}"},{"type":"function_call","call_id":"2","name":"read","namespace":"mcp__files__","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"one"},{"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"two"}]}]`,
			"user: x\nassistant: so" + call("f", `{"a": 1}`) + "\n" + call("mcp__files__read", "{}") + "\nuser: <tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"},
		{`[{"role":"user","content":"x"},{"type":"custom_tool_call","call_id":"1","name":"patch","input":"*** Begin"},{"type":"custom_tool_call_output","call_id":"1","output":"ok"}]`,
			"user: x\nassistant: " + call("patch", `{"input": "*** Begin"}`) + "\nuser: <tool_response>\nok\n</tool_response>"},
		{`[{"role":"user","content":"x"},{"type":"local_shell_call","call_id":"1","status":"completed","action":{"type":"exec","command":["ls"]}},{"type":"local_shell_call_output","id":"1","output":"{\"output\":\"a\"}"}]`,
			"user: x\nassistant: " + call("local_shell", `{"type": "exec", "command": ["ls"]}`) + "\nuser: <tool_response>\n{\"output\":\"a\"}\n</tool_response>"},
		{`[{"role":"user","content":"x"},{"role":"assistant","content":"1"},{"role":"assistant","content":"2"},{"type":"web_search_call","id":"ws_1","status":"completed"}]`, "user: x\nassistant: 1\n2"},
	} {
		w := s.post(responsesPath, `{"max_output_tokens":2,"temperature":0,"input":`+test.items+`}`)
		if got := s.prompt(); w.Code != 200 || got != test.want {
			t.Errorf("%s: %d %s, prompt\n%s\nwant\n%s", test.items, w.Code, w.Body, got, test.want)
		}
	}
}

// TestResponseRefusals: what cannot be held is refused by its name.
func TestResponseRefusals(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	tools := func(list string) string { return `"input":"x","tools":[` + list + `]` }
	for _, test := range []struct{ body, code, want string }{
		{`"input":"x","background":true`, "unsupported_parameter", "background: this server"},
		{`"input":"x","conversation":"conv_1"`, "unsupported_parameter", "conversation: not"},
		{`"input":"x","prompt":{"id":"pmpt_1"}`, "unsupported_parameter", "prompt: this server"},
		{`"input":"x","truncation":"auto"`, "unsupported_parameter", "truncation: "},
		{`"input":"x","previous_response_id":"resp_nope"`, "previous_response_not_found", "Previous response with id 'resp_nope' not found. It was not stored, was deleted, is older than what this server keeps, or another replica has it: send"},
		{tools(`{"type":"web_search"}`), "unsupported_parameter", `tools[0].type: \"web_search\"`},
		{tools(`{"type":"mcp","server_url":"http://x"}`), "unsupported_parameter", `tools[0].type: \"mcp\"`},
		{tools(`{"type":"custom","name":"p","format":{"type":"grammar","syntax":"lark","definition":"start: /a/"}}`), "unsupported_parameter", "tools[0].format"},
		{tools(`{"type":"function","name":"a b"}`), "invalid_value", "tools[0]: the name"},
		{tools(`{"type":"function","name":"f"}`) + `,"tool_choice":{"type":"function","name":"g"}`, "invalid_value", "tool_choice: no tool"},
		{tools(`{"type":"function","name":"f"}`) + `,"tool_choice":{"type":"web_search"}`, "unsupported_parameter", "tool_choice.type"},
		{tools(`{"type":"function","name":"f"}`) + `,"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]}`, "invalid_value", "tool_choice.tools: no tools"},
		{`"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]`, "unsupported_parameter", "input[0].content[0].type"},
		{`"input":[{"type":"compaction","encrypted_content":"x"}]`, "unsupported_parameter", "input[0].type"},
		{`"input":[{"type":"item_reference","id":"msg_1"}]`, "invalid_value", "input[0].id"},
		{`"input":[{"role":"robot","content":"x"}]`, "invalid_value", "input[0].role"},
		{`"input":[7]`, "invalid_value", "input[0]: want an object, got number"},
		{`"input":[{"role":7,"content":"x"}]`, "invalid_value", "input[0].role: want a string, got number"},
		{`"input":[{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_text","text":7}]}]`, "invalid_value", "input[0].content[1].text: want a string, got number"},
		{`"input":[{"type":"function_call_output","call_id":"c","output":["x"]}]`, "invalid_value", "input[0].output[0]: want an object, got string"},
		{tools(`{"type":"function","name":7}`), "invalid_value", "tools[0].name: want a string, got number"},
		{`"input":"x","text":{"format":{"type":"json_schema","schema":{},"strict":"yes"}}`, "invalid_value", "text.format.strict: want a boolean, got string"},
		{`"input":"x","text":"json"`, "invalid_value", "text: want an object, got string"},
		{`"input":"x","response_format":{"type":"json_object"}`, "unsupported_parameter", "response_format: not a field of this API; use text.format"},
		{`"input":"x","stop":["a"]`, "unsupported_parameter", "stop: not a field of this API, which has no stop strings; /v1/chat/completions has"},
		{`"input":7`, "invalid_value", "input: want a string"},
		{`"input":[]`, "invalid_value", "input: missing"},
		{`"input":"x","max_output_tokens":0`, "invalid_value", "max_output_tokens: 0"},
		{`"input":"x","top_logprobs":21`, "invalid_value", "top_logprobs"},
		{`"input":"x","text":{"format":{"type":"grammar"}}`, "invalid_value", "text.format.type"},
		{`"input":"x","text":{"format":{"type":"json_schema","name":"n"}}`, "invalid_value", "text.format.schema: missing"},
		{`"input":"x","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"array","uniqueItems":true}}}`, "unsupported_parameter", "text.format.schema"},
		{`"input":"x","guided_regex":"a"`, "unsupported_parameter", "guided_regex"},
	} {
		w := s.post(responsesPath, "{"+test.body+"}")
		if w.Code != 400 || !strings.Contains(w.Body.String(), test.want) || !strings.Contains(w.Body.String(), test.code) {
			t.Errorf("%s: %d %s, want %s, %s", test.body, w.Code, w.Body, test.code, test.want)
		}
	}
}

// TestResponseForms: the text is held to its format, and calls to the choice of tools.
func TestResponseForms(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	schema := `{"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}`
	for _, format := range []string{
		`{"type":"json_schema","name":"n","strict":true,"schema":` + schema + `}`,
		`{"type":"json_schema","name":"n","schema":` + schema + `}`,
	} {
		r := readResponse(t, s.post(responsesPath, `{"input":"say it","temperature":0,"text":{"verbosity":"low","format":`+format+`}}`))
		var v map[string]int
		if err := json.Unmarshal([]byte(r.Output[0].Content[0].Text), &v); err != nil || len(v) != 1 || v["a"] < 1 || v["a"] > 2 {
			t.Errorf("%s: %+v", format, r)
		}
	}
	r := readResponse(t, s.post(responsesPath, `{"input":"say it","temperature":0,"text":{"format":{"type":"json_object"}}}`))
	if text := r.Output[0].Content[0].Text; !strings.HasPrefix(text, "{") {
		t.Errorf("an object: %q", text)
	}
	for choice, want := range map[string]string{
		`"required"`:                       "",
		`{"type":"function","name":"now"}`: "now",
		`{"type":"custom","name":"patch"}`: "patch",
		`{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"now"}]}`:                             "now",
		`{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"read","namespace":"mcp__files__"}]}`: "read",
	} {
		r := readResponse(t, s.post(responsesPath, `{"input":"go","temperature":0,"max_output_tokens":400,"parallel_tool_calls":false,`+responseTools+`,"tool_choice":`+choice+`}`))
		if len(r.Output) != 1 || !strings.HasSuffix(r.Output[0].Type, "_call") || want != "" && r.Output[0].Name != want {
			t.Errorf("%s: %+v", choice, r.Output)
		}
	}
}

// TestResponseChain: a conversation is continued by the id of its last response, at no cost but
// that of what is new, also by a server that was restarted; it can fork, and its items can be
// named.
func TestResponseChain(t *testing.T) {
	dir := t.TempDir()
	open := func() tried {
		store, err := OpenResponses(filepath.Join(dir, "responses"), ResponseLimits{})
		if err != nil {
			t.Fatal(err)
		}
		return try(t, Config{Responses: store}, &echoModel{})
	}
	s := open()
	ask := func(text, previous string) responseBody {
		t.Helper()
		return readResponse(t, s.post(responsesPath, fmt.Sprintf(`{"input":%q,"previous_response_id":%s,"temperature":0,"instructions":"I."}`, text, previous)))
	}
	one := ask(strings.Repeat("a", 40), "null")
	two := ask("b", `"`+one.ID+`"`)
	three := ask("c", `"`+two.ID+`"`)
	want := "system: I.\nuser: " + strings.Repeat("a", 40) + "\nassistant: " + strings.Repeat("a", 40) + "\nuser: b\nassistant: b\nuser: c"
	if s.prompt() != want {
		t.Errorf("prompt\n%s\nwant\n%s", s.prompt(), want)
	}
	if got, min := three.Usage.Details.Cached, two.Usage.Input; got < min {
		t.Errorf("%d of %d tokens were cached, want %d at least", got, three.Usage.Input, min)
	}
	s = open()
	if fork := ask("d", `"`+two.ID+`"`); s.prompt() != strings.TrimSuffix(want, "c")+"d" || fork.Status != "completed" {
		t.Errorf("prompt\n%s", s.prompt())
	}
	// An item of a response, by its id; and an input item.
	r := readResponse(t, s.post(responsesPath, `{"temperature":0,"input":[{"type":"item_reference","id":"`+strings.Replace(one.ID, "resp_", "msg_", 1)+`_in0"},{"id":"`+two.Output[0].ID+`"},{"role":"user","content":"e"}]}`))
	if want := "user: " + strings.Repeat("a", 40) + "\nassistant: b\nuser: e"; s.prompt() != want || r.Status != "completed" {
		t.Errorf("prompt\n%s\nwant\n%s", s.prompt(), want)
	}
	// A response in the middle that is gone is named.
	s.delete(responsesPath + "/" + two.ID)
	w := s.post(responsesPath, `{"input":"x","previous_response_id":"`+three.ID+`"}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "continues '"+two.ID+"'") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Only the user may read the files.
	err := filepath.WalkDir(filepath.Join(dir, "responses"),
		func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode().Perm()&0o77 != 0 {
				t.Errorf("%s: %v", path, info.Mode())
			}
			return err
		})
	if err != nil {
		t.Error(err)
	}
}

// TestResponseAgent: the responses of an agent are continued with its memory, and forgotten with
// it.
func TestResponseAgent(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	first := readResponse(t, s.post(responsesPath, `{"input":"hello there","temperature":0}`, "X-Agent-ID", "ada"))
	second := readResponse(t, s.post(responsesPath, `{"input":"more","temperature":0,"previous_response_id":"`+first.ID+`"}`))
	// The whole turn, though it ends within a block.
	if want := first.Usage.Input + len("hello there"); second.Usage.Details.Cached != want {
		t.Errorf("%d tokens were cached, want %d", second.Usage.Details.Cached, want)
	}
	if w := s.delete("/v1/agents/ada"); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := s.post(responsesPath, `{"input":"x","previous_response_id":"`+second.ID+`"}`); w.Code != 400 {
		t.Errorf("a response of an agent that is deleted: %d %s", w.Code, w.Body)
	}
}

// TestResponseNotStored: what is not stored cannot be named.
func TestResponseNotStored(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	r := readResponse(t, s.post(responsesPath, `{"input":"x","store":false,"temperature":0}`))
	if w := s.post(responsesPath, `{"input":"x","previous_response_id":"`+r.ID+`"}`); r.Store || w.Code != 400 {
		t.Errorf("%v, %d %s", r.Store, w.Code, w.Body)
	}
}

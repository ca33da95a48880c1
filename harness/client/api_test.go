package client

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// typedEvent is an event of a stream whose type is in its data, too, as Anthropic's and the
// responses API's are.
func typedEvent(kind, rest string) string {
	return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + rest + "}\n\n"
}

// spoken is a stream of an API and what a client must make of it.
type spoken struct {
	name   string
	api    API
	events []string
	want   record.Record // compared by what it says, counts and how it ended
}

const (
	messageStart = `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],` +
		`"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":7,` +
		`"cache_read_input_tokens":100,"output_tokens":1}}`
	created = `,"sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress",` +
		`"error":null,"incomplete_details":null,"output":[],"usage":null}`
)

func blockStart(index, block string) string {
	return typedEvent("content_block_start", `,"index":`+index+`,"content_block":`+block)
}

func blockDelta(index, delta string) string {
	return typedEvent("content_block_delta", `,"index":`+index+`,"delta":`+delta)
}

func messageEnd(reason string) string {
	return typedEvent("message_delta", `,"delta":{"stop_reason":"`+reason+`","stop_sequence":null},"usage":{"output_tokens":9}`) +
		typedEvent("message_stop", "")
}

func itemEvent(kind, item string) string {
	return typedEvent("response.output_item."+kind, `,"sequence_number":1,"output_index":0,"item":`+item)
}

func delta(kind, text string) string {
	return typedEvent("response."+kind+".delta", `,"sequence_number":2,"item_id":"x","output_index":0,"delta":`+text)
}

func responseEnd(kind, rest string) string {
	return typedEvent("response."+kind, `,"sequence_number":9,"response":{"id":"resp_1","status":"`+kind+`",`+rest+
		`"output":[{"type":"message","content":[{"type":"output_text","text":"said before"}]}],"usage":{"input_tokens":112,`+
		`"input_tokens_details":{"cached_tokens":100},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":121}}`)
}

var counts = record.Record{PromptTokens: 112, CachedTokens: 100, OutputTokens: 9}

// counted is a record with those counts and more.
func counted(change func(r *record.Record)) record.Record {
	r := counts
	r.Outcome = record.OK
	change(&r)
	return r
}

var streamsOfAPIs = []spoken{
	{"all of it in the end", Responses, []string{
		typedEvent("response.created", created),
		responseEnd("completed", "")},
		counted(func(r *record.Record) {
			r.Answer, r.Finish, r.ReasoningTokens = "said before", "stop", 3
			r.OutputTokens, r.Claimed = -1, 9 // of reasoning that was not sent
		})},
	{"no status in the end", Responses, []string{
		delta("output_text", `"so"`),
		typedEvent("response.completed", `,"response":{"id":"resp_1","usage":{"input_tokens":112,"input_tokens_details":{"cached_tokens":100},"output_tokens":9}}`)},
		counted(func(r *record.Record) { r.Answer, r.Finish = "so", "stop" })},
	{"text", Messages, []string{
		typedEvent("message_start", messageStart) + blockStart("0", `{"type":"text","text":""}`) + typedEvent("ping", ""),
		blockDelta("0", `{"type":"text_delta","text":"Hello"}`),
		blockDelta("0", `{"type":"text_delta","text":", wörld"}`),
		typedEvent("content_block_stop", `,"index":0`) + messageEnd("end_turn")},
		counted(func(r *record.Record) { r.Answer, r.Finish = "Hello, wörld", "stop" })},
	{"thinking, text, a call", Messages, []string{
		typedEvent("message_start", messageStart) + blockStart("0", `{"type":"thinking","thinking":"","signature":""}`),
		blockDelta("0", `{"type":"thinking_delta","thinking":"hm"}`),
		blockDelta("0", `{"type":"signature_delta","signature":"c2ln"}`) + typedEvent("content_block_stop", `,"index":0`) +
			blockStart("1", `{"type":"redacted_thinking","data":"b3BhcXVl"}`) +
			blockStart("2", `{"type":"text","text":""}`),
		blockDelta("2", `{"type":"text_delta","text":"so"}`),
		blockStart("3", `{"type":"tool_use","id":"t1","name":"put","input":{}}`) + blockDelta("3", `{"type":"input_json_delta","partial_json":""}`),
		blockDelta("3", `{"type":"input_json_delta","partial_json":"{\"x\":"}`),
		blockDelta("3", `{"type":"input_json_delta","partial_json":"1}"}`),
		messageEnd("tool_use")},
		counted(func(r *record.Record) {
			r.Thought, r.Answer, r.Calls, r.Finish, r.Reasoning = "hm", "so", "\nput {\"x\":1}", "tool_calls", 1
		})},
	{"an error in the middle", Messages, []string{
		typedEvent("message_start", messageStart) + blockDelta("0", `{"type":"text_delta","text":"Hel"}`),
		typedEvent("error", `,"error":{"type":"overloaded_error","message":"Overloaded"}`)},
		record.Record{Outcome: record.Failed, Error: "Overloaded", PromptTokens: 112, CachedTokens: 100, OutputTokens: -1}},
	{"cut before message_stop", Messages, []string{
		typedEvent("message_start", messageStart) + blockDelta("0", `{"type":"text_delta","text":"Hel"}`),
		strings.TrimSuffix(messageEnd("max_tokens"), typedEvent("message_stop", ""))},
		record.Record{Outcome: record.Truncated, Error: "stream ended after 1 chunks without its message_stop",
			Answer: "Hel", Finish: "length", PromptTokens: 112, CachedTokens: 100, OutputTokens: 9}},

	{"text", Responses, []string{
		typedEvent("response.created", created) + typedEvent("response.in_progress", created) +
			itemEvent("added", `{"id":"x","type":"message","role":"assistant","status":"in_progress","content":[]}`) +
			typedEvent("response.content_part.added", `,"part":{"type":"output_text","text":""}`),
		delta("output_text", `"Hello"`), delta("output_text", `", w\u00f6rld"`),
		typedEvent("response.output_text.done", `,"text":"Hello, wörld"`) +
			itemEvent("done", `{"type":"message","content":[{"type":"output_text","text":"Hello, wörld"}]}`) +
			responseEnd("completed", "")},
		counted(func(r *record.Record) {
			r.Answer, r.Finish, r.ReasoningTokens = "Hello, wörld", "stop", 3
			r.OutputTokens, r.Claimed = -1, 9 // it was not sent what it counts as reasoning
		})},
	{"reasoning, a call in pieces, one in a piece", Responses, []string{
		typedEvent("response.created", created) + itemEvent("added", `{"type":"reasoning","summary":[]}`),
		delta("reasoning_summary_text", `"hm"`),
		itemEvent("done", `{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}`) +
			itemEvent("added", `{"type":"function_call","call_id":"c1","name":"put","arguments":""}`),
		delta("function_call_arguments", `"{\"x\":"`), delta("function_call_arguments", `"1}"`),
		itemEvent("done", `{"type":"function_call","call_id":"c1","name":"put","arguments":"{\"x\":1}"}`),
		itemEvent("added", `{"type":"function_call","call_id":"c2","name":"get","arguments":""}`) +
			itemEvent("done", `{"type":"function_call","call_id":"c2","name":"get","arguments":"{\"y\":2}"}`) +
			responseEnd("completed", "")},
		counted(func(r *record.Record) {
			r.Thought, r.Calls, r.Finish, r.Reasoning, r.ReasoningTokens = "hm", "\nput {\"x\":1}\nget {\"y\":2}", "tool_calls", 1, 3
		})},
	{"incomplete", Responses, []string{
		typedEvent("response.created", created) + delta("output_text", `"Hel"`) + delta("reasoning_text", `"?"`),
		responseEnd("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`)},
		counted(func(r *record.Record) {
			r.Answer, r.Thought, r.Finish, r.ReasoningTokens = "Hel", "?", "length", 3
		})},
	{"failed", Responses, []string{
		typedEvent("response.created", created) + delta("output_text", `"Hel"`),
		responseEnd("failed", `"error":{"code":"server_error","message":"the model fell over"},`)},
		record.Record{Outcome: record.Failed, Error: "the model fell over", Finish: "failed",
			PromptTokens: 112, CachedTokens: 100, OutputTokens: 9}},
	{"an error event", Responses, []string{
		typedEvent("response.created", created),
		typedEvent("error", `,"sequence_number":3,"code":"rate_limit_exceeded","message":"slow down","param":null`)},
		record.Record{Outcome: record.Failed, Error: "slow down", PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}},
	{"cut before its end", Responses, []string{typedEvent("response.created", created) + delta("output_text", `"Hel"`)},
		record.Record{Outcome: record.Truncated, Error: "stream ended after 1 chunks without its finish_reason",
			Answer: "Hel", PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}},

	{"text", Completions, []string{
		data(`{"object":"text_completion","choices":[{"index":0,"text":"Hel","finish_reason":null}]}`),
		data(`{"object":"text_completion","choices":[{"index":0,"text":"lo","finish_reason":"stop"}]}`) +
			data(`{"choices":[],"usage":{"prompt_tokens":112,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":100}}}`) +
			data("[DONE]")},
		counted(func(r *record.Record) { r.Answer, r.Finish = "Hello", "stop" })},
}

// Every API's streams end in the same form of record: what was said, thought and called, how many
// tokens, how it ended. Every piece has its own time.
func TestAPIs(t *testing.T) {
	for _, tc := range streamsOfAPIs {
		t.Run(string(tc.api)+" "+tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := stream(streamHead, tc.events...).client(t)
				c.API = tc.api
				r := c.Ask(t.Context(), 0, Prompt{})
				assert.Equal(t, r.Outcome, tc.want.Outcome, r.Error)
				if tc.want.Outcome != record.Failed {
					assert.Equal(t, r.Answer, tc.want.Answer)
					assert.Equal(t, r.Thought, tc.want.Thought)
					assert.Equal(t, r.Calls, tc.want.Calls)
				}
				assert.Equal(t, r.Error, tc.want.Error)
				assert.Equal(t, r.Finish, tc.want.Finish)
				assert.Equal(t, r.Reasoning, tc.want.Reasoning)
				assert.Equal(t, r.ReasoningTokens, tc.want.ReasoningTokens)
				got := []int{r.PromptTokens, r.CachedTokens, r.OutputTokens, r.Claimed}
				assert.DeepEqual(t, got, []int{tc.want.PromptTokens, tc.want.CachedTokens, tc.want.OutputTokens, tc.want.Claimed})
				for i, at := range r.Chunks {
					assert.Equal(t, at%(10*ms), time.Duration(0), "%d", i)
				}
				for _, note := range r.Notes {
					assert.Assert(t, note.Kind() != record.NoteEvent && note.Kind() != record.NoteField, note)
				}
				assert.Equal(t, len(record.Check([]record.Record{r}, -1)), 0, "%v", record.Check([]record.Record{r}, -1))
			})
		})
	}
}

// The same answers in one piece.
func TestAPIsWhole(t *testing.T) {
	for _, tc := range []struct {
		api  API
		body string
		want record.Record
	}{
		{Messages, `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},` +
			`{"type":"text","text":"so"},{"type":"tool_use","id":"t1","name":"put","input":{"x":1}}],"stop_reason":"tool_use","stop_sequence":null,` +
			`"usage":{"input_tokens":5,"cache_creation_input_tokens":7,"cache_read_input_tokens":100,"output_tokens":9}}`,
			record.Record{Thought: "hm", Answer: "so", Calls: "\nput {\"x\":1}", Finish: "tool_calls"}},
		{Responses, `{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"m","output":[` +
			`{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},` +
			`{"type":"message","content":[{"type":"output_text","text":"so","annotations":[]}]},` +
			`{"type":"function_call","call_id":"c1","name":"put","arguments":"{\"x\":1}"}],` +
			`"usage":{"input_tokens":112,"input_tokens_details":{"cached_tokens":100},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":3}}}`,
			record.Record{Thought: "hm", Answer: "so", Calls: "\nput {\"x\":1}", Finish: "tool_calls", ReasoningTokens: 3}},
		{Completions, `{"object":"text_completion","choices":[{"text":"so","finish_reason":"length"}],` +
			`"usage":{"prompt_tokens":112,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":100}}}`,
			record.Record{Answer: "so", Finish: "length"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := wire{{0, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + tc.body}}.client(t)
			c.API = tc.api
			r := c.Ask(t.Context(), 0, Prompt{NoStream: true})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", tc.api, r.Error)
			got := record.Record{Thought: r.Thought, Answer: r.Answer, Calls: r.Calls, Finish: r.Finish, ReasoningTokens: r.ReasoningTokens}
			assert.DeepEqual(t, got, tc.want)
			assert.DeepEqual(t, []int{r.PromptTokens, r.CachedTokens, r.OutputTokens}, []int{112, 100, 9})
		})
	}
}

// A refusal has its message and its wait, however the API writes them.
func TestRefusalsOfAPIs(t *testing.T) {
	for _, tc := range []struct {
		api             API
		status, headers string
		body            string
		outcome         record.Outcome
		wait            time.Duration
		want            string
	}{
		{Messages, "429 Too Many Requests", "Retry-After: 3\r\n",
			`{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit"},"request_id":"req_1"}`,
			record.Rejected, 3 * time.Second, "429 Too Many Requests: This request would exceed your rate limit"},
		{Messages, "529 ", "", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`,
			record.Failed, 0, "529: Overloaded"},
		{Responses, "429 Too Many Requests", "Retry-After: 1\r\nRetry-After-Ms: 250\r\n",
			`{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
			record.Rejected, 250 * ms, "429 Too Many Requests: Rate limit reached"},
		{Chat, "503 Service Unavailable", "Retry-After: 1\r\n",
			`[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]`,
			record.Rejected, time.Second, "503 Service Unavailable: The model is overloaded."},
		{Chat, "400 Bad Request", "", "\ufeff" + `{"error":{"message":"prompt is too long"}}`,
			record.Failed, 0, "400 Bad Request: prompt is too long"},
		{Completions, "400 Bad Request", "", `{"object":"error","message":"prompt is too long","type":"BadRequestError","code":400}`,
			record.Failed, 0, "400 Bad Request: prompt is too long"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := wire{{0, "HTTP/1.1 " + tc.status + "\r\nContent-Type: application/json\r\n" + tc.headers + "Connection: close\r\n\r\n" + tc.body}}.client(t)
			c.API = tc.api
			r := c.Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, tc.outcome)
			assert.Equal(t, r.Error, tc.want)
			assert.Equal(t, r.RetryAfter, tc.wait)
		})
	}
}

// session is a conversation with all that an agent's has.
var session = Prompt{
	Place:     record.Place{Agent: "a"},
	MaxTokens: 5, Stop: nil, NoStream: true,
	Tools: []json.RawMessage{json.RawMessage(`{"type":"function","function":{"name":"put","description":"puts","parameters":{"type":"object"}}}`)},
	Messages: []Message{
		{Role: "system", Content: "Be brief."},
		{Role: "user", Content: "Put <1> & 2"},
		{Role: "assistant", Content: "so", ToolCalls: json.RawMessage(`[{"id":"c1","type":"function","function":{"name":"put","arguments":"{\"x\":1}"}},` +
			`{"id":"c2","type":"function","function":{"name":"put","arguments":"{\"x\":2}"}}]`)},
		{Role: "tool", ToolCallID: "c1", Content: "ok"},
		{Role: "tool", ToolCallID: "c2", Content: "no"},
		{Role: "user", Content: "And?"},
	},
	Schema: json.RawMessage(`{"type":"object"}`),
}

// One conversation in the words of each API that has words for all of it.
func TestBodiesOfAPIs(t *testing.T) {
	for api, want := range map[API]string{
		Messages: `{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"Put <1> & 2"},` +
			`{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"c1","name":"put","input":{"x":1}},` +
			`{"type":"tool_use","id":"c2","name":"put","input":{"x":2}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"ok"},` +
			`{"type":"tool_result","tool_use_id":"c2","content":"no"},{"type":"text","text":"And?"}]}],` +
			`"max_tokens":5,"temperature":0,"tools":[{"name":"put","description":"puts","input_schema":{"type":"object"}}],` +
			`"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}`,
		Responses: `{"model":"m","input":[{"role":"system","content":"Be brief."},{"role":"user","content":"Put <1> & 2"},` +
			`{"role":"assistant","content":"so"},{"type":"function_call","call_id":"c1","name":"put","arguments":"{\"x\":1}"},` +
			`{"type":"function_call","call_id":"c2","name":"put","arguments":"{\"x\":2}"},` +
			`{"type":"function_call_output","call_id":"c1","output":"ok"},{"type":"function_call_output","call_id":"c2","output":"no"},` +
			`{"role":"user","content":"And?"}],"max_output_tokens":5,"temperature":0,"store":false,` +
			`"tools":[{"type":"function","name":"put","description":"puts","parameters":{"type":"object"},"strict":false}],` +
			`"text":{"format":{"type":"json_schema","name":"answer","schema":{"type":"object"},"strict":true}}}`,
	} {
		text, err := dialects[api].bodyOf("m", &session)
		assert.NilError(t, err)
		assert.Equal(t, string(text), want)
	}
	_, err := dialects[Completions].bodyOf("m", &session)
	assert.Error(t, err, "the completions API has no tools")
	text, err := dialects[Completions].bodyOf("m", &Prompt{NoStream: true, Messages: []Message{{Role: "system", Content: "Sum."},
		{Role: "user", Content: "1+1="}, {Role: "assistant", Content: "2"}, {Role: "user", Content: "1+2="}}})
	assert.NilError(t, err)
	assert.Equal(t, string(text), `{"model":"m","prompt":"Sum.\n\n1+1=2\n\n1+2=","temperature":0}`)
}

// A body that was recorded is sent again byte for byte, in the order of its fields and with all
// that this client has no use for; its model is the client's, its bound the prompt's.
func TestRecordedBodies(t *testing.T) {
	raw := func(texts ...string) (messages []Message) {
		for _, text := range texts {
			messages = append(messages, Message{Role: "x", Raw: json.RawMessage(text)})
		}
		return messages
	}
	field := func(name, value string) load.Field {
		if value == "" {
			return load.Field{Name: name}
		}
		return load.Field{Name: name, Value: json.RawMessage(value)}
	}
	tool := json.RawMessage(`{"name":"Bash","input_schema":{},"cache_control":{"type":"ephemeral"}}`)
	for api, tc := range map[API]struct {
		fields []load.Field
		said   []Message
		want   string
	}{
		Messages: {[]load.Field{field("model", `"claude"`), field("max_tokens", "32000"), field("system", ""), field("messages", ""),
			field("tools", ""), field("metadata", `{"user_id":"u"}`), field("stream", "true")},
			raw(`[{"type":"text","text":"<p>","cache_control":{"type":"ephemeral"}}]`, `{"role":"user","content":"1 > 0"}`),
			`{"model":"m","max_tokens":5,"system":[{"type":"text","text":"<p>","cache_control":{"type":"ephemeral"}}],` +
				`"messages":[{"role":"user","content":"1 > 0"}],"tools":[` + string(tool) + `],"metadata":{"user_id":"u"},"stream":true}`},
		Responses: {[]load.Field{field("input", ""), field("store", "false")}, raw(`"hi \u00e9"`), `{"input":"hi \u00e9","store":false}`},
		Chat: {[]load.Field{field("stream", "true"), field("messages", ""), field("max_completion_tokens", "5")},
			append(raw(`{"role":"user","content":[{"type":"text","text":"&"}]}`), Message{Role: "assistant", Content: "<b>"}),
			`{"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"&"}]},{"role":"assistant","content":"<b>"}],` +
				`"max_completion_tokens":5}`},
	} {
		text, err := dialects[api].bodyOf("m", &Prompt{Form: api, Fields: tc.fields, Messages: tc.said, MaxTokens: 5, Tools: []json.RawMessage{tool}})
		assert.NilError(t, err)
		assert.Equal(t, string(text), tc.want)
	}
}

// The API is found by the routes that a server has: chat first. What a server says of a request
// that asks nothing decides nothing else.
func TestFindAPI(t *testing.T) {
	const dropped = 0
	for _, tc := range []struct {
		routes map[string]int
		want   API
		err    string
	}{
		{map[string]int{"/v1/chat/completions": 400, "/v1/messages": 400}, Chat, ""},
		{map[string]int{"/v1/chat/completions": 401}, Chat, ""},
		{map[string]int{"/v1/messages": 422, "/v1/responses": 422}, Messages, ""},
		{map[string]int{"/v1/chat/completions": 405, "/v1/responses": 200}, Responses, ""},
		{map[string]int{"/v1/completions": 503}, Completions, ""},
		{map[string]int{"/v1/messages": dropped}, Messages, ""}, // for want of a question
		{nil, "", " has none of the routes /v1/chat/completions, /v1/messages, /v1/responses, /v1/completions"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			assert.Equal(t, r.Method+string(body), `POST{"max_tokens":1}`)
			code, ok := tc.routes[r.URL.Path]
			if !ok {
				code = http.StatusNotFound
			}
			if code == dropped {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(code)
		}))
		c := New(s.URL)
		api, err := c.FindAPI(t.Context())
		c.Close()
		s.Close()
		if tc.err != "" {
			assert.Error(t, err, s.URL+tc.err)
			continue
		}
		assert.NilError(t, err)
		assert.Equal(t, api, tc.want)
	}
}

// What was recorded in one API is asked in another as that has it.
func TestOtherForms(t *testing.T) {
	messages := []Message{{Role: "system", Content: "Be brief.", Raw: json.RawMessage(`[{"type":"text","text":"Be brief."}]`)},
		{Role: "user", Content: "hi", Raw: json.RawMessage(`{"role":"user","content":[{"type":"text","text":"hi"}]}`)}}
	tools := []json.RawMessage{json.RawMessage(`{"name":"Bash","description":"runs","input_schema":{"type":"object"},"cache_control":{}}`)}
	p := Prompt{Form: Messages, Messages: messages, Tools: tools, MaxTokens: 5, NoStream: true, ExactTokens: true,
		Fields: []load.Field{{Name: "messages"}, {Name: "metadata", Value: json.RawMessage("{}")}}}
	for api, want := range map[API]string{
		Chat: `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],` +
			`"tools":[{"type":"function","function":{"name":"Bash","description":"runs","parameters":{"type":"object"}}}],` +
			`"max_tokens":5,"temperature":0,"ignore_eos":true,"min_tokens":5}`,
		Responses: `{"input":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],"max_output_tokens":5,"temperature":0,` +
			`"store":false,"tools":[{"type":"function","name":"Bash","description":"runs","parameters":{"type":"object"},"strict":false}]}`,
		Messages: `{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"metadata":{}}`,
	} {
		text, err := dialects[api].bodyOf("", &p)
		assert.NilError(t, err)
		assert.Equal(t, string(text), want)
	}
	p.Tools = []json.RawMessage{json.RawMessage(`{"type":"web_search_20250305","name":"web_search"}`)}
	_, err := dialects[Responses].bodyOf("", &p)
	assert.ErrorContains(t, err, "the responses API has no tool such as")
}

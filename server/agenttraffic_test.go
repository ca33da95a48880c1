package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"loadstone/engine"
)

// readEvents returns the data of a stream's events.
func readEvents(t *testing.T, body string) (events []map[string]any) {
	t.Helper()
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok && data != "[DONE]" {
			var e map[string]any
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatalf("%v in %s", err, data)
			}
			events = append(events, e)
		}
	}
	return events
}

// TestCodex has a server talk with a client that sends what Codex sends and reads what Codex reads:
// items that are done, and response.completed with its usage.
func TestCodex(t *testing.T) {
	s := try(t, Config{}, script("I look.\n<tool_call>\n{\"name\": \"shell_command\", \"arguments\": {\"command\":\"ls\"}}\n</tool_call>"))
	headers := []string{"session_id", "019af0a1-7c1e-7b60-a1b2-0123456789ab", "originator", "codex_cli_rs",
		"Accept", "text/event-stream", "OpenAI-Beta", "responses=experimental", "x-codex-turn-metadata", "{}"}
	input := []string{
		`{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions instructions>"}]}`,
		`{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n  <cwd>/src</cwd>\n</environment_context>"}]}`,
		`{"type":"message","role":"user","content":[{"type":"input_text","text":"What is here?"}]}`,
	}
	turn := func() (cached, prompt int) {
		t.Helper()
		w := s.post(responsesPath, `{"model":"echo","instructions":"You are Codex.","input":[`+strings.Join(input, ",")+`],
"tools":[{"type":"function","name":"shell_command","description":"Runs a shell command.","strict":false,"parameters":{"type":"object","properties":{"command":{"type":"string"}},"required":["command"],"additionalProperties":false}},{"type":"namespace","name":"mcp__docs__","description":"Docs","tools":[{"type":"function","name":"read","description":"","strict":false,"parameters":{"type":"object","properties":{}}}]}],
"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,
"include":["reasoning.encrypted_content"],"prompt_cache_key":"019af0a1-7c1e-7b60-a1b2-0123456789ab","text":{"verbosity":"medium"},"client_metadata":{"x":"y"}}`, headers...)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		events := readEvents(t, w.Body.String())
		for _, e := range events {
			if e["type"] != "response.output_item.done" {
				continue
			}
			item := e["item"].(map[string]any)
			raw, _ := json.Marshal(item)
			input = append(input, string(raw)) // Codex sends items back as it got them
			if item["type"] == "function_call" {
				input = append(input, fmt.Sprintf(`{"type":"function_call_output","call_id":%q,"output":"go.mod"}`, item["call_id"]))
			}
		}
		last := events[len(events)-1]
		if last["type"] != "response.completed" {
			t.Fatalf("the last event: %v", last)
		}
		usage := last["response"].(map[string]any)["usage"].(map[string]any)
		return int(usage["input_tokens_details"].(map[string]any)["cached_tokens"].(float64)), int(usage["input_tokens"].(float64))
	}
	_, first := turn()
	if want := "user: <environment_context>\n  <cwd>/src</cwd>\n</environment_context>\nWhat is here?"; !strings.HasSuffix(s.prompt(), want) {
		t.Errorf("prompt\n%s", s.prompt())
	}
	cached, second := turn()
	if cached < first || second <= cached {
		t.Errorf("%d of %d tokens were cached, of a first prompt of %d", cached, second, first)
	}
	m, err := s.backend.Load().engine.Principal("").Inspect("019af0a1-7c1e-7b60-a1b2-0123456789ab")
	if err != nil || m.Tier != engine.TierHot {
		t.Errorf("the session is no agent: %+v, %v", m, err)
	}
	// What Codex sends where its hosted tools are on says what to set.
	w := s.post(responsesPath, `{"input":"x","tools":[{"type":"web_search","external_web_access":false}]}`, headers...)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `web_search = \"disabled\"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An agentProgram is traffic in the shape of one program: a question whose answer calls a tool, and
// the turn with the tool's result. $CALL stands for the id of the call, $ITEMS for the items of the
// response, as the program sends them back.
type agentProgram struct {
	name, path    string
	headers       []string
	first, second string // the bodies
	stream        bool
}

const (
	shellSchema = `{"type":"object","properties":{"command":{"type":"string"}},"required":["command"],"additionalProperties":false}`
	chatTools   = `"tools":[{"type":"function","function":{"name":"bash","description":"Runs a command.","parameters":` + shellSchema + `}}],"tool_choice":"auto"`
	chatCall    = `{"role":"assistant","content":"I look.\n","tool_calls":[{"id":"$CALL","type":"function","function":{"name":"bash","arguments":"{\"command\":\"ls\"}"}}]},{"role":"tool","tool_call_id":"$CALL","content":"go.mod"}`
)

var agentPrograms = []agentProgram{
	{
		name: "Claude Code", path: messagesPath, stream: true,
		headers: []string{"X-Agent-ID", "ada", "anthropic-version", "2023-06-01", "anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14", "x-app", "cli", "User-Agent", "claude-cli/2.1.154 (external, cli)"},
		first:   claudeCode(`{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday is Sunday.\n</system-reminder>"},{"type":"text","text":"What is here?","cache_control":{"type":"ephemeral"}}]}`, "5b1"),
		second: claudeCode(`{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday is Sunday.\n</system-reminder>"},{"type":"text","text":"What is here?"}]},`+
			`{"role":"assistant","content":[{"type":"text","text":"I look.\n"},{"type":"tool_use","id":"$CALL","name":"bash","input":{"command":"ls"}}]},`+
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"$CALL","content":"go.mod","is_error":false,"cache_control":{"type":"ephemeral"}}]}`, "9c2"),
	},
	{
		name: "opencode", path: chatPath, stream: true, headers: []string{"X-Agent-ID", "ada", "User-Agent", "opencode/1.2"},
		first:  `{"model":"echo","max_tokens":1000,"temperature":0,"top_p":1,"messages":[{"role":"system","content":"You are opencode."},{"role":"user","content":"What is here?"}],` + chatTools + `,"stream":true,"stream_options":{"include_usage":true}}`,
		second: `{"model":"echo","max_tokens":1000,"temperature":0,"top_p":1,"messages":[{"role":"system","content":"You are opencode."},{"role":"user","content":"What is here?"},` + chatCall + `],` + chatTools + `,"stream":true,"stream_options":{"include_usage":true}}`,
	},
	{
		name: "Continue", path: chatPath, stream: true, headers: []string{"X-Agent-ID", "ada", "api-key", "KEY"},
		first:  `{"messages":[{"role":"system","content":"<important_rules>Agent mode</important_rules>"},{"role":"user","content":[{"type":"text","text":"What is here?"}]}],"model":"echo","max_tokens":1000,"temperature":0,"stream":true,"stream_options":{"include_usage":true},` + chatTools + `,"parallel_tool_calls":false}`,
		second: `{"messages":[{"role":"system","content":"<important_rules>Agent mode</important_rules>"},{"role":"user","content":[{"type":"text","text":"What is here?"}]},` + chatCall + `],"model":"echo","max_tokens":1000,"temperature":0,"stream":true,"stream_options":{"include_usage":true},` + chatTools + `,"parallel_tool_calls":false}`,
	},
	{
		name: "LangChain", path: chatPath, headers: []string{"X-Agent-ID", "ada", "User-Agent", "OpenAI/Python 3.57.0", "x-stainless-lang", "python"},
		first:  `{"messages":[{"content":"Be brief.","role":"system"},{"content":"What is here?","role":"user"}],"model":"echo","stream":false,"temperature":0.0,` + chatTools + `}`,
		second: `{"messages":[{"content":"Be brief.","role":"system"},{"content":"What is here?","role":"user"},` + chatCall + `],"model":"echo","stream":false,"temperature":0.0,` + chatTools + `}`,
	},
	{
		name: "Vercel AI SDK, chat", path: chatPath, stream: true, headers: []string{"X-Agent-ID", "ada", "User-Agent", "ai-sdk/openai-compatible/2.0.0"},
		first:  `{"model":"echo","temperature":0,"messages":[{"role":"user","content":"What is here?"}],` + chatTools + `,"stream":true,"stream_options":{"include_usage":true}}`,
		second: `{"model":"echo","temperature":0,"messages":[{"role":"user","content":"What is here?"},` + chatCall + `],` + chatTools + `,"stream":true,"stream_options":{"include_usage":true}}`,
	},
	{
		name: "Vercel AI SDK, Responses", path: responsesPath, stream: true, headers: []string{"X-Agent-ID", "ada", "User-Agent", "ai-sdk/openai/3.0.0"},
		first:  `{"model":"echo","temperature":0,"input":[{"role":"developer","content":"Be brief."},{"role":"user","content":[{"type":"input_text","text":"What is here?"}]}],"tools":[{"type":"function","name":"bash","parameters":` + shellSchema + `,"strict":false}],"tool_choice":"auto","stream":true}`,
		second: `{"model":"echo","temperature":0,"input":[{"role":"developer","content":"Be brief."},{"role":"user","content":[{"type":"input_text","text":"What is here?"}]},$ITEMS,{"type":"function_call_output","call_id":"$CALL","output":"go.mod"}],"tools":[{"type":"function","name":"bash","parameters":` + shellSchema + `,"strict":false}],"tool_choice":"auto","stream":true}`,
	},
}

// claudeCode returns a request of Claude Code, whose system prompt begins with another checksum
// each time.
func claudeCode(messages, checksum string) string {
	return `{"model":"echo","max_tokens":1000,"temperature":0,"stream":true,"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"metadata":{"user_id":"user_1"},"context_management":{"edits":[]},` +
		`"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.154; cch=` + checksum + `;"},{"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral"}}],` +
		`"tools":[{"name":"bash","description":"Runs a command.","input_schema":` + shellSchema + `}],"messages":[` + messages + `]}`
}

// TestAgentPrograms has the server serve traffic in the shape of the programs that loadstone help
// agents names: they get the call of their tool, and in the next turn all of the first is cached.
func TestAgentPrograms(t *testing.T) {
	for _, p := range agentPrograms {
		s := try(t, Config{}, script("I look.\n<tool_call>\n{\"name\": \"bash\", \"arguments\": {\"command\":\"ls\"}}\n</tool_call>"))
		w := s.post(p.path, p.first, p.headers...)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", p.name, w.Code, w.Body)
			continue
		}
		call, items, prompt, output := programSees(t, p, w.Body.Bytes())
		if call == "" {
			t.Errorf("%s: no call in %s", p.name, w.Body)
		}
		second := strings.NewReplacer("$CALL", call, "$ITEMS", strings.Join(items, ",")).Replace(p.second)
		w = s.post(p.path, second, p.headers...)
		if cached := w.Header().Get("X-Cached-Tokens"); w.Code != 200 || cached != fmt.Sprint(prompt+output) {
			t.Errorf("%s, the second turn: %d, %s tokens cached, want %d: %s", p.name, w.Code, cached, prompt+output, w.Body)
		}
	}
}

// programSees returns what a program reads of an answer: the id of the first call, the items of a
// response, and the counts of tokens.
func programSees(t *testing.T, p agentProgram, body []byte) (call string, items []string, prompt, output int) {
	t.Helper()
	var events []map[string]any
	if p.stream {
		events = readEvents(t, string(body))
	} else {
		var whole map[string]any
		if err := json.Unmarshal(body, &whole); err != nil {
			t.Fatal(err)
		}
		events = append(events, whole)
	}
	number := func(v any) int {
		f, _ := v.(float64)
		return int(f)
	}
	count := func(v any) {
		u, _ := v.(map[string]any)
		if u["prompt_tokens"] != nil {
			prompt, output = number(u["prompt_tokens"]), number(u["completion_tokens"])
		} else if u["input_tokens"] != nil {
			prompt = number(u["input_tokens"]) + number(u["cache_creation_input_tokens"]) + number(u["cache_read_input_tokens"])
			output = number(u["output_tokens"])
		}
	}
	for _, e := range events {
		count(e["usage"])
		if m, ok := e["message"].(map[string]any); ok {
			count(m["usage"])
		}
		if b, ok := e["content_block"].(map[string]any); ok && b["type"] == "tool_use" {
			call = b["id"].(string)
		}
		for _, c := range list(e["choices"]) {
			for _, key := range []string{"delta", "message"} {
				m, _ := c[key].(map[string]any)
				for _, x := range list(m["tool_calls"]) {
					if id, ok := x["id"].(string); ok {
						call = id
					}
				}
			}
		}
		if e["type"] == "response.output_item.done" {
			item := e["item"].(map[string]any)
			raw, _ := json.Marshal(item)
			if item["type"] == "message" { // the AI SDK names what is stored
				raw, _ = json.Marshal(map[string]any{"type": "item_reference", "id": item["id"]})
			}
			items = append(items, string(raw))
			if id, ok := item["call_id"].(string); ok {
				call = id
			}
		}
		if r, ok := e["response"].(map[string]any); ok {
			count(r["usage"])
		}
	}
	return call, items, prompt, output
}

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

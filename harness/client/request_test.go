package client

import (
	"encoding/json"
	"testing"

	"gotest.tools/v3/assert"
)

// An agent's session goes over the wire as OpenAI has it: a message with tool calls and no content
// has no content on the wire either, any other message has its content, empty or not.
func TestToolCallsOnTheWire(t *testing.T) {
	calls := json.RawMessage(`[{"id":"c1","type":"function","function":{"name":"add","arguments":"{}"}}]`)
	const model = "m"
	for _, tc := range []struct {
		messages []Message
		want     string
	}{
		{[]Message{{Role: "user", Content: "hi"}, {Role: "assistant"}},
			`[{"role":"user","content":"hi"},{"role":"assistant","content":""}]`},
		{[]Message{
			{Role: "user"},
			{Role: "assistant", ToolCalls: calls},
			{Role: "tool", ToolCallID: "c1", Content: "7", Name: "add"},
			{Role: "assistant", Content: "so", ToolCalls: calls},
		},
			`[{"role":"user","content":""},` +
				`{"role":"assistant","tool_calls":` + string(calls) + `},` +
				`{"role":"tool","tool_call_id":"c1","name":"add","content":"7"},` +
				`{"role":"assistant","tool_calls":` + string(calls) + `,"content":"so"}]`},
	} {
		text, err := chatBody(model, &Prompt{Messages: tc.messages, MaxTokens: 5})
		assert.NilError(t, err)
		var body struct {
			Model     string
			MaxTokens int `json:"max_tokens"`
			Messages  json.RawMessage
		}
		assert.NilError(t, json.Unmarshal(text, &body))
		assert.Equal(t, body.Model, "m")
		assert.Equal(t, body.MaxTokens, 5)
		assert.Equal(t, string(body.Messages), tc.want)
	}
}

package openai

import (
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// An AgentRequest is the body of POST /v1/agents/{id}/generate: a chat where it has messages, a
// completion where it has a prompt.
type AgentRequest struct {
	chat       *ChatRequest
	completion *CompletionRequest
}

// IsCompletion reports whether the body is that of a completion.
func (q *AgentRequest) IsCompletion() bool { return q.completion != nil }

func (q *AgentRequest) UnmarshalJSON(b []byte) error {
	var fields struct {
		Messages, Prompt json.RawMessage
	}
	if err := wire.Unmarshal(b, &fields); err != nil {
		return err
	}
	if wire.OrNil(fields.Prompt) == nil {
		q.chat = new(ChatRequest)
		return wire.Unmarshal(b, q.chat)
	}
	if wire.OrNil(fields.Messages) != nil {
		return generate.Invalid("prompt", "prompt: stands beside messages; want one of the two")
	}
	q.completion = new(CompletionRequest)
	return wire.Unmarshal(b, q.completion)
}

// Named returns the model that the body asks for and the session it names, "" where it names none.
func (q *AgentRequest) Named() (model, session string) {
	if q.completion != nil {
		return q.completion.Named()
	}
	return q.chat.Named()
}

// Validate checks the body, as ChatRequest.Validate does.
func (q *AgentRequest) Validate(maxTokens int) (*generate.Params, error) {
	if q.completion != nil {
		return q.completion.Validate(maxTokens)
	}
	return q.chat.Validate(maxTokens)
}

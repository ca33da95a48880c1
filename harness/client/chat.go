package client

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A chatRequest is the body of a chat request.
type chatRequest struct {
	Model       string            `json:"model,omitempty"`
	Messages    []Message         `json:"messages"`
	MaxTokens   int               `json:"max_tokens,omitempty"`
	Temperature float64           `json:"temperature"`
	Seed        uint64            `json:"seed,omitempty"`
	Stop        []string          `json:"stop,omitempty"`
	Stream      bool              `json:"stream,omitempty"`
	Options     *streamOptions    `json:"stream_options,omitempty"`
	Logprobs    bool              `json:"logprobs,omitempty"`
	TopLogprobs int               `json:"top_logprobs,omitempty"`
	Tools       []json.RawMessage `json:"tools,omitempty"`
	Format      *chatFormat       `json:"response_format,omitempty"`
	IgnoreEOS   bool              `json:"ignore_eos,omitempty"`
	MinTokens   int               `json:"min_tokens,omitempty"`
}

type chatFormat struct {
	Type   string      `json:"type"`
	Schema namedSchema `json:"json_schema"`
}

// A namedSchema is a JSON schema as OpenAI's APIs want it.
type namedSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict"`
}

// schemaName is the name that every schema goes by. Nothing depends on it.
const schemaName = "answer"

// A chatTool is a tool as prompts have it: as the chat API does. The other APIs that know tools have
// names of their own for the same.
type chatTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      *bool           `json:"strict"`
	} `json:"function"`
}

// A chatCall is one of the calls in a message's ToolCalls.
type chatCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// calls are the tool calls of a message.
func (m *Message) calls() ([]chatCall, error) {
	if len(m.ToolCalls) == 0 {
		return nil, nil
	}
	var calls []chatCall
	err := json.Unmarshal(m.ToolCalls, &calls)
	return calls, err
}

// toolsAs are the tools of a prompt as an API has them, each of which as gives.
func (p *Prompt) toolsAs(api API, as func(t *chatTool) any) ([]json.RawMessage, error) {
	if p.Form == api {
		return p.Tools, nil
	}
	var tools []json.RawMessage
	for i, raw := range p.Tools {
		var t chatTool
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("tool %d: %w", i, err)
		}
		if t.Type != "function" || t.Function.Name == "" {
			return nil, &UnsayableError{api, fmt.Sprintf("tool such as %s", excerpt(raw))}
		}
		text, err := marshal(as(&t))
		if err != nil {
			return nil, err
		}
		tools = append(tools, text)
	}
	return tools, nil
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// A specialRequest is a chatRequest whose conversation has messages that are not sent as their
// fields are. They take the place of the embedded ones.
type specialRequest struct {
	chatRequest
	Messages []json.RawMessage `json:"messages"`
}

// A callingMessage is a Message whose content, where it is nil, is left out.
type callingMessage struct {
	Message
	Content *string `json:"content,omitempty"`
}

// chatBody is the body of a chat request.
func chatBody(model string, p *Prompt) ([]byte, error) {
	b := chatRequest{Model: model, Messages: p.Messages, MaxTokens: p.MaxTokens,
		Temperature: p.Temperature, Seed: p.Seed, Stop: p.Stop, Tools: p.Tools}
	if p.ExactTokens {
		b.IgnoreEOS, b.MinTokens = true, p.MaxTokens
	}
	if p.Logprobs {
		b.Logprobs, b.TopLogprobs = true, 2
	}
	if !p.NoStream {
		b.Stream, b.Options = true, &streamOptions{true}
	}
	if p.Schema != nil {
		b.Format = &chatFormat{"json_schema", namedSchema{schemaName, p.Schema, true}}
	}
	if !slices.ContainsFunc(p.Messages, Message.special) {
		return json.Marshal(b)
	}
	said, err := chatConversation(p.Messages)
	if err != nil {
		return nil, err
	}
	return marshal(specialRequest{b, said.list})
}

// special tells whether a message is not sent as its fields are.
func (m Message) special() bool { return m.Raw != nil || len(m.ToolCalls) > 0 }

// chatConversation is a conversation as the chat API has it.
func chatConversation(messages []Message) (said conversation, err error) {
	said.list, err = each(messages, func(m *Message) ([]any, error) {
		one := callingMessage{Message: *m}
		if m.Content != "" || len(m.ToolCalls) == 0 {
			one.Content = &m.Content
		}
		return []any{one}, nil
	})
	return said, err
}

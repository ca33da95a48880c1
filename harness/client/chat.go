package client

import (
	"encoding/json"
	"fmt"
)

// A chatRequest is the body of a chat request, but for the model, the messages and the tools, which
// are most of it and are written by themselves.
type chatRequest struct {
	MaxTokens   int            `json:"max_tokens,omitempty"`
	Temperature float64        `json:"temperature"`
	Seed        uint64         `json:"seed,omitempty"`
	Stop        []string       `json:"stop,omitempty"`
	Stream      bool           `json:"stream,omitempty"`
	Options     *streamOptions `json:"stream_options,omitempty"`
	Logprobs    bool           `json:"logprobs,omitempty"`
	TopLogprobs int            `json:"top_logprobs,omitempty"`
	Format      *chatFormat    `json:"response_format,omitempty"`
	IgnoreEOS   bool           `json:"ignore_eos,omitempty"`
	MinTokens   int            `json:"min_tokens,omitempty"`
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

// A chatTool is a tool as prompts have it: as the chat API does. The other APIs that know tools
// have names of their own for the same.
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

var withUsage = &streamOptions{true}

// A callingMessage is a Message whose content, where it is nil, is left out.
type callingMessage struct {
	Message
	Content *string `json:"content,omitempty"`
}

// chatBody is the body of a chat request.
func chatBody(model string, p *Prompt) ([]byte, error) {
	b := chatRequest{MaxTokens: p.MaxTokens,
		Temperature: p.Temperature, Seed: p.Seed, Stop: p.Stop}
	if p.ExactTokens {
		b.IgnoreEOS, b.MinTokens = true, p.MaxTokens
	}
	if p.Logprobs {
		b.Logprobs, b.TopLogprobs = true, 2
	}
	if !p.NoStream {
		b.Stream, b.Options = true, withUsage
	}
	if p.Schema != nil {
		b.Format = &chatFormat{"json_schema", namedSchema{schemaName, p.Schema, true}}
	}
	said, err := chatConversation(p.Messages)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 0, 64)
	head = append(head, '{')
	if model != "" {
		head = append(head, `"model":`...)
		if head, err = appendText(head, model); err != nil {
			return nil, err
		}
		head = append(head, ',')
	}
	head = append(head, `"messages":`...)
	n := len(head) + bytesOf(said.list) + bytesOf(p.Tools) + len(p.Schema) + 512
	out := p.listed(head, said.list, n)
	if len(p.Tools) > 0 {
		out = appendList(append(out, `,"tools":`...), p.Tools)
	}
	rest := len(out)
	if out, err = appendJSON(out, &b); err != nil {
		return nil, err
	}
	out[rest] = ',' // in place of its brace: it goes on from the fields before
	return out, nil
}

// chatConversation is a conversation as the chat API has it.
func chatConversation(messages []Message) (said conversation, err error) {
	said.list, err = each(Chat, messages,
		func(values []json.RawMessage, m *Message) ([]json.RawMessage, error) {
			text, err := m.inChat()
			return append(values, text), err
		})
	return said, err
}

// inChat is a message as the chat API has it. Most have a role and a text alone, which
// encoding/json takes ten times as long to write.
func (m *Message) inChat() (json.RawMessage, error) {
	if len(m.ToolCalls) > 0 || m.ToolCallID != "" || m.Name != "" {
		one := &callingMessage{Message: *m}
		if m.Content != "" || len(m.ToolCalls) == 0 {
			one.Content = &m.Content
		}
		return marshal(one)
	}
	out, err := appendText(append(make([]byte, 0, len(m.Content)+64), `{"role":`...), m.Role)
	if err == nil {
		out, err = appendText(append(out, `,"content":`...), m.Content)
	}
	return append(out, '}'), err
}

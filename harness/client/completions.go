package client

import (
	"encoding/json"
	"strings"
)

// A completionsRequest is the body of a request to go on with a text.
type completionsRequest struct {
	Model       string         `json:"model,omitempty"`
	Prompt      string         `json:"prompt"`
	MaxTokens   int            `json:"max_tokens,omitempty"`
	Temperature float64        `json:"temperature"`
	Seed        uint64         `json:"seed,omitempty"`
	Stop        []string       `json:"stop,omitempty"`
	Stream      bool           `json:"stream,omitempty"`
	Options     *streamOptions `json:"stream_options,omitempty"`
	IgnoreEOS   bool           `json:"ignore_eos,omitempty"`
	MinTokens   int            `json:"min_tokens,omitempty"`
}

// completionsBody is the body of a request to go on with a conversation's text. The API has neither
// roles nor tools.
func completionsBody(model string, p *Prompt) ([]byte, error) {
	switch {
	case len(p.Tools) > 0:
		return nil, &UnsayableError{Completions, "tools"}
	case p.Schema != nil:
		return nil, &UnsayableError{Completions, "schema for answers"}
	}
	text, err := completionsText(p.Messages)
	if err != nil {
		return nil, err
	}
	b := completionsRequest{Model: model, Prompt: text, MaxTokens: p.MaxTokens,
		Temperature: p.Temperature, Seed: p.Seed, Stop: p.Stop}
	if p.ExactTokens {
		b.IgnoreEOS, b.MinTokens = true, p.MaxTokens
	}
	if !p.NoStream {
		b.Stream, b.Options = true, &streamOptions{true}
	}
	return json.Marshal(b)
}

// completionsText is a conversation as one text. An answer follows its question as the server gave
// it, so that the server has computed all of it before; anything else begins a paragraph.
func completionsText(messages []Message) (string, error) {
	var b strings.Builder
	for i, m := range messages {
		if len(m.ToolCalls) > 0 || m.Role == "tool" {
			return "", &UnsayableError{Completions, "tool calls"}
		}
		if i > 0 && m.Role != "assistant" {
			b.WriteString("\n\n")
		}
		b.WriteString(m.Content)
	}
	return b.String(), nil
}

// completionsConversation is a conversation as the completions API has it: one text.
func completionsConversation(messages []Message) (conversation, error) {
	if len(messages) == 1 && messages[0].Raw != nil {
		return conversation{list: []json.RawMessage{messages[0].Raw}}, nil
	}
	text, err := completionsText(messages)
	if err != nil {
		return conversation{}, err
	}
	raw, err := marshal(text)
	return conversation{list: []json.RawMessage{raw}}, err
}

package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A toolCall is a tool call in the form of the chat API.
type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function toolFunction `json:"function"`
}

type toolFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// parseBlockMessage parses a message of Anthropic's messages API, or its system field. It converts
// tool calls to the form of the chat API. Results of tools are part of the text.
func parseBlockMessage(raw json.RawMessage) (Message, error) {
	if text := bytes.TrimSpace(raw); len(text) > 0 && text[0] != '{' {
		system, err := contentText(raw)
		return Message{Role: "system", Text: system, Raw: raw}, err
	}
	var m struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Message{}, fmt.Errorf("not a message of the messages API: %w", err)
	}
	if m.Role == "" {
		return Message{}, errors.New("a message without a role")
	}
	out := Message{Role: m.Role, Raw: raw}
	var err error
	if content := bytes.TrimSpace(m.Content); len(content) > 0 && content[0] == '[' {
		err = out.setBlocks(content)
	} else {
		out.Text, err = contentText(content)
	}
	return out, err
}

// setBlocks sets the text and the tool calls of a message from a list of content blocks.
func (out *Message) setBlocks(content []byte) error {
	var blocks []struct {
		Type    string          `json:"type"`
		Text    string          `json:"text"`
		ID      string          `json:"id"`
		Name    string          `json:"name"`
		Input   json.RawMessage `json:"input"`
		CallID  string          `json:"tool_use_id"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(content, &blocks); err != nil {
		return fmt.Errorf("a message whose content is no list of blocks: %w", err)
	}
	var texts []string
	var calls []toolCall
	for _, b := range blocks {
		switch b.Type {
		case "tool_use":
			f := toolFunction{b.Name, string(b.Input)}
			calls = append(calls, toolCall{b.ID, "function", f})
		case "tool_result":
			text, err := contentText(b.Content)
			if err != nil {
				return err
			}
			texts = append(texts, text)
			if len(blocks) == 1 {
				out.Role, out.ToolCallID = "tool", b.CallID
			}
		default:
			if b.Text != "" {
				texts = append(texts, b.Text)
			}
		}
	}
	out.Text = strings.Join(texts, "\n")
	if calls == nil {
		return nil
	}
	var err error
	out.ToolCalls, err = json.Marshal(calls)
	return err
}

// parseItem parses an item of the input of OpenAI's responses API, or an input that is one text.
func parseItem(raw json.RawMessage) (Message, error) {
	if text := bytes.TrimSpace(raw); len(text) > 0 && text[0] != '{' {
		asked, err := contentText(raw)
		return Message{Role: "user", Text: asked, Raw: raw}, err
	}
	var m struct {
		Type      string          `json:"type"`
		Role      string          `json:"role"`
		Content   json.RawMessage `json:"content"`
		CallID    string          `json:"call_id"`
		Name      string          `json:"name"`
		Arguments string          `json:"arguments"`
		Input     string          `json:"input"`
		Output    json.RawMessage `json:"output"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Message{}, fmt.Errorf("not an item of the responses API: %w", err)
	}
	out := Message{Role: m.Role, Raw: raw}
	var err error
	switch {
	case strings.HasSuffix(m.Type, "_output"):
		out.Role, out.ToolCallID = "tool", m.CallID
		if text := bytes.TrimSpace(m.Output); len(text) > 0 && text[0] == '{' {
			out.Text = string(text)
			return out, nil
		}
		out.Text, err = contentText(m.Output)
	case strings.HasSuffix(m.Type, "_call"):
		out.Role = "assistant"
		if m.Name != "" {
			call := toolCall{m.CallID, "function", toolFunction{m.Name, m.Arguments + m.Input}}
			out.ToolCalls, err = json.Marshal([]toolCall{call})
		}
	case m.Type == "reasoning":
		out.Role = "assistant"
	case m.Role == "":
		return out, fmt.Errorf("an item of type %q without a role", m.Type)
	default:
		if m.Role == "developer" {
			out.Role = "system"
		}
		out.Text, err = contentText(m.Content)
	}
	return out, err
}

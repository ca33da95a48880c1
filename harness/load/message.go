package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ParseMessage parses a message in the form of an API and keeps its bytes in Raw.
func ParseMessage(api string, raw json.RawMessage) (Message, error) {
	switch api {
	case "", "chat":
		return parseChatMessage(raw)
	case "completions":
		text, err := contentText(raw)
		return Message{Role: "user", Text: text, Raw: raw}, err
	case "messages":
		return parseBlockMessage(raw)
	case "responses":
		return parseItem(raw)
	}
	return Message{}, fmt.Errorf("unknown API %q", api)
}

// parseChatMessage parses a message of OpenAI's chat API. Its content may be a text, null, missing,
// or a list of parts, whose texts are joined.
func parseChatMessage(raw json.RawMessage) (Message, error) {
	var m struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		ToolCalls  json.RawMessage `json:"tool_calls"`
		ToolCallID string          `json:"tool_call_id"`
		Name       string          `json:"name"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Message{}, fmt.Errorf("not a message of the chat API: %w", err)
	}
	if m.Role == "" {
		return Message{}, errors.New("a message without a role")
	}
	said := Message{Role: m.Role, ToolCallID: m.ToolCallID, Name: m.Name, Raw: raw}
	if text := bytes.TrimSpace(m.ToolCalls); len(text) > 0 && text[0] == '[' {
		said.ToolCalls = m.ToolCalls
	}
	var err error
	said.Text, err = contentText(m.Content)
	return said, err
}

// contentText returns the text of a message's content.
func contentText(content json.RawMessage) (string, error) {
	content = bytes.TrimSpace(content)
	switch {
	case len(content) == 0 || string(content) == "null":
		return "", nil
	case content[0] == '"':
		var text string
		err := json.Unmarshal(content, &text)
		return text, err
	case content[0] != '[':
		return "", errors.New("a message whose content is neither a text nor a list of parts")
	}
	var parts []struct{ Text string }
	if err := json.Unmarshal(content, &parts); err != nil {
		return "", fmt.Errorf("a message whose content is no list of parts: %w", err)
	}
	var texts []string
	for _, p := range parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n"), nil
}

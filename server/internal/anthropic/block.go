package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A block is a part of a message in a request.
type block struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"` // of a tool_result: a string, text blocks or nothing
	IsError   bool            `json:"is_error"`
}

// badBlock returns the error for a block at the path given that this server cannot read; known are
// the types that it reads there.
func badBlock(path string, b block, known string) error {
	if b.Type == "text" {
		return generate.Invalid(path+".text", "%s.text: missing", path)
	}
	return generate.Unsupported(path+".type", "%s.type: %q; this server reads %s", path, b.Type,
		known)
}

// readBlocks reads content that is a string or an array of blocks.
func readBlocks(path string, raw json.RawMessage) ([]block, error) {
	var text string
	if bytes.HasPrefix(raw, []byte(`"`)) && json.Unmarshal(raw, &text) == nil {
		return []block{{Type: "text", Text: &text}}, nil
	}
	var blocks []block
	if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &blocks) != nil {
		return nil, generate.Invalid(path, "%s: want a string or an array of blocks", path)
	}
	return blocks, nil
}

// blocksText returns the text of content that must have nothing else, a line for each block.
func blocksText(path string, raw json.RawMessage) (string, error) {
	if wire.OrNil(raw) == nil {
		return "", nil
	}
	blocks, err := readBlocks(path, raw)
	if err != nil {
		return "", err
	}
	var texts []string
	for i, b := range blocks {
		if b.Type != "text" || b.Text == nil {
			return "", badBlock(fmt.Sprintf("%s[%d]", path, i), b, "text")
		}
		texts = append(texts, *b.Text)
	}
	return strings.Join(texts, "\n"), nil
}

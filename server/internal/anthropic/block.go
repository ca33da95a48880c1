package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A block is a part of a message in a request.
type block struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	ToolName  string          `json:"tool_name"` // of a tool_reference
	Content   json.RawMessage `json:"content"`   // of a tool_result: a string, text blocks or nothing
	IsError   bool            `json:"is_error"`

	// Of a document. The source of a search_result is a string.
	Source  json.RawMessage `json:"source"`
	Title   string          `json:"title"`
	Context string          `json:"context"`
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
	if bytes.HasPrefix(raw, []byte(`"`)) && wire.Unmarshal(raw, &text) == nil {
		return []block{{Type: "text", Text: &text}}, nil
	}
	if !bytes.HasPrefix(raw, []byte("[")) {
		return nil, generate.Invalid(path, "%s: want a string or an array of blocks", path)
	}
	var blocks []block
	err := generate.Read(path, raw, &blocks)
	return blocks, err
}

// resultText returns what one of Anthropic's own tools returned: text, or JSON where it is no text.
func (b *block) resultText(path string) string {
	text, err := blocksText(path, b.Content)
	if err != nil {
		return string(wire.Plain(b.Content))
	}
	return text
}

// text returns the text of a block, and whether it is of a type that has text: text, a document
// whose source is text, or a search result.
func (b *block) text(path string) (text string, ok bool, err error) {
	switch b.Type {
	case "text":
		return b.plain(path)
	case "document":
		return b.documentText(path)
	case "tool_reference": // of a search among tools, all of which the model has been told of
		return b.ToolName, b.ToolName != "", nil
	case "search_result":
		var source string
		wire.Unmarshal(b.Source, &source) // a title will do
		body, err := plainText(path+".content", b.Content)
		return joined(b.Title, source, body), err == nil, err
	}
	return "", false, nil
}

// plain returns the text of a block of type text, and whether it is one.
func (b *block) plain(string) (text string, ok bool, err error) {
	if b.Type != "text" || b.Text == nil {
		return "", false, nil
	}
	return *b.Text, true, nil
}

// documentText returns the text of a document, below what its title and its context say.
func (b *block) documentText(path string) (text string, ok bool, err error) {
	path += ".source"
	var source struct {
		Type    string
		Data    *string
		Content json.RawMessage
	}
	if wire.OrNil(b.Source) == nil {
		return "", false, generate.Invalid(path, "%s: missing", path)
	}
	if err := generate.Read(path, b.Source, &source); err != nil {
		return "", false, err
	}
	var body string
	switch {
	case source.Type == "text" && source.Data != nil:
		body = *source.Data
	case source.Type == "text":
		return "", false, generate.Invalid(path+".data", "%s.data: missing", path)
	case source.Type == "content":
		if body, err = plainText(path+".content", source.Content); err != nil {
			return "", false, err
		}
	default:
		return "", false, generate.Unsupported(path+".type",
			"%s.type: %q; this server reads documents of text and of text blocks", path,
			source.Type)
	}
	return joined(b.Title, b.Context, body), true, nil
}

// joined joins the texts that are not empty, a line for each.
func joined(texts ...string) string {
	texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
	return strings.Join(texts, "\n")
}

// blocksText returns the text of content that must have nothing else, a line for each block.
func blocksText(path string, raw json.RawMessage) (string, error) {
	return lines(path, raw, (*block).text)
}

// plainText is blocksText of what stands in a document or a search result, which is text alone. If
// it could be documents again, each would be read once for every other one that it stands in.
func plainText(path string, raw json.RawMessage) (string, error) {
	return lines(path, raw, (*block).plain)
}

// lines returns a line for each block: what of returns of it, with the block's path. A block of
// which it returns nothing is refused.
func lines(
	path string, raw json.RawMessage, of func(b *block, path string) (string, bool, error),
) (string, error) {
	if wire.OrNil(raw) == nil {
		return "", nil
	}
	blocks, err := readBlocks(path, raw)
	if err != nil {
		return "", err
	}
	var texts []string
	for i := range blocks {
		path := fmt.Sprintf("%s[%d]", path, i)
		text, ok, err := of(&blocks[i], path)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", badBlock(path, blocks[i], "text")
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "\n"), nil
}

// systemText returns the text of a system prompt like blocksText, without the first line of Claude
// Code's, which stands in a block of its own, and whether that line was there.
func systemText(path string, raw json.RawMessage) (text string, cut bool, err error) {
	if wire.OrNil(raw) == nil {
		return "", false, nil
	}
	blocks, err := readBlocks(path, raw)
	if err != nil {
		return "", false, err
	}
	var texts []string
	for i := range blocks {
		path := fmt.Sprintf("%s[%d]", path, i)
		text, ok, err := blocks[i].text(path)
		if err != nil {
			return "", false, err
		}
		if !ok {
			return "", false, badBlock(path, blocks[i], "text")
		}
		rest, was := generate.CutBilling(text)
		cut = cut || was
		if !was || rest != "" {
			texts = append(texts, rest)
		}
	}
	return strings.Join(texts, "\n"), cut, nil
}

package client

import (
	"strings"
	"unicode/utf8"
)

// silent are the fields of a message that have no text of the model's, or one that no reader sees.
var silent = []string{"name", "tool_call_id", "annotations", "audio", "citations", "signature",
	"reasoning_signature", "thinking_signature", "token_ids", "prefix", "logprobs", "stop_reason",
	"provider_specific_fields", "encrypted_content", "obfuscation", "index"}

func (v *completion) message(c *cursor) {
	reasoned := len(v.reasoning)
	c.object(func(key []byte) {
		switch string(key) {
		case "content":
			v.text(c, &v.content)
		case "refusal": // it is what the reader gets to see
			v.text(c, &v.content)
		case "reasoning_content", "reasoning", "reasoning_details", "reasoning_text", "thoughts",
			"thought", "thinking", "thinking_blocks":
			// Some servers send the same text by two names.
			if len(v.reasoning) > reasoned {
				v.text(c, &v.other)
			} else {
				v.text(c, &v.reasoning)
			}
		case "tool_calls":
			if c.next() == '{' {
				v.call(c)
			} else {
				c.array(func() { v.call(c) })
			}
		case "function_call":
			v.call(c)
		case "error":
			v.error(c)
		case "role":
			c.skip()
		default:
			v.unknown(c, key)
		}
	})
}

// text appends the next value to dst: a text, or a list of parts of one. Content must be one of
// them or null. Reasoning that is something else is passed over.
func (v *completion) text(c *cursor, dst *[]byte) {
	isContent := dst == &v.content
	switch next := c.next(); {
	case next == 'n':
		c.null()
		return
	case next == '[' || next == '{':
		v.texts = 2 // several texts have no single place to keep
		v.parts(c, dst)
		return
	case next != '"' && !isContent:
		if !falsy(c.value()) && v.odd == "" {
			v.odd = "reasoning that is not a text"
		}
		return
	}
	v.from = c.at + 1
	*dst = c.string(*dst)
	v.to = c.at - 1
	if c.err == nil && !utf8.Valid(c.text[v.from:v.to]) {
		c.fail("text in UTF-8: a server that cuts characters in two loses them for most clients")
	}
	v.texts++
	v.isReasoning = dst == &v.reasoning
	if dst == &v.other {
		v.texts++
	}
}

// parts reads a list of texts and of objects that have one, or one such object:
// [{"type":"text","text":"so"}].
func (v *completion) parts(c *cursor, dst *[]byte) {
	switch c.next() {
	case '[':
		c.array(func() { v.parts(c, dst) })
	case '{':
		v.onePart(c, dst)
	default:
		v.text(c, dst)
	}
}

// onePart reads a part. Its type may come after its text and decides what that is of.
func (v *completion) onePart(c *cursor, dst *[]byte) {
	var text, thought []byte
	kind := ""
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			if c.next() == '"' {
				kind = string(c.string(nil))
			} else {
				c.skip()
			}
		case "text", "content", "value", "refusal", "summary":
			v.nested(c, &text)
		case "thinking", "reasoning", "thought":
			v.nested(c, &thought)
		case "data", "signature", "id", "format", "index": // of reasoning that is encrypted
			c.skip()
		default:
			v.unknown(c, key)
		}
	})
	if !utf8.Valid(text) || !utf8.Valid(thought) {
		c.fail("text in UTF-8: a server that cuts characters in two loses them for most clients")
	}
	if dst == &v.content && (strings.HasPrefix(kind, "think") || strings.HasPrefix(kind, "reason")) {
		v.reasoning = append(v.reasoning, text...)
	} else {
		*dst = append(*dst, text...)
	}
	if dst == &v.content {
		dst = &v.reasoning
	}
	*dst = append(*dst, thought...)
	if len(text)+len(thought) == 0 && kind != "" && !strings.Contains(kind, "encrypted") &&
		!strings.Contains(kind, "text") && !strings.Contains(kind, "think") && v.odd == "" {
		v.odd = "a part of type " + excerpt([]byte(kind))
	}
}

// nested reads the text of a part, which may be in parts itself.
func (v *completion) nested(c *cursor, dst *[]byte) {
	switch c.next() {
	case '"':
		*dst = c.string(*dst)
	case '[':
		c.array(func() { v.nested(c, dst) })
	case '{':
		c.object(func(key []byte) {
			switch string(key) {
			case "text", "thinking", "value", "content":
				v.nested(c, dst)
			default:
				c.skip()
			}
		})
	default:
		c.skip()
	}
}

// call reads a part of a tool call. Its name and arguments are what the model says, each call on a
// line of its own; arguments that are an object are taken as they are written.
func (v *completion) call(c *cursor) {
	if c.next() != '{' {
		if !falsy(c.value()) && v.odd == "" {
			v.odd = "a tool call that is not an object"
		}
		return
	}
	before, id := len(v.called), false
	var field func(key []byte)
	field = func(key []byte) {
		switch string(key) {
		case "function", "custom":
			if c.next() == '{' {
				c.object(field)
			} else {
				c.skip()
			}
		case "name":
			if raw := c.value(); !falsy(raw) {
				v.called = append(v.called, '\n')
				v.called = append((&cursor{text: raw}).plain(v.called), ' ')
			}
		case "arguments", "input":
			v.called = c.plain(v.called)
		case "id":
			id = !falsy(c.value())
		default:
			c.skip()
		}
	}
	c.object(field)
	if len(v.called) > before || id {
		v.calls++
	}
}

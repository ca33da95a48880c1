package client

import (
	"bytes"
	"unicode/utf8"

	"loadstone/harness/record"
)

// completion is an answer or a chunk of one; only what a client needs of it.
type completion struct {
	content   []byte // of the choices' deltas or messages
	reasoning []byte // of the same: what a model says to itself first, reasoning_content or reasoning
	calls     int    // parts of tool calls
	finish    string // the last finish_reason that is not null
	prompt    int    // usage.prompt_tokens; -1 unknown
	output    int    // usage.completion_tokens
	cached    int    // usage.prompt_tokens_details.cached_tokens
	failure   string // error.message, or the error itself where it is a string
	failed    bool

	// The last text that was parsed in full, and where between its quotes its content or reasoning is if it has just one.
	last     []byte
	from, to int
	texts    int
	thought  bool // that one is reasoning
}

// parse reads a completion, whose content lands in the memory of the last one.
//
// Note: it reads the JSON itself. Decoding with encoding/json took three quarters of the client's time, on the very
// machine whose server is being timed. It is as strict as encoding/json, but takes keys as they are written.
func (v *completion) parse(text []byte) error {
	if words, ok := v.another(text); ok {
		if v.thought {
			v.reasoning = append(v.reasoning[:0], words...)
		} else {
			v.content = append(v.content[:0], words...)
		}
		return nil
	}
	*v = completion{content: v.content[:0], reasoning: v.reasoning[:0], last: v.last[:0], prompt: -1, output: -1, cached: -1}
	c := cursor{text: text}
	c.object(func(key []byte) {
		switch string(key) {
		case "choices":
			c.array(func() { v.choice(&c) })
		case "usage":
			v.usage(&c)
		case "error":
			v.error(&c)
		default:
			c.skip()
		}
	})
	c.blank()
	if c.err == nil && c.at < len(text) {
		c.fail("the end")
	}
	if c.err == nil && v.texts == 1 && v.calls == 0 {
		v.last = append(v.last, text...)
	}
	return c.err
}

// another tells whether text is the last one with another content, which it returns. The chunks of an answer mostly
// differ in nothing else, and comparing bytes takes a tenth of the time of parsing them.
func (v *completion) another(text []byte) ([]byte, bool) {
	if len(v.last) == 0 {
		return nil, false
	}
	before, after := v.last[:v.from], v.last[v.to:]
	end := len(text) - len(after)
	if end < v.from || !bytes.Equal(text[:v.from], before) || !bytes.Equal(text[end:], after) {
		return nil, false
	}
	for _, b := range text[v.from:end] {
		if b == '"' || b == '\\' || b < ' ' || b >= utf8.RuneSelf {
			return nil, false // to be looked at closely
		}
	}
	return text[v.from:end], true
}

func (v *completion) choice(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "delta", "message":
			c.object(func(key []byte) {
				switch string(key) {
				case "content":
					v.content = v.text(c, v.content, false)
				case "reasoning_content", "reasoning":
					v.reasoning = v.text(c, v.reasoning, true)
				case "tool_calls":
					c.array(func() { v.calls++; c.skip() })
				default:
					c.skip()
				}
			})
		case "finish_reason":
			if reason := c.string(nil); len(reason) > 0 {
				v.finish = string(reason)
			}
		default:
			c.skip()
		}
	})
}

// text appends the next value to dst. Only content and reasoning are taken as text alone; what is no string and not
// content, as some servers have it in reasoning, is passed over.
func (v *completion) text(c *cursor, dst []byte, thought bool) []byte {
	if c.null() {
		return dst
	}
	if thought && c.next() != '"' {
		c.skip()
		return dst
	}
	c.blank()
	v.from = c.at + 1
	dst = c.string(dst)
	v.to = c.at - 1
	if c.err == nil && !utf8.Valid(c.text[v.from:v.to]) {
		c.fail("text in UTF-8: a server that cuts characters in two loses them for most clients")
	}
	v.texts++
	v.thought = thought
	return dst
}

func (v *completion) usage(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "prompt_tokens":
			v.prompt = c.count()
		case "completion_tokens":
			v.output = c.count()
		case "prompt_tokens_details":
			c.object(func(key []byte) {
				if string(key) == "cached_tokens" {
					v.cached = c.count()
				} else {
					c.skip()
				}
			})
		default:
			c.skip()
		}
	})
}

func (v *completion) error(c *cursor) {
	if c.null() {
		return
	}
	v.failed = true
	if c.next() == '"' {
		v.failure = string(c.string(nil))
		return
	}
	c.object(func(key []byte) {
		if string(key) == "message" {
			v.failure = string(c.string(nil))
		} else {
			c.skip()
		}
	})
}

// counts takes over the server's token counts. A server that does not report cached tokens leaves them unknown.
func (v *completion) counts(r *record.Record) {
	if v.prompt >= 0 {
		r.PromptTokens, r.OutputTokens, r.CachedTokens = v.prompt, v.output, v.cached
	}
}

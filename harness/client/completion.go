package client

import (
	"bytes"
	"math"
	"unicode/utf8"

	"loadstone/harness/record"
)

// A completion is an answer or a chunk of one, as far as a client needs it.
type completion struct {
	content   []byte // of the choices' deltas or messages
	reasoning []byte // of the same: reasoning_content or reasoning, the text before the answer
	calls     int    // parts of tool calls
	finish    string // the last finish_reason that is not null
	prompt    int    // usage.prompt_tokens; -1 unknown
	output    int    // usage.completion_tokens
	cached    int    // usage.prompt_tokens_details.cached_tokens
	failure   string // error.message, or the error itself where it is a string
	failed    bool

	// details is set by the caller who wants the model and the tokens. A measurement does not.
	details bool
	model   string
	tokens  []tokenChoice // of logprobs

	// last is the last text that was parsed in full. from and to are where its content or reasoning
	// is between its quotes, where it has just one.
	last        []byte
	from, to    int
	texts       int
	isReasoning bool // that text is reasoning
}

// A tokenChoice is how the model chose one token.
type tokenChoice struct {
	bytes int     // length of its text
	lead  float64 // how much likelier it was than the next likeliest, in nats; +Inf unknown
}

// parse reads a completion. Its content uses the memory of the last one's.
//
// Note: it reads the JSON itself. Decoding with encoding/json took three quarters of the client's
// time, on the very machine whose server is being timed. It is as strict as encoding/json, but
// knows keys only as they are written.
func (v *completion) parse(text []byte) error {
	if content, ok := v.sameButContent(text); ok {
		if v.isReasoning {
			v.reasoning = append(v.reasoning[:0], content...)
		} else {
			v.content = append(v.content[:0], content...)
		}
		return nil
	}
	*v = completion{content: v.content[:0], reasoning: v.reasoning[:0], last: v.last[:0],
		prompt: -1, output: -1, cached: -1, details: v.details}
	c := cursor{text: text}
	c.object(func(key []byte) {
		switch string(key) {
		case "choices":
			c.array(func() { v.choice(&c) })
		case "usage":
			v.usage(&c)
		case "error":
			v.error(&c)
		case "model":
			v.readModel(&c)
		default:
			c.skip()
		}
	})
	c.blank()
	if c.err == nil && c.at < len(text) {
		c.fail("the end")
	}
	if c.err == nil && v.texts == 1 && v.calls == 0 && !v.details {
		v.last = append(v.last, text...)
	}
	return c.err
}

// sameButContent tells whether text differs from the last one in its content alone, and returns
// that. The chunks of an answer mostly differ in nothing else, and comparing bytes takes a tenth of
// the time of parsing them.
func (v *completion) sameButContent(text []byte) ([]byte, bool) {
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
			return nil, false // it has to be parsed
		}
	}
	return text[v.from:end], true
}

func (v *completion) choice(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "delta", "message":
			v.message(c)
		case "finish_reason":
			if reason := c.string(nil); len(reason) > 0 {
				v.finish = string(reason)
			}
		case "logprobs":
			v.logprobs(c)
		default:
			c.skip()
		}
	})
}

func (v *completion) message(c *cursor) {
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
}

// text appends the next value to dst. Content must be a string or null. Reasoning that is something
// else, as some servers have it, is skipped.
func (v *completion) text(c *cursor, dst []byte, isReasoning bool) []byte {
	if c.null() {
		return dst
	}
	if isReasoning && c.next() != '"' {
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
	v.isReasoning = isReasoning
	return dst
}

func (v *completion) readModel(c *cursor) {
	if !v.details || c.next() != '"' {
		c.skip()
		return
	}
	v.model = string(c.string(nil))
}

// logprobs reads how each token was chosen: content[].{token, bytes, top_logprobs[].logprob}.
func (v *completion) logprobs(c *cursor) {
	if !v.details {
		c.skip()
		return
	}
	c.object(func(key []byte) {
		if string(key) != "content" {
			c.skip()
			return
		}
		c.array(func() { v.tokens = append(v.tokens, readToken(c)) })
	})
}

func readToken(c *cursor) tokenChoice {
	text, bytes := 0, -1
	var likeliest []float64
	c.object(func(key []byte) {
		switch string(key) {
		case "token":
			text = len(c.string(nil))
		case "bytes":
			if !c.null() {
				bytes = 0
				c.array(func() { bytes++; c.skip() })
			}
		case "top_logprobs":
			c.array(func() { likeliest = append(likeliest, readLogprob(c)) })
		default:
			c.skip()
		}
	})
	t := tokenChoice{bytes: bytes, lead: math.Inf(1)}
	if bytes < 0 {
		t.bytes = text
	}
	if len(likeliest) > 1 {
		t.lead = math.Abs(likeliest[0] - likeliest[1])
	}
	return t
}

func readLogprob(c *cursor) (p float64) {
	c.object(func(key []byte) {
		if string(key) == "logprob" {
			p = c.float()
		} else {
			c.skip()
		}
	})
	return p
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

// counts copies the server's token counts to the record. A server that does not report cached
// tokens leaves them unknown.
func (v *completion) counts(r *record.Record) {
	if v.prompt >= 0 {
		r.PromptTokens, r.OutputTokens, r.CachedTokens = v.prompt, v.output, v.cached
	}
}

package harness

// completion is an answer or a chunk of one; only what a client needs of it.
type completion struct {
	content []byte // of the choices' deltas or messages
	finish  string // the last finish_reason that is not null
	prompt  int    // usage.prompt_tokens; -1 unknown
	output  int    // usage.completion_tokens
	cached  int    // usage.prompt_tokens_details.cached_tokens
	failure string // error.message, or the error itself where it is a string
	failed  bool
}

// parse reads a completion, whose content lands in the memory of the last one.
//
// Note: it reads the JSON itself. Decoding with encoding/json took three quarters of the client's time, on the very
// machine whose server is being timed. It is as strict as encoding/json, but takes keys as they are written.
func (v *completion) parse(text []byte) error {
	*v = completion{content: v.content[:0], prompt: -1, output: -1, cached: -1}
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
	return c.err
}

func (v *completion) choice(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "delta", "message":
			c.object(func(key []byte) {
				if string(key) == "content" {
					v.content = c.string(v.content)
				} else {
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
func (v *completion) counts(r *Record) {
	if v.prompt >= 0 {
		r.PromptTokens, r.OutputTokens, r.CachedTokens = v.prompt, v.output, v.cached
	}
}

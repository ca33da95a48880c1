package client

import "math"

// A tokenChoice is how the model chose one token.
type tokenChoice struct {
	bytes int     // length of its text
	lead  float64 // how much likelier it was than the next likeliest, in nats; +Inf unknown
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

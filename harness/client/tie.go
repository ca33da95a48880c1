package client

import (
	"context"
	"math"
)

// NearTie is a difference of two tokens' log-probabilities below which another order of additions
// can change which of them is the likelier: bfloat16 has three digits, and logits are sums of many
// of them.
const NearTie = 0.25

// Tie asks the prompt again, alone, and returns how much more likely, in log-probability (nats),
// the token at a byte of the greedy answer was than the next likeliest. It is +Inf where the server
// does not report log-probabilities, and where at is below 0: outside of the answer's text.
func (c *Client) Tie(ctx context.Context, p Prompt, answer string, at int) float64 {
	if at < 0 {
		return math.Inf(1)
	}
	p.Logprobs = true
	v, err := c.complete(ctx, p)
	if err != nil {
		return math.Inf(1)
	}
	end := 0
	for _, token := range v.tokens {
		end += token.bytes
		// The end of an answer is a choice as well: that of the last token reported.
		covers := at < end || at >= len(answer) && end >= len(answer)
		if covers && !math.IsInf(token.lead, 1) {
			return token.lead
		}
	}
	return math.Inf(1)
}

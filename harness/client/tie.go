package client

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"
)

// NearTie is the difference of two tokens' log-probabilities below which another order of additions can change which is
// the likelier: bfloat16 has three digits, and logits are sums of many of them.
const NearTie = 0.25

// Tie is by how much more likely, in log-probability, the greedy answer's token at a byte is than the next likeliest, or +Inf
// where the server does not tell.
func (c *Client) Tie(ctx context.Context, p Prompt, answer string, at int) float64 {
	p.NoStream, p.Logprobs = true, true
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := c.request(ctx, p)
	if err != nil {
		return math.Inf(1)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return math.Inf(1)
	}
	defer res.Body.Close()
	var body struct {
		Choices []struct {
			Logprobs struct {
				Content []struct {
					Token       string `json:"token"`
					Bytes       []int  `json:"bytes"`
					TopLogprobs []struct {
						Logprob float64 `json:"logprob"`
					} `json:"top_logprobs"`
				} `json:"content"`
			} `json:"logprobs"`
		} `json:"choices"`
	}
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&body) != nil || len(body.Choices) == 0 {
		return math.Inf(1)
	}
	end := 0
	for _, token := range body.Choices[0].Logprobs.Content {
		length := len(token.Bytes)
		if token.Bytes == nil {
			length = len(token.Token)
		}
		end += length
		// The end of an answer is a choice as well: it is that of the last token reported.
		if (at < end || at >= len(answer) && end >= len(answer)) && len(token.TopLogprobs) > 1 {
			return math.Abs(token.TopLogprobs[0].Logprob - token.TopLogprobs[1].Logprob)
		}
	}
	return math.Inf(1)
}

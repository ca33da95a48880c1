package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"
)

// state is what a server says it holds: what it must not keep of requests that are over.
type state struct {
	known  []string // in words
	values map[string]float64
}

// held are the things a server may say it holds, by the names that servers have for them, and how much more than before
// may be left of each when nothing runs any more.
var held = []struct {
	what  string
	names []string // the first that is known
	label [2]string
	slack func(before float64) float64
	unit  float64
	form  string
}{
	{what: "requests that wait", names: gauges[0]},
	{what: "requests that run", names: gauges[1]},
	{what: "blocks in use", names: []string{poolBlocks}, label: [2]string{"state", "used"}},
	{what: "pool in use", names: gauges[2][1:], slack: func(float64) float64 { return 0.001 }},
	// A scrape's own connection takes up to three goroutines and a descriptor.
	{what: "goroutines", names: []string{"go_goroutines"}, slack: func(float64) float64 { return 3 }},
	{what: "open files", names: []string{"process_open_fds"}, slack: func(float64) float64 { return 2 }},
	// A garbage-collected heap grows before it shrinks.
	{what: "MiB of memory", names: []string{"process_resident_memory_bytes"}, slack: func(b float64) float64 { return max(b/10, 64<<20) }, unit: 1 << 20},
}

// state scrapes the server. One that tells nothing has an empty state.
func (c *Client) state(ctx context.Context) state {
	m, err := c.Scrape(ctx)
	s := state{values: map[string]float64{}}
	if err != nil {
		return s
	}
	for _, h := range held {
		for _, name := range h.names {
			v := m.Value(name)
			if h.label[0] != "" {
				v = m.Value(name, h.label[0], h.label[1])
			}
			if v >= 0 {
				s.values[h.what] = v
				s.known = append(s.known, fmt.Sprintf("%.4g %s", v/max(h.unit, 1), h.what))
				break
			}
		}
	}
	return s
}

// recovery waits until the server holds no more than before, and says what it has not given back in time, and how long it
// took.
func (x *auditor) recovery(ctx context.Context, before state) (lost []Violation, took time.Duration) {
	const patience = 15 * time.Second
	start := time.Now()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		lost = nil
		now := x.c.state(ctx)
		for _, h := range held {
			b, ok := before.values[h.what]
			if !ok {
				continue
			}
			if h.slack != nil {
				b += h.slack(b)
			}
			if v, ok := now.values[h.what]; !ok {
				lost = append(lost, Violation{Check: "recovery", About: "the server's /metrics no longer tell of " + h.what})
			} else if v > b {
				lost = append(lost, Violation{Check: "recovery", About: fmt.Sprintf("%.4g %s %v after the last request, %.4g before",
					v/max(h.unit, 1), h.what, patience, before.values[h.what]/max(h.unit, 1))})
			}
		}
		took = time.Since(start)
		if len(lost) == 0 || took >= patience || ctx.Err() != nil {
			return lost, took
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// tie is by how much more likely, in log-probability, the greedy answer's token at a byte is than the next likeliest, or +Inf
// where the server does not tell.
func (c *Client) tie(ctx context.Context, p Prompt, answer string, at int) float64 {
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

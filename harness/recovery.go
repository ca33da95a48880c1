package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
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

// state is what the server says it holds, and what the machine says of its process.
func (x *auditor) state(ctx context.Context) state {
	s := x.c.state(ctx)
	if x.Process == nil {
		return s
	}
	if u, err := x.Process(); err == nil {
		for what, v := range map[string]int64{"MiB of memory": u.RSS, "open files": int64(u.Files)} {
			if v >= 0 {
				s.values[what] = float64(v)
			}
		}
		if u.Files >= 0 {
			s.known = append(s.known, fmt.Sprintf("%d open files", u.Files))
		}
	}
	return s
}

// counted are the names that servers have for what they count of requests and tokens.
var counted = []struct {
	what  string
	names [][]string // a counter, and the labels that its series must have
	of    func(*Record) int
}{
	{"answered requests", [][]string{{"loadstone_requests_total", "route", "/v1/chat/completions", "status", "200"}, {"vllm:request_success_total"}},
		func(*Record) int { return 1 }},
	{"prompt tokens", [][]string{{"loadstone_tokens_total", "kind", "prompt"}, {"vllm:prompt_tokens_total"}, {"llamacpp:prompt_tokens_total"}},
		func(r *Record) int { return r.PromptTokens }},
	{"cached tokens", [][]string{{"loadstone_tokens_total", "kind", "cached"}}, func(r *Record) int { return r.CachedTokens }},
	{"output tokens", [][]string{{"loadstone_tokens_total", "kind", "output"}, {"vllm:generation_tokens_total"}, {"llamacpp:tokens_predicted_total"}},
		func(r *Record) int { return r.OutputTokens }},
}

// compareCounters holds what the server's own counters rose by to what its answers said. Others may use the server as well,
// and requests that were taken back count there and not here, so the counters may have risen by more, never by less.
// A server may count a request after its last byte, so it has a moment for that.
func (x *auditor) compareCounters(ctx context.Context) {
	const patience = 2 * time.Second
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for start := time.Now(); ; {
		now, _ := x.c.Scrape(ctx)
		wrong, agreed := x.counters.against(now, x.records)
		switch {
		case len(wrong) > 0 && time.Since(start) < patience && ctx.Err() == nil:
			<-poll.C
			continue
		case len(wrong)+len(agreed) == 0:
			x.unknown("counters", "the server's /metrics count no requests and no tokens")
		default:
			x.found("counters", wrong, "the server's /metrics have counted all %s that its answers told of", strings.Join(agreed, ", "))
		}
		return
	}
}

// against holds the rise of counters until now to the answered requests among the records.
func (m Metrics) against(now Metrics, records []Record) (wrong []Violation, agreed []string) {
	for _, c := range counted {
		said := 0
		for i := range records {
			if r := &records[i]; r.Outcome == OK {
				said += max(0, c.of(r))
			}
		}
		for _, name := range c.names {
			before, after := m.Value(name[0], name[1:]...), now.Value(name[0], name[1:]...)
			if after < 0 {
				continue
			}
			if rose := after - max(before, 0); rose < float64(said) {
				wrong = append(wrong, Violation{Check: "counters", About: fmt.Sprintf("%s rose by %.0f, and the answers told of %d %s", name[0], rose, said, c.what)})
			} else {
				agreed = append(agreed, fmt.Sprintf("%d %s", said, c.what))
			}
			break
		}
	}
	return wrong, agreed
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
		now := x.state(ctx)
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

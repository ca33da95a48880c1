package stub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A meter collects what a client measures of a null server, from several goroutines.
type meter struct {
	c      *client.Client
	tokens int
	used   time.Duration // processor time of this process before

	mu                     sync.Mutex
	inFlight, most, ended  int
	ttft, first, late, lag stats.Durations
	failure                error
}

func newMeter(c *client.Client, tokens int) *meter {
	return &meter{c: c, tokens: tokens, used: proc.OwnCPU()}
}

// ask makes one request. A token's text says when it was written.
func (m *meter) ask(ctx context.Context, due time.Duration) {
	m.mu.Lock()
	m.inFlight++
	m.most = max(m.most, m.inFlight)
	m.mu.Unlock()
	r := m.c.Ask(ctx, due, client.Prompt{Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: m.tokens})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	m.ended++
	written := strings.Fields(r.Answer)
	if r.Outcome != record.OK || len(written) != len(r.Chunks) || len(written) != m.tokens {
		m.failure = fmt.Errorf("%s is no null server: %s, %d of %d tokens %s", m.c.URL, r.Outcome, len(r.Chunks), m.tokens, r.Error)
		return
	}
	m.ttft.Add(r.TTFT())
	m.lag.Add(r.Sent - r.Due)
	origin := m.c.Began().UnixNano()
	for i, text := range written {
		if at, err := strconv.ParseInt(text, 10, 64); err == nil {
			after := max(0, time.Duration(origin+int64(r.Chunks[i])-at))
			m.late.Add(after)
			if i == 0 {
				m.first.Add(after)
			}
		}
	}
}

// floor is what was measured, once all requests have ended.
func (m *meter) floor(ctx context.Context) (Floor, error) {
	f := Floor{Streams: m.most, Requests: m.ended}
	if m.ended > 0 {
		f.Process = (proc.OwnCPU() - m.used) / time.Duration(m.ended)
	}
	t, l := m.ttft.Dist(), m.late.Dist()
	f.TTFT, f.TTFT99, f.First, f.Late, f.Late99, f.Lag99 = t.P50, t.P99, m.first.Dist().P50, l.P50, l.P99, m.lag.Dist().P99
	if m.failure != nil {
		return f, m.failure
	}
	return f, ctx.Err()
}

// Measure asks a null server, with so many streams at once, each of so many tokens, over and over for a time. The server
// must run on the same host, as a process of its own, for its clock and its processor time to be told from the client's.
func Measure(ctx context.Context, c *client.Client, streams, tokens int, during time.Duration) (Floor, error) {
	m := newMeter(c, tokens)
	for began := c.Since(); c.Since()-began < during && m.failure == nil && ctx.Err() == nil; {
		due := c.Since()
		var requests sync.WaitGroup
		for range streams {
			requests.Go(func() { m.ask(ctx, due) })
		}
		requests.Wait()
	}
	f, err := m.floor(ctx)
	f.Streams = streams
	return f, err
}

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

// A meter collects what a client measures of a stub server, from several goroutines.
type meter struct {
	c      *client.Client
	tokens int
	used   time.Duration // processor time of this process before

	mu                     sync.Mutex
	inFlight, peak, ended  int
	ttft, first, late, lag stats.Durations
	failure                error
}

func newMeter(c *client.Client, tokens int) *meter {
	return &meter{c: c, tokens: tokens, used: proc.OwnCPU()}
}

// send makes one request and collects its times.
func (m *meter) send(ctx context.Context, due time.Duration) {
	m.mu.Lock()
	m.inFlight++
	m.peak = max(m.peak, m.inFlight)
	m.mu.Unlock()
	r := m.c.Ask(ctx, due, client.Prompt{
		Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: m.tokens})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	m.ended++
	written := strings.Fields(r.Answer) // a token's text is the time at which it was written
	if r.Outcome != record.OK || len(written) != len(r.Chunks) || len(written) != m.tokens {
		m.failure = fmt.Errorf("%s is not a stub server: %s, %d of %d tokens %s",
			m.c.URL, r.Outcome, len(r.Chunks), m.tokens, r.Error)
		return
	}
	m.ttft.Add(r.TTFT())
	m.lag.Add(r.Sent - r.Due)
	epoch := m.c.Epoch().UnixNano()
	for i, text := range written {
		if at, err := strconv.ParseInt(text, 10, 64); err == nil {
			late := max(0, time.Duration(epoch+int64(r.Chunks[i])-at))
			m.late.Add(late)
			if i == 0 {
				m.first.Add(late)
			}
		}
	}
}

// calibration is what was measured, once all requests have ended.
func (m *meter) calibration(ctx context.Context) (Calibration, error) {
	t, l := m.ttft.Dist(), m.late.Dist()
	c := Calibration{Streams: m.peak, Requests: m.ended, TTFT: t.P50, TTFT99: t.P99,
		First: m.first.Dist().P50, Late: l.P50, Late99: l.P99, Lag99: m.lag.Dist().P99}
	if m.ended > 0 {
		c.CPU = (proc.OwnCPU() - m.used) / time.Duration(m.ended)
	}
	if m.failure != nil {
		return c, m.failure
	}
	return c, ctx.Err()
}

// Measure sends rounds of requests to a stub server for a duration, at least one: in each round so
// many streams at once, each of so many tokens. The server must run on this machine, as a process
// of its own (see Starter).
func Measure(ctx context.Context, c *client.Client, streams, tokens int, duration time.Duration) (
	Calibration, error) {
	m := newMeter(c, tokens)
	for start := c.Since(); c.Since()-start < duration && m.failure == nil && ctx.Err() == nil; {
		due := c.Since()
		var requests sync.WaitGroup
		for range streams {
			requests.Go(func() { m.send(ctx, due) })
		}
		requests.Wait()
	}
	measured, err := m.calibration(ctx)
	measured.Streams = streams
	return measured, err
}

package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// StressTestHarness puts load on one server and records every request. Each method is one shape of load; all return a
// record for every request that was due, in the order they were due, whatever became of it. The error is nil, the
// context's, or that the server is gone; the records are good in any case.
type StressTestHarness struct {
	Client *client.Client

	// Each, unless nil, is called with every record as its request ends, from several goroutines.
	Each func(record.Record)

	answered *window // is given what was answered
}

// RunConcurrent sends all prompts at once.
func (h *StressTestHarness) RunConcurrent(ctx context.Context, prompts []client.Prompt) ([]record.Record, error) {
	due := h.Client.Since()
	records := make([]record.Record, len(prompts))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var requests sync.WaitGroup
	for i, p := range prompts {
		requests.Go(func() { records[i] = h.ask(ctx, cancel, due, p) })
	}
	requests.Wait()
	return records, context.Cause(ctx)
}

// RunAgents lets every conversation run for the given number of turns, all conversations at once and each a closed loop:
// an agent's next turn, of n words, is due the moment its last answer has ended. An agent whose turn was not answered asks
// the next thing all the same, without that turn in its history.
func (h *StressTestHarness) RunAgents(ctx context.Context, agents []*Conversation, turns, n, maxTokens int) ([]record.Record, error) {
	byAgent := make([][]record.Record, len(agents))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	due := h.Client.Since()
	var running sync.WaitGroup
	for i, agent := range agents {
		running.Go(func() {
			due := due
			for range turns {
				r := h.turn(ctx, cancel, due, agent, n, maxTokens)
				byAgent[i] = append(byAgent[i], r)
				if ctx.Err() != nil {
					return
				}
				due = r.End
			}
		})
	}
	running.Wait()
	var records []record.Record
	for _, r := range byAgent {
		records = append(records, r...)
	}
	return records, context.Cause(ctx)
}

// RunSustained sends n prompts at a constant rate a second, open loop: a request is sent when it is due, however many
// are still unanswered.
func (h *StressTestHarness) RunSustained(ctx context.Context, rate float64, n int, prompt func(i int) client.Prompt) ([]record.Record, error) {
	if rate <= 0 {
		return nil, fmt.Errorf("rate %g: must be above 0 requests a second", rate)
	}
	return h.RunPaced(ctx, load.Constant(rate), n, prompt)
}

// RunBursty sends bursts of size prompts at once, one burst every so often, open loop.
func (h *StressTestHarness) RunBursty(ctx context.Context, size int, every time.Duration, bursts int, prompt func(i int) client.Prompt) ([]record.Record, error) {
	if size < 1 {
		return nil, fmt.Errorf("burst of %d requests", size)
	}
	return h.RunPaced(ctx, load.Burst{Size: size, Every: every}, size*bursts, prompt)
}

// RunRamp sends n prompts at a rate that rises linearly from one to another over a time, open loop.
func (h *StressTestHarness) RunRamp(ctx context.Context, from, to float64, over time.Duration, n int, prompt func(i int) client.Prompt) ([]record.Record, error) {
	if from < 0 || to <= 0 {
		return nil, fmt.Errorf("ramp from %g to %g requests a second: must end above 0", from, to)
	}
	return h.RunPaced(ctx, load.Ramp(from, to, over), n, prompt)
}

// RunPaced sends n prompts when the pacer wants them. A prompt that is late because the client was, is still timed from
// when it was due.
func (h *StressTestHarness) RunPaced(ctx context.Context, pace load.Pacer, n int, prompt func(i int) client.Prompt) ([]record.Record, error) {
	start := h.Client.Since()
	records, sent := make([]record.Record, n), 0
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var requests sync.WaitGroup
	for i := range n {
		due := start + pace.Due(i)
		if !h.Client.Await(ctx, due) {
			break
		}
		sent++
		requests.Go(func() { records[i] = h.ask(ctx, cancel, due, prompt(i)) })
	}
	requests.Wait()
	return records[:sent], context.Cause(ctx)
}

// turn is one turn of a conversation, which it keeps in order: an answer is appended, an unanswered question taken back.
func (h *StressTestHarness) turn(ctx context.Context, stop context.CancelCauseFunc, due time.Duration, c *Conversation, n, maxTokens int) record.Record {
	p := c.Ask(n, maxTokens)
	turn := c.turn()
	r := h.ask(ctx, stop, due, p)
	r.Turn = turn
	if r.Outcome == record.OK {
		c.Told(r.Answer)
	} else {
		c.takeBack()
	}
	return r
}

// ErrServerGone ends a load early: the server refused a connection and does not accept another.
var ErrServerGone = errors.New("the server is gone")

func (h *StressTestHarness) ask(ctx context.Context, stop context.CancelCauseFunc, due time.Duration, p client.Prompt) record.Record {
	r := h.Client.Ask(ctx, due, p)
	if (r.Outcome == record.Refused || r.Outcome == record.Truncated) && !h.Client.Alive(ctx) {
		// One clear error in place of one for every request that was still to come.
		stop(fmt.Errorf("%w: %s", ErrServerGone, r.Error))
	}
	if r.Outcome == record.OK {
		h.answered.add(p, r)
	}
	if h.Each != nil {
		h.Each(r)
	}
	return r
}

package harness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
)

// A StressTestHarness puts loads on one server and records every request. New makes one for a test,
// Open for a program; or give it a Client of your own.
type StressTestHarness struct {
	Client *client.Client

	// Plan is how Run measures: what is asked again, kept, written and told meanwhile. Its Loads,
	// Runs and Search are not looked at.
	Plan Plan

	Process *proc.Process // of a target that was started, else nil
	log     *watched

	mu     sync.Mutex
	server *server // once a load has met it
	runs   int
}

// Run puts a load on the server and returns what came of it: a record for every request that was
// sent, in the order in which they were due, whatever became of it. The words of its prompts are
// new in every run, so that a load that begins cold does so again.
//
// The error is nil, the context's, or says what must not be: the server is gone (ErrServerGone),
// does not give back what the load took, or was not cold; or this machine has no more files or
// ports (*client.LocalError). The run is good in any case.
func (h *StressTestHarness) Run(ctx context.Context, l load.Load) (record.Run, error) {
	plan := h.Plan
	plan.Loads, plan.Runs, plan.Levels, plan.Search, plan.Until = []load.Load{l}, 1, nil, nil, nil
	plan, err := plan.filled()
	if err != nil {
		return record.Run{}, err
	}
	if h.Client != nil && h.Client.Sockets() {
		if err := plan.files(); err != nil {
			return record.Run{}, err
		}
	}
	s, err := h.meet(ctx)
	if err != nil {
		return record.Run{}, err
	}
	h.mu.Lock()
	plan.First = h.runs
	h.runs++
	h.mu.Unlock()
	runs, _, err := plan.on(ctx, s)
	if len(runs) == 0 {
		return record.Run{Scenario: plan.Loads[0].Name}, err
	}
	return runs[0], err
}

// Records is Run for a load that is too long to keep: it yields each record when its request has
// ended, and last the error, if there is one. A caller that stops early ends the load.
func (h *StressTestHarness) Records(ctx context.Context,
	l load.Load) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		records, failure := make(chan record.Record), make(chan error, 1)
		long := &StressTestHarness{Client: h.Client, Plan: h.Plan}
		long.Plan.Keep = 1
		long.Plan.each = func(r record.Record) {
			select {
			case records <- r:
			case <-ctx.Done():
			}
		}
		go func() {
			_, err := long.Run(ctx, l)
			failure <- err
		}()
		for {
			select {
			case r := <-records:
				if !yield(r, nil) {
					cancel()
					<-failure
					return
				}
			case err := <-failure:
				if err != nil {
					yield(record.Record{}, err)
				}
				return
			}
		}
	}
}

// Send sends prompts of the caller's own, each when the pacer wants it, open loop: a request is
// sent when it is due, however many are still unanswered, and timed from then though the client be
// late. The records are in the order of the prompts. The error is nil, the context's, that the
// server is gone, or a *client.LocalError.
func (h *StressTestHarness) Send(ctx context.Context, pace load.Pacer, prompts []client.Prompt) (
	[]record.Record, error) {
	if h.Client == nil {
		return nil, errNoClient
	}
	start, limited := h.Client.Since(), h.Client.Limited()
	records, sent := make([]record.Record, len(prompts)), 0
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var requests sync.WaitGroup
	for i, p := range prompts {
		due := start + pace.Due(i)
		if !h.Client.Await(ctx, due) || h.Client.Limited() != limited {
			break
		}
		sent++
		requests.Go(func() { records[i] = ask(ctx, h.Client, stop, due, p) })
	}
	requests.Wait()
	if err := h.Client.Limited(); err != limited {
		return records[:sent], err
	}
	return records[:sent], context.Cause(ctx)
}

// meet gets to know the server, once.
func (h *StressTestHarness) meet(ctx context.Context) (*server, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Client == nil {
		return nil, errNoClient
	}
	if h.server == nil {
		s, err := meet(ctx, h.Client)
		if err != nil {
			return nil, err
		}
		h.server = s
	}
	return h.server, nil
}

var errNoClient = errors.New("the harness has no client: make it with harness.New or " +
	"harness.Open, or give it a Client")

// ErrServerGone ends a load early: the server refused a connection and does not accept another.
var ErrServerGone = errors.New("the server is gone")

// ask sends a prompt. A server that is found to be gone ends the load: one clear error in place of
// one for every request that was still to come.
func ask(ctx context.Context, c *client.Client, stop context.CancelCauseFunc, due time.Duration,
	p client.Prompt) record.Record {
	r := c.Ask(ctx, due, p)
	if (r.Outcome == record.Refused || r.Outcome == record.Truncated) && !c.Alive(ctx) &&
		ctx.Err() == nil &&
		c.Limited() == nil {
		stop(fmt.Errorf("%w: %s", ErrServerGone, r.Error))
	}
	return r
}

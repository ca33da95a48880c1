package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/metrics"
	"loadstone/harness/record"
)

// observe looks at the server from now on. The function it returns ends that and puts into a run
// what was seen; records are all of the run that are kept, those included that its results leave
// out.
func observe(ctx context.Context, c *client.Client) func(run *record.Run, records []record.Record) {
	counted := count(ctx, c)
	samples := watchServer(ctx, c)
	return func(run *record.Run, records []record.Record) {
		run.Samples = samples()
		for i := range run.Samples {
			run.Samples[i].Scenario, run.Samples[i].Level, run.Samples[i].Run = run.Scenario, run.Level, run.Index
		}
		run.PeakPool = record.PeakPool(run.Samples)
		run.Counters = counted(records, run.Rest)
	}
}

// watchServer samples the server from now until the function it returns is called. Between two
// looks a peak can pass unseen, so the highest sample is a lower bound. There is no sample of a
// server that tells nothing of itself.
func watchServer(ctx context.Context, c *client.Client) (stop func() []record.Sample) {
	const every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	var seen series
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			at := c.Since()
			if m, err := c.Scrape(ctx); err == nil { // one that fails is only a look less
				sample, ok := m.Sample(at)
				if !ok {
					return // a server that does not know it now never will
				}
				seen.add(sample)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() []record.Sample {
		cancel()
		watching.Wait()
		return seen.samples
	}
}

// series is the samples of a run, at most maxSamples however long it is: when they are full, every
// two become one that has the larger value of each gauge, so that a peak stays.
type series struct {
	samples []record.Sample
	every   int // looks that make a sample; 0 is 1
	looks   int // in the last sample
}

const maxSamples = 2000

func (s *series) add(look record.Sample) {
	if s.every == 0 {
		s.every = 1
	}
	if n := len(s.samples); s.looks%s.every != 0 {
		s.samples[n-1] = merge(s.samples[n-1], look)
	} else {
		if n == maxSamples {
			for i := range n / 2 {
				s.samples[i] = merge(s.samples[2*i], s.samples[2*i+1])
			}
			s.samples, s.every = s.samples[:n/2], 2*s.every
		}
		s.samples, s.looks = append(s.samples, look), 0
	}
	s.looks++
}

func merge(a, b record.Sample) record.Sample {
	a.Queue, a.Running, a.Pool = max(a.Queue, b.Queue), max(a.Running, b.Running), max(a.Pool, b.Pool)
	return a
}

// count looks at the server's account now, before a run. What it returns looks again, after, and
// sets beside it what the client has of the run. A server may count a request after its last byte,
// so it has a moment for that each time.
func count(ctx context.Context, c *client.Client) (stop func(records []record.Record, rest *record.Rest) *record.Counters) {
	look := func(done func(now record.Account) bool) record.Account {
		const patience = 2 * time.Second
		poll := time.NewTicker(20 * time.Millisecond)
		defer poll.Stop()
		for start := time.Now(); ; <-poll.C {
			m, _ := c.Scrape(ctx) // a nil Metrics knows no value
			if now := m.Account(); len(now) == 0 || done(now) || time.Since(start) >= patience {
				return now
			}
		}
	}
	var last record.Account
	before := look(func(now record.Account) bool { // the warm-up is counted when nothing rises any more
		settled := last != nil && now.Settled(last)
		last = now
		return settled
	})
	return func(records []record.Record, rest *record.Rest) *record.Counters {
		client := record.ClientAccount(records, rest)
		after := look(func(now record.Account) bool { return len(record.Compare(before, now, client).Missing()) == 0 })
		return record.Compare(before, after, client)
	}
}

// serverState is what the server says it holds. One that tells nothing has an empty state.
func serverState(ctx context.Context, c *client.Client) metrics.State {
	m, _ := c.Scrape(ctx) // a nil Metrics knows no value
	return m.State()
}

// drained waits until the server has nothing left of a load: what it still works on, or never gives
// back, would be in the next one. A server that tells nothing has nothing left.
func (s *server) drained(ctx context.Context, before metrics.State) error {
	const patience = 10 * time.Second
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for start := time.Now(); ; {
		now, left := serverState(ctx, s.client), ""
		for _, kind := range metrics.InFlight {
			if now[kind] > before[kind] {
				left = kind.Text(now[kind])
			}
		}
		switch {
		case left == "" || ctx.Err() != nil:
			return ctx.Err()
		case time.Since(start) > patience:
			return fmt.Errorf("the server does not recover: %s %v after the last answer, %s", left, patience, before.String()+" before")
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// balanced holds a run's records, and those that are not kept, to what the client has counted since
// it was begun.
func (s *server) balanced(records []record.Record, rest *record.Rest, begun record.Ledger) error {
	if found := record.Balance(records, begun, s.client.Ledger().Without(rest)); len(found) > 0 {
		return fmt.Errorf("the measurement cannot be true: %s", found[0])
	}
	return nil
}

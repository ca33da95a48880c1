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
func (m *measurement) observe(ctx context.Context, at record.Sample) func(run *record.Run,
	records []record.Record) {
	counted := count(ctx, m.client)
	samples := watchServer(ctx, m.client, at, m.plan.JournalSamples)
	return func(run *record.Run, records []record.Record) {
		run.Samples = samples()
		run.PeakPool = record.PeakPool(run.Samples)
		run.Counters = counted(records, run.Rest)
	}
}

// watchServer samples the server from now until the function it returns is called. Each sample is
// at, the place of the run, and what was seen. journal, unless nil, is given them meanwhile.
// Between two looks a peak can pass unseen, so the highest sample is a lower bound, unless the
// server counts its peaks itself. A server without metrics has no samples.
// Looks are 20 ms apart, later a 2000th of the run: 50 looks a second for an hour took 8 % of a
// processor.
func watchServer(ctx context.Context, c *client.Client, at record.Sample,
	journal func([]record.Sample)) (stop func() []record.Sample) {
	w := &watcher{client: c, at: at, begun: c.Since(), sampled: sampled{journal: journal}}
	unflush := func() {}
	if journal != nil {
		unflush = Every(flushEvery, w.flush)
	}
	ended := make(chan struct{})
	var watching sync.WaitGroup
	if w.look(ctx) { // a server that does not tell now never will
		watching.Go(func() { w.watch(ctx, ended) })
	}
	return func() []record.Sample {
		close(ended)
		watching.Wait()
		unflush()
		w.flush()
		return w.series.Samples
	}
}

// watcher looks at a server during a run.
type watcher struct {
	client *client.Client
	at     record.Sample   // the place of the run
	begun  time.Duration   // on the client's clock
	first  metrics.Metrics // of the first look, from which on the peak counts
	sampled
}

// look takes a sample. It is false where the server tells nothing that samples have.
func (w *watcher) look(ctx context.Context) (tells bool) {
	now := w.client.Since()
	m, err := w.client.Scrape(ctx)
	if err != nil {
		return true // it is only a look less
	}
	if w.first == nil {
		w.first = m
	}
	sample, ok := m.Sample(now, w.first)
	if ok {
		sample.Scenario, sample.Level, sample.Run = w.at.Scenario, w.at.Level, w.at.Run
		w.add(sample)
	}
	return ok
}

// watch looks again and again, and once more when the run has ended, for what came since.
func (w *watcher) watch(ctx context.Context, ended <-chan struct{}) {
	for tells := true; tells; {
		pause := (w.client.Since() - w.begun) / record.MaxSamples
		select {
		case <-ended:
			w.look(ctx)
			return
		case <-time.After(min(max(pause, 20*time.Millisecond), time.Second)):
			tells = w.look(ctx)
		}
	}
}

// sampled is what was seen of a server: the samples of the run, and the looks that the journal has
// not.
type sampled struct {
	journal func([]record.Sample) // nil: there is none

	mu     sync.Mutex
	series record.Series
	fresh  []record.Sample
}

func (s *sampled) add(look record.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.series.Add(look)
	if s.journal != nil {
		s.fresh = append(s.fresh, look)
	}
}

// flush gives the journal what it has not. Of a long run that is one sample: the series has none
// that are closer together either, and the file stays small.
func (s *sampled) flush() {
	s.mu.Lock()
	fresh := s.fresh
	s.fresh = nil
	if s.series.IsLong() {
		fresh = record.MergeSamples(fresh)
	}
	s.mu.Unlock()
	if len(fresh) > 0 {
		s.journal(fresh)
	}
}

// count looks at the server's account now, before a run. What it returns looks again, after, and
// sets beside it what the client has of the run. A server may count a request after its last byte,
// so it has a moment for that each time.
func count(ctx context.Context, c *client.Client) (
	stop func(records []record.Record, rest *record.Rest) *record.Counters) {
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
	// The warm-up is counted when nothing rises any more.
	before := look(func(now record.Account) bool {
		settled := last != nil && now.Settled(last)
		last = now
		return settled
	})
	return func(records []record.Record, rest *record.Rest) *record.Counters {
		client := record.ClientAccount(records, rest)
		after := look(func(now record.Account) bool {
			return len(record.Compare(before, now, client).Missing()) == 0
		})
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
			return fmt.Errorf("the server does not recover: %s %v after the last answer, %s before",
				left, patience, before.String())
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// held is what the server holds now beside what it held before: of the things that it gives back.
func (s *server) held(ctx context.Context, before metrics.State) *record.Held {
	now := serverState(ctx, s.client)
	h := &record.Held{Before: map[string]float64{}, After: map[string]float64{}}
	for _, kind := range metrics.InFlight {
		for state, to := range map[*metrics.State]map[string]float64{&before: h.Before, &now: h.After} {
			if v, ok := (*state)[kind]; ok {
				to[string(kind)] = v
			}
		}
	}
	if len(h.Before) == 0 {
		return nil
	}
	return h
}

// balanced holds a run's records, and those that are not kept, to what the clients have counted
// from its begin until now.
func balanced(records []record.Record, rest *record.Rest, begun, now record.Ledger) error {
	if found := record.Balance(records, begun, now.Without(rest)); len(found) > 0 {
		return fmt.Errorf("the measurement cannot be true: %s", found[0])
	}
	return nil
}

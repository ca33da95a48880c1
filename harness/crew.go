package harness

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Crew are workers: other processes, on this machine or others, that each carry out a part of
// every run (see [Part]) while this one measures: it begins the run, takes the records, and holds
// them to what must be true. Package workers has one over NATS; that this package knows no network
// but the server's is why it is an interface. All times are of the clock of the plan's client, and
// so are those of the records.
type Crew interface {
	// Begin gives each worker its part of a run. The share of the job is left open.
	Begin(ctx context.Context, job Job) error
	// Fill lets all agents have their first turn, and returns the records.
	Fill(ctx context.Context) ([]record.Record, error)
	// Execute begins the parts at a time, and returns when all have ended. A worker that is lost is a
	// *LostError; the others' parts go on to their end.
	Execute(ctx context.Context, start time.Duration, run CrewRun) error
	// Again lets one of the workers ask some of its questions again.
	Again(ctx context.Context) ([]record.Record, []record.Violation, record.Again, error)

	Size() int             // how many workers there are
	Lead() time.Duration   // the time from which on it can be told to all of them that they begin
	Ledger() record.Ledger // what their clients have counted until the last call returned
	Skipped() int          // recorded calls of the run that were not sent
	InFlight() int         // requests on their way, as far as they have told
}

// A CrewRun is what a Crew tells while its parts run.
type CrewRun struct {
	Deliver func(records []record.Record)
	// Await is called when all agents of a worker's part have come to a round, and returns when that
	// is due; Leave when a part, counted from 0, has ended, or its worker is lost. They are nil of a
	// load without rounds.
	Await func() (due time.Duration, round int, more bool)
	Leave func(part int)
}

// A LostError says that a worker was lost: what it had still to send was not sent.
type LostError struct {
	Worker, Of int    // counted from 1
	Name       string // where it ran
	After      time.Duration
	Told       int // of its requests, how many have ended by then
	Unsent     int // how many of its part have not; -1: that is not known
	Why        string
}

func (e *LostError) Error() string {
	unsent := "the rest of its part was not sent, or not recorded"
	if e.Unsent >= 0 {
		unsent = fmt.Sprintf("%d requests of its part were not sent, or not recorded", e.Unsent)
	}
	return fmt.Sprintf("worker %d of %d (%s) was lost %v after the run's start: %s: it told of %d "+
		"requests, and %s", e.Worker, e.Of, e.Name, e.After.Round(100*time.Millisecond), e.Why,
		e.Told, unsent)
}

// job is a run as the workers are given it.
func (m *measurement) job(x *execution) Job {
	return Job{Load: x.load, Place: x.place, Epoch: x.epoch, Exact: m.exact, Again: m.plan.Again,
		TemplateTokens: m.size.constant, WordTokens: m.size.perWord}
}

// execute puts the load on the server, by this process or by the crew.
func (m *measurement) execute(ctx context.Context, x *execution) error {
	crew := m.plan.Crew
	if crew == nil {
		x.begin(newWindow(m.plan.Again, x.load.Seeds.Text), m.each())
		if err := m.awaitStart(ctx, x); err != nil {
			return err
		}
		m.now.Store(x)
		defer m.now.Store(nil)
		return x.execute(ctx)
	}
	ctx, x.stop = context.WithCancelCause(ctx)
	defer x.stop(nil)
	x.begin(nil, m.each())
	x.start += crew.Lead()
	m.now.Store(x)
	defer m.now.Store(nil)
	run := CrewRun{Deliver: x.deliverOf}
	if n := min(x.load.Together, crew.Size()); n > 0 {
		x.barrier = newBarrier(n, func(round int) (time.Duration, bool) {
			due, more := x.between(ctx, round)
			return due + crew.Lead(), more
		})
		run.Await, run.Leave = x.barrier.await, func(part int) {
			if part < n { // the others have no agents
				x.barrier.leave()
			}
		}
	}
	err := crew.Execute(ctx, x.start, run)
	x.skipped.Store(int64(crew.Skipped()))
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// awaitStart waits for the plan's start, where it has one.
func (m *measurement) awaitStart(ctx context.Context, x *execution) error {
	if m.plan.Start.IsZero() {
		return nil
	}
	x.start = m.plan.Start.Sub(m.client.Epoch())
	if late := m.client.Since() - x.start; late > 0 {
		return &LateError{late}
	}
	if !x.sleep(ctx, x.start) {
		return ctx.Err()
	}
	return nil
}

// A LateError says that the time at which a load was to begin had passed when it could.
type LateError struct{ By time.Duration }

func (e *LateError) Error() string {
	return fmt.Sprintf("the load was to begin %v ago, and other parts of it have; give all of "+
		"them a later start", e.By.Round(time.Millisecond))
}

// deliverOf takes records of a worker.
func (x *execution) deliverOf(records []record.Record) {
	for _, r := range records {
		x.ended.Add(1)
		x.each(r)
		if x.barrier != nil {
			x.barrier.ended(r.Rep, r.End)
		}
		x.mu.Lock()
		x.records.add(r)
		x.mu.Unlock()
	}
}

// fill lets all agents have their first turn.
func (m *measurement) fill(ctx context.Context, x *execution) (err error) {
	if m.plan.Crew == nil {
		err = x.fill(ctx)
	} else {
		x.filled, err = m.plan.Crew.Fill(ctx)
	}
	x.records.check.Add(x.filled)
	return err
}

// ledger is what all clients of the measurement have counted.
func (m *measurement) ledger() record.Ledger {
	own := m.client.Ledger()
	if m.plan.Crew != nil {
		own = own.Add(m.plan.Crew.Ledger())
	}
	return own
}

// checkShare refuses what parts of a load that know nothing of each other cannot do together.
func (plan *Plan) checkShare() error {
	switch {
	case plan.Share.Whole():
		return nil
	case plan.Crew != nil:
		return fmt.Errorf("a part of a load is not split again among workers")
	case len(plan.Loads) != 1 || plan.Runs > 1 || len(plan.Levels) > 1 || plan.Search != nil:
		return fmt.Errorf("a part of a load is one run of one load at one level, since no part " +
			"knows when another has ended; workers that a coordinator leads can do more")
	case plan.Loads[0].Together > 0:
		return fmt.Errorf("load %s: agents that ask together wait for each other, and parts of a "+
			"load know nothing of each other; workers that a coordinator leads can do that",
			plan.Loads[0].Name)
	}
	return nil
}

// inFlight is how many requests are on their way.
func inFlight(c *client.Client, crew Crew) int {
	ledger := c.Ledger()
	n := ledger.Begun - ledger.Ended
	if crew != nil {
		n += crew.InFlight()
	}
	return n
}

// sharesOf are the shares whose requests a run's records are of.
func sharesOf(a *record.Asked) []load.Share {
	if a.Part > 0 {
		return []load.Share{{Part: a.Part - 1, Of: a.Parts}}
	}
	var all []load.Share
	for part := range max(a.Parts, 1) {
		all = append(all, load.Share{Part: part, Of: max(a.Parts, 1)})
	}
	return all
}

// OfShare are the records of the agents of a share.
func OfShare(l *load.Load, s load.Share, records []record.Record) (own []record.Record) {
	for i := range records {
		if n, ok := agentOf(l.Name, &records[i]); ok && s.Has(l, n) {
			own = append(own, records[i])
		}
	}
	return own
}

// agentOf is the number of the agent that a record is of, among those of its load.
func agentOf(name string, r *record.Record) (n int, ok bool) {
	rest, ok := strings.CutPrefix(r.Job(), name+"-")
	number, _, cut := strings.Cut(rest, "-")
	n, err := strconv.Atoi(number)
	return n, ok && cut && err == nil && n >= 0 && strconv.Itoa(n) == number
}

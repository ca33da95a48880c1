package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// run makes one run of a load at a level and keeps it. This is the measuring protocol, for every
// load:
//
//	fill the caches, or empty them        what the load says of them is then so
//	open the ledger, observe the server   its own counts, and samples of its pool
//	execute                               the clock runs
//	close                                 counts, recount by a tokenizer, cut off the warm-up
//	check                                 cold was cold, restored came from disk; every request has a
//	                                      record; Little's law
//	drain                                 the server gives back what the load took
//	ask again                             some of the questions, alone
//	judge                                 what must be true of every record
//
// A new check is added here and nowhere else.
func (m *measurement) run(ctx context.Context, l load.Load, level load.Level, index int) error {
	l, err := m.replayOn(ctx, l)
	if err != nil {
		return err
	}
	x, err := m.prepare(ctx, l, level, index)
	if err != nil {
		return err
	}
	m.watch.begin(strings.TrimSpace(l.Name+" "+level.String()), index-m.plan.First)
	if m.plan.Crew != nil {
		if err := m.plan.Crew.Begin(ctx, m.job(x)); err != nil {
			return err
		}
	}
	if err := m.empty(ctx, x); err != nil {
		return err
	}
	r := &measuredRun{Run: record.Run{Scenario: l.Name, Index: index, Level: level, Cache: l.Cache,
		Goodput: l.Goodput}, execution: x}
	r.begun, r.from = m.ledger(), m.client.Since()
	seen := m.observe(ctx, record.Sample{Scenario: l.Name, Level: level, Run: index})
	if l.Cache == load.Hot {
		err = m.fill(ctx, x)
	}
	if err == nil {
		x.idle = serverState(ctx, m.client)
		err = m.execute(ctx, x)
	}
	m.collect(r)
	seen(&r.Run, r.all)
	err = m.close(ctx, r, err)
	r.Asked = m.asked(x, l.Seeds.Text)
	if err == nil {
		err = m.check(ctx, r)
	}
	r.Violations = append(x.records.check.Found(), r.Violations...)
	switch {
	case len(r.Records) > 0:
		m.runs = append(m.runs, r.Run)
	case err == nil && m.plan.Share.Whole(): // a part of a load may have none of its agents
		m.unmeasured = append(m.unmeasured,
			&UnmeasuredError{l.Name, level, len(r.records), r.Skipped})
	}
	if x.load.Together == 0 {
		m.watch.end()
	}
	return err
}

// A measuredRun is a run that has been executed, and what is known of it until it is judged.
type measuredRun struct {
	record.Run
	execution *execution
	begun     record.Ledger   // what the clients had counted before it
	from      time.Duration   // when that was, by the client's clock
	records   []record.Record // of the load, a warm-up included
	all       []record.Record // of all requests since then that are kept
}

// collect takes the records from a run's execution. Those that filled the caches are no part of
// what is measured.
func (m *measurement) collect(r *measuredRun) {
	x := r.execution
	r.records = x.records.close()
	if m.plan.Crew != nil && x.records.rest == nil { // elsewhere it was found meanwhile
		x.lookBack(x.filled, r.records)
	}
	r.Rest, r.Skipped = x.records.rest, int(x.skipped.Load())
	r.all = r.records
	if x.load.Cache == load.Hot { // a restored cache was filled before the ledger was opened
		r.all = slices.Concat(x.filled, r.records)
	}
}

// close ends a run's accounts: what was counted meanwhile, its tokens counted again, its warm-up
// cut off. err is what came of the execution, and is returned together with what goes wrong here.
func (m *measurement) close(ctx context.Context, r *measuredRun, err error) error {
	r.Window = record.NewWindow(r.from, r.begun, m.client.Since(), m.ledger())
	if m.plan.Maintain != nil || !m.plan.Share.Whole() {
		r.Counters = nil
	}
	if _, lost := errors.AsType[*LostError](err); lost { // nobody knows what its client counted
		r.Window = nil
	}
	err = errors.Join(err, m.recount(ctx, &r.Run, r.records), cut(&r.Run, r.execution, r.records),
		r.execution.records.err)
	r.Warmup = append(r.execution.filled, r.Warmup...)
	return err
}

// check holds a run to what its load says of the caches and to the clients' own counts; then the
// server to giving back what the load took, and to its own answers, asked for again. Of a part of a
// load the server is not judged: it knows nothing of the other parts.
func (m *measurement) check(ctx context.Context, r *measuredRun) error {
	x := r.execution
	switch x.load.Cache {
	case load.Cold:
		if err := m.wasCold(&x.load, r.records); err != nil {
			return err
		}
	case load.Restored:
		if err := m.wasRestored(&r.Run, r.records); err != nil {
			return err
		}
	}
	if err := balanced(r.all, r.Rest, r.begun, m.ledger()); err != nil {
		return err
	}
	if !m.plan.Share.Whole() {
		return nil
	}
	err := m.drained(ctx, x.idle)
	r.Held = m.held(ctx, x.idle)
	if err != nil {
		return err
	}
	return m.compareAgain(ctx, r)
}

// prepare makes the execution of a run. Its words are new in every run, or the next run would find
// them in the server's cache.
func (m *measurement) prepare(ctx context.Context, l load.Load, level load.Level,
	index int) (*execution, error) {
	at := l.At(level)
	at.Seeds.Text = load.Derive(at.Seeds.Text, l.Name+" "+level.String(), index)
	at, err := m.place(ctx, at)
	if err != nil {
		return nil, err
	}
	epoch := strconv.FormatInt(m.epoch.UnixMicro(), 36) + strconv.Itoa(m.count)
	m.count++
	x := newExecution(at, m.server, epoch)
	x.place = record.Place{Scenario: l.Name, Level: level, Run: index, Cache: l.Cache}
	x.share, x.roundEnded = m.plan.Share, m.watch.end
	x.records = m.keeper(l.Goodput)
	x.maintenance = newMaintenance(&m.plan)
	return x, nil
}

// each is what is told of every request as it ends.
func (m *measurement) each() func(record.Record) {
	if m.plan.each == nil {
		return m.watch.record
	}
	return func(r record.Record) {
		m.watch.record(r)
		m.plan.each(r)
	}
}

// keeper is a new one, for a run. A warm-up must end among the records that are kept.
func (m *measurement) keeper(goodput load.Objective) *keeper {
	keep := keptOf(m.maxRuns)
	for _, l := range m.plan.Loads {
		if l.WarmUp != (load.WarmUp{}) {
			keep = keptRecords
		}
	}
	return &keeper{goodput: goodput, keep: cmp.Or(m.plan.Keep, keep), write: m.plan.Write,
		tokens: m.plan.Tokens, journal: m.plan.Journal, check: record.Checker{Shared: -1}}
}

// empty makes the server forget what it has in memory, where the plan knows how; for restored
// caches they are filled before.
func (m *measurement) empty(ctx context.Context, x *execution) error {
	if x.load.Cache == load.Restored {
		if err := m.fill(ctx, x); err != nil {
			return err
		}
	}
	if m.plan.Reset == nil {
		return nil
	}
	if err := m.plan.Reset(ctx); err != nil {
		return fmt.Errorf("the server could not be reset: %w", err)
	}
	if x.load.Cache == load.Cold { // a restored cache has all on disk
		m.ceiling.forget()
	}
	return nil
}

// An UnmeasuredError says that no run of a load, at one of its levels, has a request to be
// measured.
type UnmeasuredError struct {
	Scenario string
	Level    load.Level
	WarmUp   int // requests that were left out as the warm-up
	Skipped  int // calls that were not sent, since they exceed the server's context
}

func (e *UnmeasuredError) Error() string {
	why := "no request was due before its end; it needs a longer duration or a higher rate"
	switch {
	case e.WarmUp > 0:
		why = fmt.Sprintf("the warm-up left out all of its %s; it needs a shorter warm-up or more "+
			"requests", table.Plural(e.WarmUp, "request"))
	case e.Skipped > 0:
		why = fmt.Sprintf("all of its %s exceed the server's context and were skipped",
			table.Plural(e.Skipped, "call"))
	}
	return strings.TrimSpace(e.Scenario+" "+e.Level.String()) + ": nothing was measured: " + why
}

// checkMeasured returns an error where the runs of a load at one of its levels have nothing: a row
// that is missing is easily overlooked.
func (m *measurement) checkMeasured() error {
	for _, e := range m.unmeasured {
		if !slices.ContainsFunc(m.runs, func(r record.Run) bool {
			return r.Scenario == e.Scenario && r.Level == e.Level
		}) {
			return e
		}
	}
	return nil
}

// cut splits a run's records into what is measured and what came before, which must end among those
// that are kept.
func cut(run *record.Run, x *execution, records []record.Record) error {
	run.Steady = record.FindSteady(records)
	w := x.load.WarmUp
	n := 0
	begin := x.start
	switch {
	case w.Auto && run.Steady.Found:
		begin += run.Steady.From
	case w.Duration > 0:
		begin += w.Duration
	case w.Requests > 0:
		n = min(w.Requests, len(records))
	}
	for n < len(records) && records[n].Due < begin {
		n++
	}
	for i := range records[:n] {
		records[i].Warmup = true
	}
	run.Warmup = append(run.Warmup, records[:n]...)
	run.Records = records[n:]
	run.Elapsed = run.Span()
	if x.barrier != nil && len(run.Records) > 0 {
		run.Elapsed = x.barrier.under(run.Records[0].Rep)
	}
	if run.Rest != nil && len(run.Records) == 0 {
		return fmt.Errorf("the warm-up is longer than the %d requests whose records are kept", n)
	}
	return nil
}

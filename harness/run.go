package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"loadstone/harness/load"
	"loadstone/harness/record"
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
	run := record.Run{Scenario: l.Name, Index: index, Level: level, Cache: l.Cache, Goodput: l.Goodput}
	m.watch.begin(strings.TrimSpace(l.Name+" "+level.String()), index-m.plan.First)
	if m.plan.Crew != nil {
		if err := m.plan.Crew.Begin(ctx, m.job(x)); err != nil {
			return err
		}
	}
	if err := m.empty(ctx, x); err != nil {
		return err
	}
	begun, from := m.ledger(), m.client.Since()
	seen := m.observe(ctx, record.Sample{Scenario: l.Name, Level: level, Run: index})
	if l.Cache == load.Hot {
		err = m.fill(ctx, x)
	}
	alone := !m.plan.Share.Whole() // beside other parts of the load, of which it knows nothing
	window := newWindow(m.plan.Again, x.load.Seeds.Text)
	if err == nil {
		x.idle = serverState(ctx, m.client)
		err = m.execute(ctx, x, window)
	}
	records, filled := x.records.close(), x.filled
	if m.plan.Crew != nil && x.records.rest == nil { // elsewhere it was found meanwhile
		x.lookBack(filled, records)
	}
	run.Rest, run.Skipped = x.records.rest, int(x.skipped.Load())
	all := records
	if l.Cache == load.Hot { // a restored cache was filled before the ledger was opened
		all = slices.Concat(filled, records)
	}
	seen(&run, all)
	run.Window = record.NewWindow(from, begun, m.client.Since(), m.ledger())
	run.Asked = m.asked(x, l.Seeds.Text)
	if m.plan.Maintain != nil || alone {
		run.Counters = nil
	}
	if _, lost := errors.AsType[*LostError](err); lost { // nobody knows what its client counted
		run.Window = nil
	}
	err = errors.Join(err, m.recount(ctx, &run, records), cut(&run, x, records), x.records.err)
	run.Warmup = append(filled, run.Warmup...)
	if err == nil && l.Cache == load.Cold {
		err = m.wasCold(&x.load, records)
	}
	if err == nil && l.Cache == load.Restored {
		err = m.wasRestored(&run, records)
	}
	if err == nil {
		err = balanced(all, run.Rest, begun, m.ledger())
	}
	if err == nil && !alone {
		err = m.drained(ctx, x.idle)
		run.Held = m.held(ctx, x.idle)
	}
	if err == nil && !alone {
		err = m.compareAgain(ctx, &run, x.records, window)
	}
	run.Violations = append(x.records.check.Found(), run.Violations...)
	if len(run.Records) > 0 {
		m.runs = append(m.runs, run)
	}
	if x.load.Together == 0 {
		m.watch.end()
	}
	return err
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

package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A LoadPlan is a measurement of one load.
type LoadPlan struct {
	Load   load.Load
	Runs   int          // rounds; each gives every level one run
	Levels []load.Level // a sweep; empty: the load as it is
	Search *Search      // in place of Levels
	Until  *Until       // ends the rounds of Levels before there were Runs of them; nil: nothing does

	// Reset, unless nil, makes the server forget what it has in memory; Client.URL may be another one after it. It is called
	// before each run, and for restored caches after they were warmed. An error ends the measurement: what would be measured
	// after it is not what was asked for.
	Reset func(context.Context) error

	// Again is how many of each run's questions are asked once more after it, alone, to hold the answers to each other; 0 none.
	Again int

	// Keep is how many records of each run stay in memory, 0 as many as make 20000 of all, but 1000 at least. Those of later
	// requests are given to Write in batches, unless it is nil, and are in the run's Rest.
	Keep  int
	Write func([]record.Record) error

	// Progress, unless nil, is called from one goroutine at a time: after every request and every fifth of a second. Its
	// repetitions are runs.
	Progress func(Progress)
}

// check refuses a plan that says nothing sensible.
func (p *LoadPlan) check() error {
	l := &p.Load
	arrivals := 0
	for _, given := range []bool{l.Concurrency > 0, l.Rate != nil, l.Burst.Size > 0, l.Trace != nil} {
		if given {
			arrivals++
		}
	}
	switch _, bounded := l.Agents(); {
	case arrivals != 1:
		return fmt.Errorf("load %s: want one of concurrency, rate, burst and trace, not %d", l.Name, arrivals)
	case l.Trace == nil && l.Requests == 0 && l.Duration == 0:
		return fmt.Errorf("load %s has no end: want a number of requests or a duration", l.Name)
	case l.Cache != load.Cold && l.Trace != nil:
		return fmt.Errorf("load %s: a trace says itself what its prompts share, so its cache is cold, not %s", l.Name, l.Cache)
	case l.Cache != load.Cold && !bounded:
		return fmt.Errorf("load %s: to begin with %s caches it must be known which agents will come: want a number of requests, or endless turns", l.Name, l.Cache)
	case l.Cache == load.Restored && p.Reset == nil:
		return fmt.Errorf("load %s: restored caches need a way to make the server forget what it has in memory", l.Name)
	}
	return nil
}

// loadRunner carries out a LoadPlan.
type loadRunner struct {
	*subject
	plan  LoadPlan
	most  int // runs that there can be
	watch *watch
	runs  []record.Run
	now   atomic.Pointer[loadRun] // the run under way
}

// Run carries out the plan against a server and returns its runs in the order in which they were made, and the highest
// level that a search found, the zero Level if none held. When the context ends, the server dies or cannot be reset, it returns
// what was measured until then and the error.
func (plan LoadPlan) Run(ctx context.Context, c *client.Client) ([]record.Run, load.Level, error) {
	if err := plan.check(); err != nil {
		return nil, load.Level{}, err
	}
	if plan.Load.Timeout > 0 {
		c.Timeout = plan.Load.Timeout
	}
	levels := plan.Levels
	if len(levels) == 0 {
		levels = []load.Level{{}}
	}
	most := len(levels) * plan.Runs
	if plan.Search != nil {
		most = plan.Search.probes() * plan.Runs
	}
	s, err := meet(ctx, c, plan.Load.Seeds.Text)
	if err != nil {
		return nil, load.Level{}, err
	}
	r := &loadRunner{subject: s, plan: plan, most: most, watch: newWatch(s, most, plan.Progress)}
	r.watch.part = r.part
	defer r.watch.tick()()
	var highest load.Level
	if plan.Search != nil {
		highest, err = r.search(ctx)
	} else {
		err = r.sweep(ctx, levels)
	}
	r.watch.finish()
	if len(r.runs) > 0 {
		r.greeted(&r.runs[0])
	}
	return r.runs, highest, err
}

// part is how far the current run is, from 0 to 1.
func (r *loadRunner) part() float64 {
	x := r.now.Load()
	if x == nil {
		return 0
	}
	part := 0.0
	if n := x.expected; n > 0 {
		part = float64(x.ended.Load()) / float64(n)
	}
	if d := x.load.Duration; d > 0 {
		part = max(part, float64(x.h.Client.Since()-x.start)/float64(d))
	}
	return min(part, 1)
}

func (r *loadRunner) sweep(ctx context.Context, levels []load.Level) error {
	for i := range r.plan.Runs {
		for _, level := range levels {
			if err := r.run(ctx, level, i); err != nil {
				return err
			}
		}
		if u := r.plan.Until; u != nil && u.Spread(r.runs) <= u.Within {
			break
		}
	}
	return nil
}

// run makes one run and keeps it.
func (r *loadRunner) run(ctx context.Context, level load.Level, index int) error {
	l := r.plan.Load.At(level)
	// Other words in every run, or the next one would find them in the server's cache.
	l.Seeds.Text = load.Derive(l.Seeds.Text, level.String(), index)
	epoch := strconv.FormatInt(r.epoch.UnixMicro(), 36) + strconv.Itoa(len(r.runs))
	x := newLoadRun(l, r.load, r.size, level, index, epoch)
	x.records = r.keeper()
	run := record.Run{Scenario: l.Name, Index: index, Level: level, Cache: l.Cache, Goodput: l.Goodput}
	var err error
	if run.Warmup, err = r.setCache(ctx, x); err != nil {
		return err
	}
	before, begun := serverState(ctx, r.load.Client), r.load.Client.Ledger()
	r.watch.begin(strings.TrimSpace(l.Name+" "+level.String()), index)
	seen := observe(ctx, r.load.Client)
	x.begun()
	window := newWindow(r.plan.Again, l.Seeds.Text)
	r.load.answered = window
	r.now.Store(x)
	records, err := x.execute(ctx)
	r.now.Store(nil)
	r.load.answered = nil
	run.Rest = x.records.rest
	seen(&run, records)
	err = errors.Join(err, r.cut(&run, x, records), x.records.err)
	if err == nil && l.Cache == load.Cold {
		err = r.wasCold(records)
	}
	if err == nil {
		err = r.balanced(records, run.Rest, begun)
	}
	if err == nil {
		err = r.drained(ctx, before)
	}
	if err == nil {
		err = r.compare(ctx, &run, &x.records, window)
	}
	run.Violations = append(x.records.check.Found(), run.Violations...)
	if len(run.Records) > 0 {
		r.runs = append(r.runs, run)
	}
	r.watch.end()
	return err
}

// keeper is a new one, for a run. A warm-up must end among the records that are kept.
func (r *loadRunner) keeper() keeper {
	keep := keptOf(r.most)
	if r.plan.Load.WarmUp != (load.WarmUp{}) {
		keep = keptRecords
	}
	return keeper{goodput: r.plan.Load.Goodput, keep: cmp.Or(r.plan.Keep, keep), write: r.plan.Write, check: record.Checker{Shared: -1}}
}

// setCache brings the caches into the state the load is to begin with.
func (r *loadRunner) setCache(ctx context.Context, x *loadRun) (warmup []record.Record, err error) {
	if x.load.Cache != load.Restored {
		if err := r.reset(ctx); err != nil {
			return nil, err
		}
	}
	if x.load.Cache == load.Cold {
		return nil, nil
	}
	each := r.load.Each
	r.load.Each = nil
	defer func() { r.load.Each = each }()
	n, _ := x.load.Agents()
	x.records.keep = n
	if err := x.warmUp(ctx, n); err != nil {
		return nil, err
	}
	x.records.close()
	warmup, check := x.records.kept, x.records.check
	x.records = r.keeper()
	x.records.check = check
	for i := range warmup {
		warmup[i].Warmup = true
	}
	if x.load.Cache == load.Restored {
		err = r.reset(ctx)
	}
	return warmup, err
}

func (r *loadRunner) reset(ctx context.Context) error {
	if r.plan.Reset == nil {
		return nil
	}
	if err := r.plan.Reset(ctx); err != nil {
		return fmt.Errorf("the server could not be reset: %w", err)
	}
	return nil
}

// cut splits a run's records into what is measured and what came before, which must end among those that are kept.
func (r *loadRunner) cut(run *record.Run, x *loadRun, records []record.Record) error {
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
	if run.Rest != nil && len(run.Records) == 0 {
		return fmt.Errorf("the warm-up is longer than the %d requests whose records are kept", n)
	}
	return nil
}

// wasCold finds out a server that has seen the load before: what is called cold must be. Where prompts share something, only
// the first one is new.
func (r *loadRunner) wasCold(records []record.Record) error {
	l := &r.plan.Load
	shared := l.System > 0 || l.SystemPrompts != nil || l.Prompts != nil || l.Trace != nil
	for i, first := range records {
		if i > 0 && shared {
			break
		}
		if first.Outcome != record.OK || first.Turn > 0 || first.PromptTokens < 0 || strings.Contains(first.Agent, ":") {
			continue
		}
		own := float64(first.PromptTokens) - r.size.constant // what is not the template's
		if float64(first.CachedTokens) > r.size.constant+max(own/4, 8) {
			return fmt.Errorf("the cache was to be cold, but the server had %d of a first prompt's %d tokens in it: it has seen this load before; "+
				"another -seed, or a reset, makes it new", first.CachedTokens, first.PromptTokens)
		}
	}
	return nil
}

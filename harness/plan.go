package harness

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Plan is a measurement: which scenarios, how often, how large.
type Plan struct {
	Scenarios    []Scenario
	Runs         int            // rounds; each gives every scenario one run, so that a slow minute of the machine hits all of them
	Reps         int            // repetitions of a scenario in a run; Runs*Reps in all
	PromptTokens int            // roughly, of an agent's first prompt
	MaxTokens    int            // of an answer
	Goodput      load.Objective // what an answer must hold to be good
	Seed         uint64         // of all prompts; a server that has answered this seed before may have them in its cache

	// Again is how many of each run's questions are asked once more after it, alone, to hold the answers to each other; 0 none.
	Again int

	// Keep is how many records of each run stay in memory, 0 as many as make 20000 of all, but 1000 at least. Those of later
	// requests are given to Write in batches, unless it is nil, and are in the run's Rest.
	Keep  int
	Write func([]record.Record) error

	// Progress, unless nil, is called from one goroutine at a time: after every request and every fifth of a second.
	Progress func(Progress)
}

// runner carries out a plan.
type runner struct {
	*subject
	plan  Plan
	watch *watch
}

// Run carries out the plan against a server and returns its runs in the order in which they were made. When the context
// ends or the server dies it returns what was measured until then, a started run with as many repetitions as ended, and
// the error.
func (plan Plan) Run(ctx context.Context, c *client.Client) ([]record.Run, error) {
	s, err := meet(ctx, c, plan.Seed)
	if err != nil {
		return nil, err
	}
	r := &runner{subject: s, plan: plan, watch: newWatch(s, plan.Runs*plan.Reps*len(plan.Scenarios), plan.Progress)}
	defer r.watch.tick()()
	var runs []record.Run
	for i := range plan.Runs {
		for _, scenario := range plan.Scenarios {
			run, err := r.run(ctx, scenario, i)
			if len(runs) == 0 {
				r.greeted(&run)
			}
			if len(run.Records) > 0 {
				runs = append(runs, run)
			}
			if err != nil {
				return runs, err
			}
		}
	}
	return runs, nil
}

// run is one run of one scenario.
func (r *runner) run(ctx context.Context, scenario Scenario, index int) (record.Run, error) {
	run := record.Run{Scenario: scenario.Name, Index: index, Cache: scenario.Cache, Goodput: r.plan.Goodput}
	s := &session{runner: r, scenario: scenario, run: index}
	k := keeper{goodput: r.plan.Goodput, keep: cmp.Or(r.plan.Keep, keptOf(r.plan.Runs*len(r.plan.Scenarios))), write: r.plan.Write, check: record.Checker{Shared: -1}}
	begun := r.load.Client.Ledger()
	seen := observe(ctx, r.load.Client)
	window := newWindow(r.plan.Again, load.Derive(r.plan.Seed, scenario.Name, index))
	r.load.answered = window
	var err error
	for s.rep = range r.plan.Reps {
		r.watch.begin(scenario.Name, index)
		var records []record.Record
		records, err = scenario.rep(ctx, s)
		records = slices.DeleteFunc(records, func(r record.Record) bool { return r.Outcome == "" }) // never sent
		if s.rep == 0 {
			k.check.Add(s.unmeasured)
		}
		for _, r := range records {
			r.Scenario, r.Run, r.Rep, r.Cache = scenario.Name, index, s.rep, scenario.Cache
			k.add(r)
		}
		run.Elapsed += record.Span(records)
		if err != nil {
			break
		}
		r.watch.end()
	}
	r.load.answered = nil
	k.close()
	run.Records, run.Rest = k.kept, k.rest
	seen(&run, slices.Concat(run.Records, s.unmeasured))
	for _, r := range s.unmeasured {
		r.Scenario, r.Run, r.Warmup = scenario.Name, index, true
		run.Warmup = append(run.Warmup, r)
	}
	if err = errors.Join(err, k.err); err == nil {
		err = r.balanced(slices.Concat(run.Records, run.Warmup), run.Rest, begun)
	}
	if err == nil {
		err = r.compare(ctx, &run, &k, window)
	}
	run.Violations = append(k.check.Found(), run.Violations...)
	return run, err
}

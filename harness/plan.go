package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

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

	// Keep is how many records of each run stay in memory, 0 as many as make 20000 of all, but 1000 at least. Those of later
	// requests are given to Write in batches, unless it is nil, and are in the run's Rest.
	Keep  int
	Write func([]record.Record) error

	// Progress, unless nil, is called from one goroutine at a time: after every request and every fifth of a second.
	Progress func(Progress)
}

// runner carries out a plan.
type runner struct {
	plan        Plan
	load        *StressTestHarness
	epoch       time.Time       // makes the names of agents new to the server
	first       []record.Record // the questions that wake the server up
	size        promptSize
	poolBlocks  int // of the server's KV pool; 0 unknown
	blockTokens int
	locals      int // the pool's blocks for sliding layers; 0: there are none
	localsEach  int // most of them that one request takes
}

// Run carries out the plan against a server and returns its runs in the order in which they were made. When the context
// ends or the server dies it returns what was measured until then, a started run with as many repetitions as ended, and
// the error.
func (plan Plan) Run(ctx context.Context, c *client.Client) ([]record.Run, error) {
	r := &runner{plan: plan, load: &StressTestHarness{Client: c}, epoch: time.Now()}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	watch := newWatch(r)
	r.load.Each = watch.record
	defer watch.tick()()
	var runs []record.Run
	for i := range plan.Runs {
		for _, scenario := range plan.Scenarios {
			run, err := r.run(ctx, scenario, i, watch)
			if len(runs) == 0 {
				run.Warmup, run.Violations = append(run.Warmup, r.first...), append(run.Violations, record.Check(r.first, -1)...)
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

// prepare warms the server up, finds out how many tokens its template and tokenizer make of a prompt, and the size of its
// pool.
func (r *runner) prepare(ctx context.Context) error {
	var tokens []int
	for _, n := range warmUpWords {
		warm := r.newAgent(fmt.Sprintf("warm-up-%d", n))
		p := warm.Ask(n, 4)
		answer, err := r.wake(ctx, p)
		if err == nil && answer.PromptTokens < 0 {
			p.NoStream = true // some servers count the tokens of answers in one piece alone
			answer, err = r.wake(ctx, p)
		}
		if err != nil {
			return err
		}
		tokens = append(tokens, answer.PromptTokens)
	}
	r.size = fitPromptSize(warmUpWords, [2]int(tokens))
	scrape, err := r.load.Client.Scrape(ctx)
	if err != nil {
		return err
	}
	r.poolBlocks, r.blockTokens = scrape.PoolSize()
	r.locals, r.localsEach = scrape.PoolLocals()
	return nil
}

// wake asks a question that wakes the server up.
func (r *runner) wake(ctx context.Context, p client.Prompt) (record.Record, error) {
	answer := r.load.Client.Ask(ctx, r.load.Client.Since(), p)
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	if answer.Outcome != record.OK {
		return answer, fmt.Errorf("the server does not answer: %s", answer.Error)
	}
	answer.Warmup = true
	r.first = append(r.first, answer)
	return answer, nil
}

// newAgent makes an agent whose conversation depends on the plan's seed and its name in the plan alone, but whose identity
// is new to a server that has seen the same plan before.
func (r *runner) newAgent(name string) *Conversation {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", r.plan.Seed, name)
	return NewConversation(fmt.Sprintf("%s-%x", name, r.epoch.UnixMilli()), h.Sum64())
}

func (r *runner) run(ctx context.Context, scenario Scenario, index int, watch *watch) (record.Run, error) {
	run := record.Run{Scenario: scenario.Name, Index: index, Cache: scenario.Cache}
	s := &session{runner: r, scenario: scenario, run: index}
	k := keeper{keep: cmp.Or(r.plan.Keep, keptOf(r.plan.Runs*len(r.plan.Scenarios))), write: r.plan.Write, check: record.Checker{Shared: -1}}
	count := count(ctx, r.load.Client)
	samples := watchServer(ctx, r.load.Client)
	var err error
	for s.rep = range r.plan.Reps {
		watch.begin(scenario.Name, index)
		var records []record.Record
		records, err = scenario.rep(ctx, s)
		records = slices.DeleteFunc(records, func(r record.Record) bool { return r.Outcome == "" }) // never sent
		if s.rep == 0 {
			k.check.Add(s.unmeasured)
		}
		for _, r := range records {
			r.Scenario, r.Run, r.Rep, r.Cache = scenario.Name, index, s.rep, scenario.Cache
			r.Judge(s.plan.Goodput)
			k.add(r)
		}
		run.Elapsed += record.Span(records)
		if err != nil {
			break
		}
		watch.end()
	}
	k.close()
	run.Records, run.Rest, run.Violations = k.kept, k.rest, k.check.Found()
	run.Samples = samples()
	run.Counters = count(slices.Concat(run.Records, s.unmeasured), run.Rest)
	for i := range run.Samples {
		run.Samples[i].Scenario, run.Samples[i].Level, run.Samples[i].Run = scenario.Name, run.Level, index
	}
	run.PeakPool = record.PeakPool(run.Samples)
	for _, r := range s.unmeasured {
		r.Scenario, r.Run, r.Warmup = scenario.Name, index, true
		run.Warmup = append(run.Warmup, r)
	}
	return run, errors.Join(err, k.err)
}

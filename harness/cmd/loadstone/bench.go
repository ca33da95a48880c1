package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/null"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

const benchAbout = `Measures a server: five scenarios, each repeated -n times in -runs rounds, and writes to -out

  report.html    to look at, one file that needs no network
  baseline.md    the baseline document
  bench.txt      Go benchmark format, for loadstone compare and benchstat
  records.jsonl  every request with all its times; loadstone report makes everything else from it again

and results.json, summary.csv, requests.csv, samples.jsonl; loadstone help results says what is in them.

The server is this program itself as another process (loadstone serve), or any OpenAI-compatible one with -url.
Flags after -- are those of loadstone serve.`

const benchExamples = `  loadstone bench                                      the embedded model, all scenarios
  loadstone bench -model smollm2 -max-tokens 64
  loadstone bench -scenario single-cold,single-cached -n 20
  loadstone bench -url http://127.0.0.1:8080 -out before
  loadstone bench -- -max-batch 4                      another setting of the server
  benchstat before/bench.txt after/bench.txt

Exit codes: 0 done, 1 it went wrong in the middle, 2 wrong command line, 3 -strict and a target is missed or the run invalid,
4 the server cannot be reached or started, 5 -strict and too few requests to show that a target is met, 130 interrupted.
Whatever was measured is written in any case.
`

// benchOptions are the command line of bench.
type benchOptions struct {
	subjectOptions
	out                     string
	scenarios               []harness.Scenario
	n, runs                 int
	promptTokens, maxTokens int
	seed                    uint64
	goodput                 load.Objective
	strict, answers         bool
}

func bench(ctx context.Context, e *env, args []string) error {
	o, err := parseBench(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	start := time.Now()
	if o.out == "" {
		o.out = filepath.Join("loadstone-results", start.Format("20060102-150405"))
	}
	results, err := newResults(o.out)
	if err != nil {
		return err
	}
	defer results.closeLogs()
	s, err := findSubject(ctx, e, &o.subjectOptions, results)
	if err != nil {
		return results.giveUp(err)
	}
	defer s.stop()

	r := &report.Report{System: s.system, Host: report.FindHost(), Start: start, StartUp: s.startUp,
		Load: report.Load{Runs: o.runs, Reps: o.n / o.runs, PromptTokens: o.promptTokens, MaxTokens: o.maxTokens, Seed: o.seed, Goodput: o.goodput.String()}}
	if !o.quiet {
		fmt.Fprintf(e.stderr, "%s at %s: %d scenarios, %d runs of %d repetitions\n", r.System.Model, s.system.URL, len(o.scenarios), r.Load.Runs, r.Load.Reps)
	}
	if r.Client.Floors, err = o.floors(ctx); err != nil {
		return results.giveUp(s.explain(ctx, err))
	}
	began, used := time.Now(), proc.OwnCPU()
	runs, failure := o.measure(ctx, e, s, results.rest(o.answers))
	r.Client.Busy = (proc.OwnCPU() - used).Seconds() / time.Since(began).Seconds() / float64(runtime.GOMAXPROCS(0))
	s.usage(r)
	r.Scenarios = collect(o, runs)
	if failure != nil {
		failure = s.explain(ctx, failure)
		r.Stopped = failure.Error()
	}
	if len(runs) == 0 {
		return results.giveUp(failure)
	}
	r.Violations = violations(runs)
	if err := results.write(r, o.answers); err != nil {
		return errors.Join(failure, err)
	}
	if err := results.print(e, r, o.json); err != nil {
		return errors.Join(failure, err)
	}
	if failure == nil {
		failure = violated(r.Violations)
	}
	if doubts := r.Doubts(); failure == nil && o.strict && len(doubts) > 0 {
		return &exitError{exitMissed, fmt.Errorf("the measurement is invalid: %s", doubts[0])}
	}
	if failure == nil && o.strict {
		failure = judged(r, "", "targets")
	}
	return failure
}

// measureFloors measures the client alone, at the scenarios' numbers of streams.
func (o *benchOptions) floors(ctx context.Context) ([]null.Floor, error) {
	var levels []int
	for _, s := range o.scenarios {
		levels = append(levels, s.Agents)
	}
	slices.Sort(levels)
	return measureFloors(ctx, slices.Compact(levels), min(o.maxTokens, 64), 2*time.Millisecond, 200*time.Millisecond)
}

// violations are what in the records cannot be true, or tells of a leak.
func violations(runs []record.Run) []string {
	var found []string
	for _, run := range runs {
		for _, v := range run.Violations {
			found = append(found, v.String())
		}
	}
	return found
}

func violated(found []string) error {
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d requests violate what must always hold, the first: %s", len(found), found[0])
}

func parseBench(e *env, args []string) (*benchOptions, error) {
	o := new(benchOptions)
	var names string
	f := flags("bench", benchAbout, benchExamples, e.stdout)
	o.flags(f, "measure")
	f.StringVar(&names, "scenario", "", "`names` of scenarios, separated by commas; default: all ("+strings.Join(scenarioNames(), ", ")+")")
	f.IntVar(&o.n, "n", 100, "repetitions of each scenario")
	f.IntVar(&o.runs, "runs", 10, "rounds they are split into; each run is one benchmark line")
	f.IntVar(&o.promptTokens, "prompt-tokens", 64, "tokens of an agent's first prompt, roughly")
	f.IntVar(&o.maxTokens, "max-tokens", 16, "most tokens of an answer")
	goodputFlag(f, &o.goodput)
	f.Uint64Var(&o.seed, "seed", 1, "of the prompts; with -url the default is another one each time, since a server that has seen a prompt is not cold")
	f.StringVar(&o.out, "out", "", "`folder` for the results; default: loadstone-results/ and the time")
	f.BoolVar(&o.strict, "strict", false, "exit with 3 when a target is missed, or the measurement is invalid: the client itself could explain it; with 5 when the requests are too few to tell")
	f.BoolVar(&o.answers, "answers", false, "keep the text of the answers in records.jsonl")
	set, err := f.parseBeforeServe(args)
	if err != nil {
		return nil, err
	}
	o.serve = f.Args()
	if err := o.check(set); err != nil {
		return nil, err
	}
	if err := o.settle(f, set, len(o.serve) > 0); err != nil {
		return nil, err
	}
	o.scenarios, err = chooseScenarios(names)
	return o, err
}

// goodputFlag declares the flag -goodput.
func goodputFlag(f *flagSet, o *load.Objective) {
	f.Func("goodput", "`objective` that an answer must hold to be good, such as 'ttft<300ms,tpot<50ms'; those a second are counted", func(s string) (err error) {
		if *o, err = load.ParseObjective(s); err != nil {
			err = fmt.Errorf("%w; want %s", err, load.ObjectiveForm)
		}
		return err
	})
}

func (o *benchOptions) check(set map[string]bool) error {
	for name, v := range map[string]int{"n": o.n, "runs": o.runs, "prompt-tokens": o.promptTokens, "max-tokens": o.maxTokens} {
		if v < 1 {
			return usageError("-%s is %d; want at least 1", name, v)
		}
	}
	if !set["runs"] {
		o.runs = min(o.runs, o.n)
	}
	if o.n%o.runs != 0 {
		return usageError("-n %d cannot be split evenly into -runs %d", o.n, o.runs)
	}
	if o.url != "" && !set["seed"] {
		o.seed = uint64(time.Now().UnixMilli())
	}
	return nil
}

func scenarioNames() []string {
	var names []string
	for _, s := range harness.Scenarios {
		names = append(names, s.Name)
	}
	return names
}

func chooseScenarios(names string) ([]harness.Scenario, error) {
	if names == "" {
		return harness.Scenarios, nil
	}
	var chosen []harness.Scenario
	for name := range strings.SplitSeq(names, ",") {
		s, err := harness.FindScenario(strings.TrimSpace(name))
		if err != nil {
			return nil, usageError("%w; known are %s", err, strings.Join(scenarioNames(), ", "))
		}
		if slices.ContainsFunc(chosen, func(c harness.Scenario) bool { return c.Name == s.Name }) {
			return nil, usageError("scenario %s is named twice", s.Name)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// measure carries the plan out and shows its progress. What of a long one is not kept in memory is given to write, unless nil.
func (o *benchOptions) measure(ctx context.Context, e *env, s *subject, write func([]record.Record) error) ([]record.Run, error) {
	c := client.New(s.system.URL)
	c.Model = s.system.Model
	defer c.Close()
	plan := harness.Plan{Scenarios: o.scenarios, Runs: o.runs, Reps: o.n / o.runs, PromptTokens: o.promptTokens, MaxTokens: o.maxTokens, Seed: o.seed, Goodput: o.goodput,
		Write: write}
	if !o.quiet {
		line := report.NewProgressLine(e.stderr, o.runs)
		defer line.Close()
		plan.Progress = line.Show
	}
	runs, err := plan.Run(ctx, c)
	if err == nil {
		var records []record.Record
		counted := c.Ledger()
		for _, run := range runs {
			records = append(append(records, run.Warmup...), run.Records...)
			counted = counted.Without(run.Rest)
		}
		if found := record.Balance(records, record.Ledger{}, counted); len(found) > 0 {
			err = fmt.Errorf("the measurement cannot be true: %s", found[0])
		}
	}
	return runs, err
}

// collect groups the runs by scenario, in the order of the scenarios.
func collect(o *benchOptions, runs []record.Run) []report.Scenario {
	var all []report.Scenario
	for _, sc := range o.scenarios {
		var own []record.Run
		s := report.Scenario{Agents: sc.Agents, Cache: sc.Cache, About: sc.About, PromptTokens: o.promptTokens, MaxTokens: o.maxTokens}
		for _, run := range runs {
			if run.Scenario == sc.Name {
				own = append(own, run)
				s.Runs = append(s.Runs, run.Summary())
				s.Records = append(s.Records, run.Records...)
				s.Warmup = append(s.Warmup, run.Warmup...)
				s.Samples = append(s.Samples, run.Samples...)
			}
		}
		if len(own) > 0 {
			s.Pooled = record.Pool(own)
			all = append(all, s)
		}
	}
	return all
}

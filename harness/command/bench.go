package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/scenario"
	"loadstone/harness/stub"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
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
	measurementOptions
	loads                   []load.Load
	n, runs                 int
	promptTokens, maxTokens int
	seed                    uint64
	first                   int // index of the first round
	strict                  bool
}

func bench(ctx context.Context, e *env, args []string) error {
	o, err := parseBench(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	m, err := begin(ctx, e, &o.measurementOptions, "")
	if err != nil {
		return err
	}
	defer m.end()
	r := m.report
	r.Workload = o.workload(m.target.to)
	if !o.quiet {
		fmt.Fprintf(e.stderr, "%s at %s: %s, %s of %s\n", r.System.Model, r.System.URL, table.Plural(len(o.loads), "scenario"), table.Plural(r.Workload.Runs, "run"), table.Plural(r.Workload.Reps, "repetition"))
	}
	if r.Generator.Calibration, err = o.calibrate(ctx); err != nil {
		return m.results.giveUp(m.target.explain(ctx, err))
	}
	journal, err := m.results.journal(e, r, o.answers)
	if err != nil {
		return m.results.giveUp(err)
	}
	m.loading()
	runs, failure := o.measure(ctx, e, m, journal)
	m.loaded()
	r = report.New(r.Meta, o.loads, runs)
	m.report = r
	if err := m.keep(ctx, e, runs, failure); err != nil || !o.strict {
		return err
	}
	if why := r.Invalid(); len(why) > 0 {
		return &exitError{exitMissed, fmt.Errorf("the measurement is invalid: %s", why[0])}
	}
	return unmet(r, "")
}

// workload is the measurement as the report says it.
func (o *benchOptions) workload(to harness.Target) report.Workload {
	return report.Workload{Runs: o.runs, Reps: o.n / o.runs, PromptTokens: o.promptTokens, MaxTokens: o.maxTokens,
		Seed: o.seed, Goodput: o.goodput.String(), Body: o.access.body.String(), API: to.API.Aspect()}
}

// calibrate measures the client alone, at the scenarios' numbers of streams.
func (o *benchOptions) calibrate(ctx context.Context) ([]stub.Calibration, error) {
	var levels []int
	for _, l := range o.loads {
		levels = append(levels, l.Together)
	}
	slices.Sort(levels)
	return stub.Calibrate(ctx, startStub, slices.Compact(levels), min(o.maxTokens, 64), 2*time.Millisecond, 200*time.Millisecond)
}

func parseBench(e *env, args []string) (*benchOptions, error) {
	o := new(benchOptions)
	var names string
	f := flags("bench", benchAbout, benchExamples, e.stdout)
	o.flags(f, "measure")
	f.StringVar(&names, "scenario", "", "`names` of scenarios, separated by commas; default: all ("+strings.Join(scenario.FiveNames, ", ")+")")
	f.IntVar(&o.n, "n", 100, "repetitions of each scenario")
	f.IntVar(&o.runs, "runs", 10, "rounds they are split into; each run is one benchmark line")
	o.sizes(f)
	f.Uint64Var(&o.seed, "seed", 1, "of the prompts; with -url the default is another one each time, since a server that has seen a prompt is not cold")
	f.BoolVar(&o.strict, "strict", false, "exit with 3 when a target is missed, or the measurement is invalid: the client itself could explain it; with 5 when the requests are too few to tell")
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
	return o, o.choose(names)
}

// sizes declares how large a scenario's requests are.
func (o *benchOptions) sizes(f *flagSet) {
	f.IntVar(&o.promptTokens, "prompt-tokens", 64, "tokens of an agent's first prompt, roughly")
	f.IntVar(&o.maxTokens, "max-tokens", 16, "max tokens of an answer")
}

// checkAmounts refuses what is no measurement.
func (o *benchOptions) checkAmounts() error {
	for _, v := range []struct {
		name string
		n    int
	}{{"n", o.n}, {"runs", o.runs}, {"prompt-tokens", o.promptTokens}, {"max-tokens", o.maxTokens}} {
		if v.n < 1 {
			return usageError("-%s is %d; want at least 1", v.name, v.n)
		}
	}
	if o.n%o.runs != 0 {
		return usageError("-n %d cannot be split evenly into -runs %d", o.n, o.runs)
	}
	return nil
}

func (o *benchOptions) check(set map[string]bool) error {
	if !set["runs"] {
		o.runs = max(1, min(o.runs, o.n))
	}
	if err := o.checkAmounts(); err != nil {
		return err
	}
	if o.url != "" && !set["seed"] {
		o.seed = uint64(time.Now().UnixMilli())
	}
	return nil
}

// choose takes the scenarios of the given names, separated by commas, all five where there is none.
func (o *benchOptions) choose(names string) error {
	var chosen []string
	for _, name := range commas(names) {
		if slices.Contains(chosen, name) {
			return usageError("scenario %s is named twice", name)
		}
		chosen = append(chosen, name)
	}
	files, err := scenario.Five(chosen...)
	if err != nil {
		return usageError("%w", err)
	}
	for _, f := range files {
		l := f.Load
		l.Rounds, l.Seeds, l.Goodput = o.n/o.runs, load.OneSeed(o.seed), o.goodput
		l.Prompt, l.Answer = load.Fixed(float64(o.promptTokens)), load.Fixed(float64(o.maxTokens))
		o.loads = append(o.loads, l)
	}
	return nil
}

// measure carries the plan out and shows its progress.
func (o *benchOptions) measure(ctx context.Context, e *env, m *measurement, journal *journal) ([]record.Run, error) {
	plan := harness.Plan{Loads: o.loads, Runs: o.runs, First: o.first, Again: harness.AskedAgain, Write: m.results.rest(o.answers), Journal: journal.addRecords, JournalSamples: journal.addSamples,
		Tokens: o.tokens}
	if !o.quiet {
		line := terminal.NewProgress(e.stderr, o.runs)
		defer line.Close()
		plan.Progress = line.Show
	}
	runs, _, err := plan.Run(ctx, m.client)
	return runs, err
}

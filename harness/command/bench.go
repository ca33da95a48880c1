package command

import (
	"cmp"
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
	"loadstone/harness/workers"
)

const benchAbout = `Measures a server: five scenarios, each repeated -n times in -runs rounds, or,
with -suite agents, four of agents at work, whose sessions have their true shape in parts of the
server's context and are measured as jobs. It writes to -out

  report.html    to look at, one file that needs no network
  baseline.md    the baseline document
  bench.txt      Go benchmark format, for loadstone compare and benchstat
  records.jsonl  every request with all its times; loadstone report makes all else from it again

and results.json, summary.csv, requests.csv, samples.jsonl; loadstone help results says what is in
them.

The server is this program itself as another process (loadstone serve), or with -url any that has an
API of OpenAI's or Anthropic's. Flags after -- are those of loadstone serve.`

const benchExamples = `  loadstone bench                                      the embedded model, all scenarios
  loadstone bench -model smollm2 -max-tokens 64
  loadstone bench -scenario single-cold,single-cached -n 20
  loadstone bench -suite agents                        jobs of agents, in place of the five
  loadstone bench -suite agents -model smollm2 -context 2048 -runs 6
  loadstone bench -url http://127.0.0.1:8080 -out before
  loadstone bench -- -max-batch 4                      another setting of the server
  benchstat before/bench.txt after/bench.txt

Exit codes: 0 done, 1 it went wrong in the middle, 2 wrong command line, 3 -strict and a target is
missed or the run invalid, 4 the server cannot be reached or started, 5 -strict and too few
requests to show that a target is met, 130 interrupted. Whatever was measured is written in any
case.
`

// benchOptions are the command line of bench.
type benchOptions struct {
	measurementOptions
	loads                   []load.Load
	suite                   string
	context                 int // of agents' scenarios
	jobs                    int // of agents' scenarios in each run; 0: theirs
	n, runs                 int
	promptTokens, maxTokens int
	seed                    uint64
	first                   int // index of the first round
	strict                  bool
}

func bench(ctx context.Context, e *env, args []string) (failure error) {
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
	defer m.end(e, &failure)
	r := m.report
	r.Workload = o.workload(m.target.to)
	if !o.quiet {
		fmt.Fprintf(e.stderr, "%s at %s: %s, %s%s\n", r.System.Model, r.System.URL,
			table.Plural(len(o.loads), "scenario"), table.Plural(r.Workload.Runs, "run"), o.repetitions())
	}
	if r.Generator.Calibration, err = o.calibrate(ctx, m.crew); err != nil {
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
	if err := o.calibrateLike(ctx, m); failure == nil {
		failure = err
	}
	if len(r.Workload.Expect) > 0 {
		if err := r.Hold(); failure == nil {
			failure = err
		}
	}
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
	w := report.Workload{Runs: o.runs, Reps: o.n / o.runs, PromptTokens: o.promptTokens,
		MaxTokens: o.maxTokens, Seed: o.seed, Goodput: o.goodput.String(),
		Body: o.access.body.String(), API: to.API.Aspect()}
	if o.ofAgents() {
		w.Reps, w.PromptTokens, w.MaxTokens, w.Shape = 1, 0, 0,
			"agents at work, each to the end of its session"
	}
	if s, err := scenario.FindSuite(o.suite); err == nil {
		w.Expect = s.Expect
	}
	return w
}

// ofAgents reports whether all scenarios are of agents at work.
func (o *benchOptions) ofAgents() bool {
	return !slices.ContainsFunc(o.loads, func(l load.Load) bool { return !scenario.IsAgents(l.Name) })
}

// repetitions says how often a run repeats each scenario.
func (o *benchOptions) repetitions() string {
	if o.ofAgents() {
		return ""
	}
	return " of " + table.Plural(o.n/o.runs, "repetition")
}

// calibrate measures the client alone, at the scenarios' numbers of streams, or at those that one
// worker has of them.
func (o *benchOptions) calibrate(ctx context.Context,
	crew *workers.Coordinator) ([]stub.Calibration, error) {
	first := load.Share{Of: 1}
	if crew != nil {
		first.Of = crew.Size()
	}
	var levels []int
	for _, l := range o.loads {
		if l.Together > 0 {
			levels = append(levels, len(first.Places(&l)))
		}
	}
	if len(levels) == 0 {
		return nil, nil
	}
	slices.Sort(levels)
	return stub.Calibrate(ctx, startStub, slices.Compact(levels), min(o.maxTokens, 64),
		2*time.Millisecond, 200*time.Millisecond)
}

// calibrateLike measures the client alone under the densest piece of what agents did, which is
// known when they have done it.
func (o *benchOptions) calibrateLike(ctx context.Context, m *measurement) error {
	r := m.report
	var all []record.Record
	for i := range r.Results {
		s := &r.Results[i]
		for _, l := range o.loads {
			if l.Name == s.Pooled.Scenario && scenario.IsAgents(l.Name) {
				all = append(all, m.largestPart(&l, s.Records)...)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	c, ok, err := stub.CalibrateLike(ctx, startStub, all)
	if ok {
		r.Generator.Calibration = append(r.Generator.Calibration, c)
	}
	return err
}

func parseBench(e *env, args []string) (*benchOptions, error) {
	o := new(benchOptions)
	var names string
	f := flags("bench", benchAbout, benchExamples, e.stdout)
	o.flags(f, "measure")
	f.StringVar(&names, "scenario", "", "`names` of scenarios, separated by commas; default: all "+
		"of the suite: "+strings.Join(scenario.FiveNames, ", ")+", or "+
		strings.Join(scenario.AgentNames, ", "))
	f.StringVar(&o.suite, "suite", "five", "`set` of scenarios: "+
		strings.Join(scenario.SuiteNames(), " or "))
	f.IntVar(&o.n, "n", 100, "repetitions of each scenario, or jobs of each of -suite agents, "+
		"which without -n has jobs of its own in each run")
	f.IntVar(&o.runs, "runs", 10, "rounds into which the repetitions are split, each one benchmark "+
		"line; of -suite agents one unless it is set")
	f.IntVar(&o.context, "context", 0, "`tokens` that the longest prompts of agents have at most; "+
		"default: 4096, or what the server takes")
	o.sizes(f)
	f.Uint64Var(&o.seed, "seed", 1, "of the prompts; with -url the default is another one each "+
		"time, since a server that has seen a prompt is not cold")
	f.BoolVar(&o.strict, "strict", false, "exit with 3 when a target is missed, or the "+
		"measurement is invalid: the client itself could explain it; with 5 when the requests are "+
		"too few to tell")
	var set map[string]bool
	var err error
	if o.serve, set, err = f.parseBeforeServe(args, 0); err != nil {
		return nil, err
	}
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

// checkAmounts refuses numbers of requests and runs that cannot be measured.
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
	if _, err := scenario.FindSuite(o.suite); err != nil {
		return usageError("-suite: %w", err)
	}
	if !set["runs"] {
		if o.suite == "agents" {
			o.runs = 1
		}
		o.runs = max(1, min(o.runs, o.n))
	}
	if set["n"] {
		o.jobs = o.n / max(o.runs, 1)
	}
	if o.context < 0 {
		return usageError("-context is %d; want at least 1", o.context)
	}
	if err := o.checkAmounts(); err != nil {
		return err
	}
	if o.url != "" && !set["seed"] {
		o.seed = uint64(time.Now().UnixMilli())
	}
	return nil
}

// choose takes the scenarios of the given names, separated by commas, all of the suite where there
// is none.
func (o *benchOptions) choose(names string) error {
	var chosen []string
	for _, name := range commas(names) {
		if slices.Contains(chosen, name) {
			return usageError("scenario %s is named twice", name)
		}
		chosen = append(chosen, name)
	}
	if len(chosen) == 0 {
		chosen = o.defaultNames()
	}
	for _, name := range chosen {
		f, err := scenario.Named(name)
		if err != nil {
			return usageError("%w", err)
		}
		o.loads = append(o.loads, o.sized(f.Load))
	}
	return nil
}

// defaultNames are the scenarios of the suite.
func (o *benchOptions) defaultNames() []string {
	if s, err := scenario.FindSuite(o.suite); err == nil {
		return s.Names
	}
	return scenario.FiveNames // of a command that has no suites
}

// sized is an embedded scenario of the size that the command line asks for.
func (o *benchOptions) sized(l load.Load) load.Load {
	l.Seeds, l.Goodput = load.OneSeed(o.seed), o.goodput
	if scenario.IsAgents(l.Name) {
		l.Jobs, l.Replay.Context = cmp.Or(o.jobs, l.Jobs), cmp.Or(o.context, l.Replay.Context)
		return l
	}
	l.Rounds = o.n / o.runs
	l.Prompt, l.Answer = load.Fixed(float64(o.promptTokens)), load.Fixed(float64(o.maxTokens))
	return l
}

// measure carries the plan out and shows its progress.
func (o *benchOptions) measure(ctx context.Context, e *env, m *measurement, journal *journal) (
	[]record.Run, error) {
	plan := harness.Plan{Loads: o.loads, Runs: o.runs, First: o.first, Again: harness.AskedAgain,
		Write: m.results.rest(o.answers), Journal: journal.addRecords,
		JournalSamples: journal.addSamples, Tokens: o.tokens}
	m.setCrew(&plan)
	if !o.quiet {
		line := terminal.NewProgress(e.stderr, o.runs)
		defer line.Close()
		plan.Progress = line.Show
	}
	runs, _, err := plan.Run(ctx, m.client)
	return runs, err
}

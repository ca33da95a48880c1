package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/scenario"
	"loadstone/harness/stub"
	"loadstone/harness/terminal"
)

const runAbout = `Runs a scenario: a load of your own, in a file. FILE is a .txtar archive, of which loadstone init
writes an example, or a folder with the same files; loadstone help files says what can be in it.
Results are written and printed as bench does.

The server is this program itself as another process, with the scenario's own flags (serve), or with
-url any that has an API of OpenAI's or Anthropic's. Flags after -- are those of loadstone serve and
come after the scenario's. The other flags here override what the file says, for this run.`

const runExamples = `  loadstone init mine.txtar && loadstone run mine.txtar
  loadstone run testdata/scenarios/chat.txtar -url http://127.0.0.1:8080
  loadstone run chat.txtar -rate 4/s -duration 30s -seed 7
  loadstone run chat.txtar -model smollm2 -concurrency 4 -n 40
  loadstone run chat.txtar -url http://127.0.0.1:8080 -workers nats://127.0.0.1:4222
  loadstone run chat.txtar -url http://127.0.0.1:8080 -seed 7 -part 0/2 -out part-0
  loadstone run chat.txtar -url http://127.0.0.1:8000 -reset 'docker restart -t 1 server'

Exit codes: 0 all that is expected holds, 1 it went wrong in the middle, 2 wrong command line or
scenario file, 3 something expected does not hold, 4 the server cannot be reached or started, 5
nothing is missed, but there were too few requests to show that a percentile holds, 130
interrupted. What was measured is written in any case.
`

// runOptions are the command line of run.
type runOptions struct {
	measurementOptions
	file  *scenario.File
	seed  uint64
	share load.Share
	start time.Time

	rate                   string
	requests, concurrency  int
	jobs, context          int
	duration               time.Duration
	resetCommand, resetURL string
}

func runCommand(ctx context.Context, e *env, args []string) (failure error) {
	o, err := parseRun(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	l := &o.file.Load
	if l.Cache == load.Restored && o.url == "" {
		memories, err := os.MkdirTemp("", "loadstone-agents-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(memories)
		o.serve = append(o.serve, "-agents-dir", memories)
	}
	m, err := begin(ctx, e, &o.measurementOptions, l.Name+"-")
	if err != nil {
		return err
	}
	defer m.end(e, &failure)
	r := m.report
	r.Workload = o.describe(m.target.to)
	if !o.quiet {
		fmt.Fprintf(e.stderr, "%s at %s: %s, %s\n", r.System.Model, r.System.URL, l.Name,
			r.Workload.Shape)
	}
	for _, note := range o.file.Notes {
		fmt.Fprintln(e.stderr, "note:", note)
	}
	r.Epoch = m.client.Epoch()
	journal, err := m.results.journal(e, r, o.answers)
	if err != nil {
		return m.results.giveUp(err)
	}
	m.loading()
	runs, highest, failure := o.measure(ctx, e, m, journal)
	m.loaded()
	r.Highest = highest
	return o.conclude(ctx, e, m, runs, failure)
}

// conclude makes the report of what was measured, and writes and prints it. failure is what went
// wrong until then; it is returned, or what goes wrong here, or that a limit is missed.
func (o *runOptions) conclude(ctx context.Context, e *env, m *measurement, runs []record.Run,
	failure error) error {
	l := o.file.Load
	r := report.New(m.report.Meta, []load.Load{l}, runs)
	m.report = r
	var err error
	if r.Generator.Calibration, err = o.calibrate(ctx, e, m); failure == nil {
		failure = err
	}
	if err := r.Hold(); failure == nil {
		failure = err
	}
	failure = m.keep(ctx, e, runs, failure)
	if !o.json {
		tellSteady(e, runs, l.WarmUp.Auto)
		tellUntil(e, o.file.Until, runs)
	}
	if failure != nil {
		return failure
	}
	return unmet(r, l.Name+": ")
}

// describe is the load as the report says it.
func (o *runOptions) describe(to harness.Target) report.Workload {
	w := report.NewWorkload(&o.file.Load, o.file.Levels)
	w.Body, w.API, w.Part = o.access.body.String(), to.API.Aspect(), o.share.String()
	for _, expected := range o.file.Expect {
		w.Expect = append(w.Expect, expected.Text)
	}
	if s := o.file.Search; s != nil {
		w.Search = s.Kind
		w.Shape = fmt.Sprintf("search for the highest %s from %g to %g within %g %%", s.Kind, s.Low,
			s.High, 100*s.Within)
	}
	return w
}

func parseRun(e *env, args []string) (*runOptions, error) {
	o := &runOptions{}
	f := flags("run", runAbout, runExamples, e.stdout)
	f.StringVar(&o.rate, "rate", "", "agents a second, such as 4/s or '1/s to 20/s over 30s', in "+
		"place of the file's `load`")
	f.IntVar(&o.concurrency, "concurrency", 0, "`agents` at a time, in place of the file's load")
	f.IntVar(&o.requests, "n", 0, "`requests` in each run")
	f.IntVar(&o.jobs, "jobs", 0, "`agents` in each run, each of whom works to its end")
	f.IntVar(&o.context, "context", 0, "`tokens` that amounts of the context are of at most")
	f.DurationVar(&o.duration, "duration", 0, "`time` after which nothing more is due")
	f.Uint64Var(&o.seed, "seed", 0, "of everything drawn at random; with -url and cold caches the "+
		"default has words of its own each time, since a server that has seen a prompt is not cold")
	f.Func("part", "carry out `I/N` alone, part I (from 0) of N of the load, beside other "+
		"processes with the others; loadstone report -out FOLDER PART... puts them together",
		func(s string) (err error) {
			o.share, err = load.ParseShare(s)
			return err
		})
	f.Func("start", "`time` at which the load begins, such as 2026-11-29T12:00:00Z: the same for "+
		"all parts", func(s string) (err error) {
		o.start, err = time.Parse(time.RFC3339, s)
		return err
	})
	o.flags(f, "load")
	f.StringVar(&o.resetCommand, "reset", "",
		"`command` that makes the server forget its caches, before each run; where it fails, "+
			"nothing is measured")
	f.StringVar(&o.resetURL, "reset-url", "",
		"`address` that does the same when it gets a POST, such as "+
			"http://127.0.0.1:8000/reset_prefix_cache")

	serve, set, err := f.parseBeforeServe(args, 1)
	if err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, usageError("want a scenario file; loadstone init writes an example")
	}
	path := f.Arg(0)
	if o.file, err = scenario.Read(path); errors.Is(err, fs.ErrNotExist) {
		return nil, usageError("%s does not exist; loadstone init %[1]s writes an example there", path)
	}
	if err != nil {
		return nil, usageError("%w", err)
	}
	o.serve = append(slices.Clone(o.file.Serve), serve...)
	o.access.add(o.file.Body, o.file.Headers)
	o.access.forms = formsOf(o.file.Load.Sessions)
	if err := o.override(set); err != nil {
		return nil, err
	}
	if err := o.checkResets(set); err != nil {
		return nil, err
	}
	if err := o.checkPart(set); err != nil {
		return nil, err
	}
	return o, o.settle(f, set, len(serve) > 0)
}

// checkPart refuses a part of a load that the others would not fit.
func (o *runOptions) checkPart(set map[string]bool) error {
	switch {
	case set["start"] && !set["part"]:
		return usageError("-start is for parts of a load: want -part I/N")
	case !set["part"]:
		return nil
	case o.url == "":
		return usageError("parts of a load are put on one server: want -url")
	case !set["seed"] && !o.file.Has("seed.text"):
		return usageError("parts of a load have one seed: want -seed")
	case o.crew.url != "":
		return usageError("-part and -workers are two ways to split a load")
	case o.file.Runs > 1 || len(o.file.Levels) > 1 || o.file.Search != nil:
		return usageError("a part of a load is one run at one level, since no part knows when " +
			"another has ended; loadstone workers can do more")
	case o.file.Load.Together > 0:
		return usageError("agents that ask together wait for each other, and parts of a load know " +
			"nothing of each other; loadstone workers can do that")
	}
	return nil
}

// override puts what the command line says in place of what the file says.
func (o *runOptions) override(set map[string]bool) error {
	l := &o.file.Load
	switch {
	case set["rate"] && set["concurrency"]:
		return usageError("-rate and -concurrency are two loads")
	case set["rate"], set["concurrency"]:
		if l.Trace != nil {
			return usageError("%s replays a trace, which says itself when its requests are due", l.Name)
		}
		l.Rate, l.Concurrency, l.Burst, l.RampUp = nil, 0, load.Burst{}, 0
		o.file.Levels, o.file.Search = nil, nil
	}
	if set["rate"] {
		var err error
		if l.Rate, err = scenario.ParseRate(o.rate); err != nil {
			return usageError("-rate: %w; want such as 4/s, or '1/s to 20/s over 30s', or 'steps "+
				"1/s 2/s each 10s'", err)
		}
		if !o.file.Has("gaps") {
			l.Gaps = 1
		}
	}
	for name, v := range map[string]int{"concurrency": o.concurrency, "n": o.requests,
		"jobs": o.jobs, "context": o.context,
		"duration": int(o.duration)} {
		if set[name] && v < 1 {
			return usageError("-%s: want more than 0", name)
		}
	}
	l.Concurrency = cmp.Or(o.concurrency, l.Concurrency)
	// An end takes the place of the file's.
	if l.Trace == nil && (set["n"] || set["jobs"]) || set["duration"] {
		if !set["duration"] {
			l.Duration = 0
		}
		l.Requests, l.Jobs = 0, 0
	}
	l.Requests, l.Duration = cmp.Or(o.requests, l.Requests), cmp.Or(o.duration, l.Duration)
	l.Jobs, l.Replay.Context = cmp.Or(o.jobs, l.Jobs), cmp.Or(o.context, l.Replay.Context)
	if set["goodput"] {
		l.Goodput = o.goodput
	}
	if set["seed"] {
		o.file.Seed(o.seed)
	}
	return nil
}

// calibrate measures the client alone, under each level's load as it really was.
func (o *runOptions) calibrate(ctx context.Context, e *env,
	m *measurement) ([]stub.Calibration, error) {
	levels := m.report.Results
	if !o.quiet && len(levels) > 0 {
		fmt.Fprintln(e.stderr, "the same load on a server that computes nothing, to measure the "+
			"client by itself")
	}
	var all []stub.Calibration
	for _, s := range levels {
		l := o.file.Load.At(s.Level)
		f, ok, err := stub.CalibrateLike(ctx, startStub, m.largestPart(&l, s.Records))
		f.Level = s.Level
		if err != nil {
			return all, err
		}
		if ok {
			all = append(all, f)
		}
	}
	return all, nil
}

func (o *runOptions) measure(ctx context.Context, e *env, m *measurement,
	journal *journal) ([]record.Run, load.Level, error) {
	plan := harness.Plan{Loads: []load.Load{o.file.Load}, Runs: o.file.Runs, Levels: o.file.Levels,
		Search: o.file.Search, Until: o.file.Until, Reset: o.reset(m.client, m.target),
		Share: o.share, Start: o.start,
		Again: harness.AskedAgain, Write: m.results.rest(o.answers), Journal: journal.addRecords,
		JournalSamples: journal.addSamples, Tokens: o.tokens}
	m.setCrew(&plan)
	if !o.quiet {
		line := terminal.NewProgress(e.stderr, o.file.Runs)
		defer line.Close()
		plan.Progress = line.Show
	}
	return plan.Run(ctx, m.client)
}

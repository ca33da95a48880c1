package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/limit"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
	"loadstone/harness/verdict"
)

const gateAbout = `Decides whether a server got worse, for scripts: exit code 0 if not. Four ways:

  loadstone gate -base FOLDER -head FOLDER         two measurements of bench, or their bench.txt
  loadstone gate -base-cmd OLD [-head-cmd NEW]     measures two builds by itself, in turns: A B B A
  loadstone gate -base-url URL -head-url URL       the same with two servers that run
  loadstone gate -slo 'p99-e2e<5s' -head FOLDER    holds one measurement to absolute limits

A cell, one unit of one scenario, is worse when the change is significant (one-sided Mann-Whitney
U over the runs, Holm's correction over all cells), and larger than what matters for its unit
(-effect; 5 % for medians, 10 % for p95, 15 % for p99, 1 point of hit rate, and never less than
200 us of time to first token), and larger than what the same server measured twice shows. That
noise is measured with -aa FILE and kept beside the baseline: for base.txt it is base.floor. An
error more than in the base fails without statistics.

Two measurements that were not made in turns differ by their sessions as well: a machine is easily
8 % slower on another day, all runs of it alike. So where the two folders are of different
sessions, a change of up to 40 % decides nothing (exit code 2), unless the floor is of three
sessions or more: it then says how far apart sessions are. Each -aa FILE adds one to the file;
make them on different days. Or measure in turns, with -base-cmd or -base-url, which finds 10 % in
one cell in 95 of 100 cases, in all cells always.

What was not measured fails as well: a cell that one side lacks, too few runs for any outcome to
be significant, and a head that was interrupted, that violated what must always hold, of which not
one request was answered, or in whose file Go says FAIL or panic. A base like that is nothing to
hold a head to. Measurements that are unlike are refused with the key that differs: the machine
(hostclass, cpu, mem by more than 5 %), the server (model, backend, quant) or what was asked
(requests, turns, prompt, system, goodput, ...). -ignore KEY compares all the same. Files of
before that do not say what was asked are compared by what they say. A cell that is worse only
because the load generator's own lag grew is an invalid measurement, not a regression.

With -base-cmd and -head-cmd every run has a fresh server process; both sides get the same
prompts, from the same seeds. A command is the words of a loadstone binary; serve and its flags
are added. Left out, it is this program.

What is worse for a good reason is accepted with -accept "REASON": the gate writes a line for each
cell that is worse, with the date, the commit and the size, into the file beside the baseline
(.accepted in place of .txt, or -accepted FILE), which you commit. The gate then shows the line and
does not fail for it, unless the change grows beyond it and beyond noise. A line is of one base: it
ends with a new baseline. Where the base is measured, as with -base-cmd, name the file, and leave
lines out of it that the base has as well.

` + ciHelp + `

A head that has failed or was interrupted holds no limit, whatever its figures are. An absolute
limit is held by the median over the runs. A percentile within it is shown to hold only where its
sample bounds it: the requests of every run, or those of all runs where each of them is within the
limit. Files that do not say how many requests their percentiles are of, as bench wrote them once,
leave it open.`

const gateExamples = `  loadstone gate -base benchdata/baseline/tiny.txt -head after/bench.txt
  loadstone gate -base before -head after -effect p50-ttft=3%,tok/s=10%
  loadstone gate -base-cmd ./loadstone-main -model smollm2 -- -max-batch 8
  loadstone gate -aa benchdata/baseline/tiny.floor       once a day for three days or more
  loadstone gate -slo 'p99-e2e<5s,p50-ttft<500ms,error-ratio<=0' -head after
  loadstone gate -base before -head after -accept 'checks each block twice: correctness first'
  loadstone gate -base before -head after -summary -junit gate.xml -comment gate.md -advisory

What it prints when a build is slower:

  p50-ttft          base     head   change      90 % interval        p
  single-cold    45.7 ms  54.6 ms  +19.8 %  +15.1 % … +24.0 %  < 0.001  worse: more than 5 %

  20 cells: 1 worse, 19 ~ (10 runs a side, p after Holm's correction, no noise floor)
  loadstone: gate: of 20 cells 1 worse

and when it is not:

  20 cells: 20 ~ (10 runs a side, p after Holm's correction, noise floor baseline/tiny.floor)
  gate: pass

Exit codes: 0 pass, 1 something got worse, or the head was not measured or has failed, 2 it cannot
be decided: unlike, empty or damaged files, a base that has failed, a difference that may be the
session's, a pattern or key that matches nothing, a unit without better=, nothing worse in a
measurement that is disturbed or that the load generator itself could explain, a wrong command
line, 3 an -slo is missed, 4 a server cannot be reached or started, 5 no -slo is missed, but too
few requests were measured to show that a percentile holds, 130 interrupted.
`

// gateOptions are the command line of gate.
type gateOptions struct {
	compared
	limits  []limit.Limit
	verbose bool
	aa      string // file to write an A/A measurement to
	measure *duel  // nil: two files

	ci         ciOptions
	accepted   string // file with what was accepted; "" none
	accept     string // why what is worse is accepted; "" it is not
	comparison *gate.Comparison
	held       []gate.Held
}

func gateCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseGate(e, args)
	if err != nil {
		return err
	}
	if o.measure != nil {
		ctx, stop := interruptible(ctx)
		defer stop()
		if err := o.measure.run(ctx, e); err != nil {
			return err
		}
		o.base = filepath.Join(o.measure.out, "base.txt")
		o.head = filepath.Join(o.measure.out, "head.txt")
		if o.aa != "" {
			if err := o.measure.invalid(); err != nil {
				return err
			}
			return o.writeNoiseFloor(e)
		}
	}
	failure := o.judge(ctx, e)
	return o.ci.conclude(ctx, e, o.verdict(ctx), failure)
}

// judge holds the head to the base and to the limits.
func (o *gateOptions) judge(ctx context.Context, e *env) error {
	var failure error
	if o.base != "" {
		failure = o.decide(ctx, e)
	}
	if o.limits == nil {
		return failure
	}
	missed, err := o.checkLimits(e)
	return errors.Join(failure, err, missed)
}

// verdict is what was decided, for the forms of CI.
func (o *gateOptions) verdict(ctx context.Context) *verdict.Verdict {
	v := &verdict.Verdict{Name: "gate"}
	if c := o.comparison; c != nil {
		v.Sections = append(v.Sections, c.Section())
		v.Summary, v.Notes = c.Summary(), c.AllNotes()
		if accept := c.Accept(time.Now(), headCommit(ctx), "WHY"); len(accept) > 0 {
			s := verdict.Snippet{About: fmt.Sprintf("To accept what is worse, commit these lines "+
				"at the end of %s, with a reason in place of WHY:",
				cmp.Or(os.Getenv("LOADSTONE_ACCEPTED"), o.accepted, "a file that -accepted names"))}
			for _, a := range accept {
				s.Lines = append(s.Lines, a.String())
			}
			v.Advice = append(v.Advice, s)
		}
	}
	if o.held != nil {
		v.Sections = append(v.Sections, gate.LimitSection(o.held))
	}
	return v
}

// compare compares base and head, and accepts what is worse where that was asked for.
func (o *gateOptions) compare(ctx context.Context, e *env) (*gate.Comparison, error) {
	if err := o.readAccepted(); err != nil {
		return nil, err
	}
	c, err := compareFiles(o.compared)
	if err != nil || o.accept == "" {
		return c, err
	}
	more := c.Accept(time.Now(), headCommit(ctx), o.accept)
	if len(more) == 0 {
		fmt.Fprintln(e.stderr, "note: nothing is worse that could be accepted")
		return c, nil
	}
	earlier, err := os.ReadFile(o.accepted)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = writeFile(o.accepted, func(w io.Writer) error {
		return gate.WriteAccepted(w, earlier, more)
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(e.stderr, "accepted in %s, to be committed: %s\n", o.accepted,
		table.Plural(len(more), "cell"))
	o.Accepted = append(o.Accepted, more...)
	return compareFiles(o.compared)
}

// readAccepted reads what was accepted, where there is such a file, and finds out what the base is.
func (o *gateOptions) readAccepted() error {
	o.BaseID = gate.Measured
	if o.measure == nil {
		text, err := os.ReadFile(o.base)
		if err != nil {
			return nil // comparing says why
		}
		o.BaseID = gate.BaseID(text)
	}
	text, err := os.ReadFile(o.accepted)
	if o.accepted == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		o.Accepted, err = gate.ReadAccepted(gate.File{Name: o.accepted, Reader: bytes.NewReader(text)})
	}
	if err != nil {
		return usageError("%w", err)
	}
	return nil
}

// decide compares base and head and prints what keeps the gate from passing, or everything with -v.
func (o *gateOptions) decide(ctx context.Context, e *env) error {
	c, err := o.compare(ctx, e)
	if err != nil {
		return err
	}
	o.comparison = c
	if err := c.WriteTable(e.stdout, terminal.Color(e.stdout), !o.verbose); err != nil {
		return err
	}
	err = c.Decide()
	var failed *gate.FailedError
	switch {
	case (err == nil || errors.As(err, &failed) && failed.ByClient()) && o.measure.invalid() != nil:
		return o.measure.invalid()
	case err == nil:
		fmt.Fprintln(e.stdout, "gate: pass")
		return nil
	}
	return decided(err)
}

// decided is what keeps the gate from passing with its exit code: the head failed, or nothing can
// be decided.
func decided(err error) error {
	var invalid *gate.Invalid
	var apart *gate.ApartError
	var failed *gate.FailedError
	switch {
	case errors.As(err, &apart):
		return &exitError{exitUsage, fmt.Errorf("gate: %w: measure them in turns, with -base-cmd or "+
			"-base-url, or hold them to a -floor of three sessions or more (-aa)", err)}
	case errors.As(err, &invalid), errors.As(err, &failed) && !failed.ByHead():
		return &exitError{exitUsage, fmt.Errorf("gate: %w", err)}
	}
	return &exitError{exitFailed, fmt.Errorf("gate: %w", err)}
}

// writeNoiseFloor keeps an A/A measurement of base and head as one more session of a noise floor.
func (o *gateOptions) writeNoiseFloor(e *env) error {
	var earlier gate.File
	if _, err := os.Stat(o.aa); err == nil {
		if earlier, err = readBench(o.aa); err != nil {
			return err
		}
	}
	base, err := readBench(o.base)
	if err != nil {
		return err
	}
	head, err := readBench(o.head)
	if err != nil {
		return err
	}
	var all gate.Sessions
	err = writeFile(o.aa, func(w io.Writer) (err error) {
		all, err = gate.WriteNoise(w, earlier, base, head)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout,
		"%s: the same server measured twice, %d runs a side, %s; commit it beside the baseline\n",
		o.aa, o.measure.bench.runs, all)
	return err
}

func (o *gateOptions) checkLimits(e *env) (missed, err error) {
	head, err := readBench(o.head)
	if err != nil {
		return nil, usageError("%w", err)
	}
	results, err := gate.CheckLimits(head, o.Options, o.limits)
	var failed *gate.FailedError
	if err != nil && !errors.As(err, &failed) {
		return nil, gateError(err)
	}
	o.held = results
	if err := gate.WriteLimits(e.stdout, results, terminal.Color(e.stdout)); err != nil {
		return nil, err
	}
	count := map[limit.Standing]int{}
	needs := ""
	for i := range results {
		r := &results[i]
		if count[r.Standing]++; r.Standing == limit.NotShown && needs == "" {
			needs = fmt.Sprintf("%s in %s needs %s", r.Name, r.Scenario, r.Sample())
		}
	}
	switch {
	case failed != nil && !(failed.ByClient() && count[limit.Missed] > 0):
		return nil, decided(failed)
	case count[limit.Missed] > 0:
		missed = &exitError{exitMissed, fmt.Errorf("gate: %d of %d limits missed",
			count[limit.Missed], len(results))}
	case count[limit.NotShown] > 0:
		missed = &exitError{exitNotShown, fmt.Errorf("gate: %d of %d limits not shown: %s",
			count[limit.NotShown], len(results), needs)}
	}
	return missed, nil
}

func parseGate(e *env, args []string) (*gateOptions, error) {
	o := &gateOptions{}
	d := &duel{start: time.Now()}
	f := flags("gate", gateAbout, gateExamples, e.stdout)
	f.StringVar(&o.base, "base", "",
		"`folder` of the measurement to hold the other to, or its bench.txt")
	f.StringVar(&o.head, "head", "", "`folder` of the measurement to judge, or its bench.txt")
	selected := selectionFlags(f.FlagSet)
	effects := f.String("effect", "",
		"`list` of smallest changes that matter, such as p50-ttft=3%,tok/s=10%")
	slo := f.String("slo", "",
		"`list` of absolute limits for the head, such as p99-e2e<5s,hit-ratio>80%")
	f.IntVar(&o.MinRuns, "min-runs", 6, "fewest runs a side; fewer fail")
	f.BoolVar(&o.verbose, "v", false, "print all cells, not only those that fail")
	f.StringVar(&o.aa, "aa", "", "measure a server against itself and add the noise to this "+
		"`file`, as one more session; nothing is judged")
	f.StringVar(&o.accept, "accept", "", "accept what is worse, for this `reason`")
	f.StringVar(&o.accepted, "accepted", "", "`file` of what was accepted; default: beside the base, "+
		".accepted in place of .txt")
	o.ci.flags(f)
	finish := d.flags(f)
	var err error
	if d.bench.serve, _, err = f.parseBeforeServe(args, 0); err != nil {
		return nil, err
	}
	selected(&o.compared)
	if o.accepted == "" && o.base != "" {
		o.accepted = strings.TrimSuffix(o.base, ".txt") + ".accepted"
	}
	if err := o.readPolicy(*effects, *slo); err != nil {
		return nil, err
	}
	measuring, err := finish(o.aa != "")
	if err != nil {
		return nil, err
	}
	if err := o.checkNoiseFile(); err != nil {
		return nil, err
	}
	if measuring {
		o.measure = d
	}
	return o, o.checkSides()
}

// readPolicy reads what is held to be a change that matters.
func (o *gateOptions) readPolicy(effects, slo string) (err error) {
	if o.Effects, err = gate.ParseEffects(effects); err != nil {
		return usageError("-effect: %w", err)
	}
	if slo != "" {
		if o.limits, err = gate.ParseLimits(slo); err != nil {
			return usageError("-slo: %w", err)
		}
	}
	if o.MinRuns < 4 {
		return usageError("-min-runs is %d; want at least 4, with fewer no outcome is significant",
			o.MinRuns)
	}
	return nil
}

// checkNoiseFile refuses to write an A/A measurement over a file that is something else.
func (o *gateOptions) checkNoiseFile() error {
	if _, err := os.Stat(o.aa); o.aa == "" || err != nil {
		return nil
	}
	text, err := os.ReadFile(o.aa)
	if err != nil || !bytes.Contains(text, []byte("\nside: ")) {
		return usageError("%s is no A/A measurement, and stays as it is; -aa wants a new file, "+
			"or one that it wrote", o.aa)
	}
	return nil
}

// checkSides refuses a command line that leaves open what is judged, or what it is held to.
func (o *gateOptions) checkSides() error {
	switch {
	case o.accept != "" && (o.aa != "" || o.accepted == ""):
		return usageError("-accept wants a base that is held to: -base, or -base-cmd or -base-url " +
			"with -accepted FILE")
	case o.measure != nil && (o.base != "" || o.head != ""):
		return usageError("either files (-base, -head) or servers to measure (-base-cmd, " +
			"-base-url, -aa), not both")
	case o.measure != nil:
		o.Scenarios = nil // the duel measures no others
		if runs := o.measure.bench.runs; runs < o.MinRuns && o.aa == "" {
			return usageError("-runs is %d; want at least -min-runs, %d", runs, o.MinRuns)
		}
	case o.base == "" && o.limits == nil:
		return usageError("nothing to judge: want -base FOLDER -head FOLDER, or -base-cmd or " +
			"-base-url; loadstone gate -h shows examples")
	case o.head == "":
		return usageError("want -head FOLDER, the measurement to judge; loadstone bench makes one")
	}
	return nil
}

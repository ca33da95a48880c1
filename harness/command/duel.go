package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"loadstone/engine/catalog"
	"loadstone/harness"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/server/service"
)

// A duel measures two targets for gate; see harness.Duel.
type duel struct {
	bench   benchOptions // the load; runs is the number of rounds
	targets [2]harness.Target
	systems [2]report.System
	runs    [2][]record.Run
	client  report.Generator // the load generator, which is one for both sides
	reasons []string         // for which what was measured is invalid, of both sides
	out     string
	start   time.Time
}

var sideNames = [2]string{"base", "head"}

// flags declares the flags of gate that make it measure. The function that it returns checks them
// after parsing, and reports whether gate is to measure.
func (d *duel) flags(f *flagSet) func(aa bool) (bool, error) {
	o := &d.bench
	var urls, commands [2]string
	for i, name := range sideNames {
		f.StringVar(&urls[i], name+"-url", "", "measure the server at this `address` as the "+name)
		f.StringVar(&commands[i], name+"-cmd", "",
			"measure this loadstone `command` as the "+name+"; default: this program")
	}
	o.modelFlags(f)
	f.IntVar(&o.runs, "runs", 10, "rounds; each is one run of every scenario on each side")
	f.IntVar(&o.n, "n", 100, "repetitions of each scenario on each side")
	o.sizes(f)
	f.Uint64Var(&o.seed, "seed", 1, "of the first round's prompts; with addresses the default is "+
		"another one each time")
	f.StringVar(&d.out, "out", "", "`folder` for base.txt and head.txt; default: "+
		"loadstone-results/gate- and the time")
	return func(aa bool) (bool, error) {
		any := aa
		for i := range sideNames {
			any = any || urls[i] != "" || commands[i] != ""
		}
		if !any {
			if len(o.serve) > 0 {
				return false, usageError("flags after -- are for servers that gate starts; want " +
					"-base-cmd, -head-cmd or -aa")
			}
			return false, nil
		}
		return true, d.check(f, urls, commands, aa)
	}
}

func (d *duel) check(f *flagSet, urls, commands [2]string, aa bool) error {
	o := &d.bench
	if err := o.checkAmounts(); err != nil {
		return err
	}
	seeded := false
	f.Visit(func(g *flag.Flag) { seeded = seeded || g.Name == "seed" })
	var err error
	for i, name := range sideNames {
		switch {
		case urls[i] != "" && commands[i] != "":
			return usageError("-%s-url and -%s-cmd are two servers for one side", name, name)
		case urls[i] != "":
			if d.targets[i].URL, err = checkURL(urls[i], o.remote); err != nil {
				return err
			}
			if !seeded {
				o.seed = uint64(d.start.UnixMilli()) // the server may have seen the default before
			}
		default:
			words := strings.Fields(commands[i])
			if len(words) == 0 {
				self, err := os.Executable()
				if err != nil {
					return err
				}
				words = []string{self}
			}
			if _, err := osexec.LookPath(words[0]); err != nil {
				return usageError("-%s-cmd: %w", name, err)
			}
			d.targets[i].Command = words
		}
	}
	if !aa && d.targets[0].URL != "" && d.targets[0].URL == d.targets[1].URL {
		return usageError("-base-url and -head-url are one server: its cache would know the " +
			"second side's prompts from the first's")
	}
	if err := o.choose(f.Lookup("scenario").Value.String()); err != nil {
		return err
	}
	if d.out == "" {
		d.out = filepath.Join("loadstone-results", "gate-"+d.start.Format("20060102-150405"))
	}
	return nil
}

// run measures and writes base.txt and head.txt. An interrupted or failed measurement writes none:
// half a duel decides nothing.
func (d *duel) run(ctx context.Context, e *env) error {
	if err := d.meet(ctx, e); err != nil {
		return err
	}
	if err := os.MkdirAll(d.out, 0o755); err != nil {
		return fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	var err error
	if d.client.Calibration, err = d.bench.calibrate(ctx, nil); err != nil {
		return d.explain(ctx, err)
	}
	logs, err := d.logs()
	if err != nil {
		return err
	}
	defer func() {
		for _, log := range logs {
			log.Close()
		}
	}()
	plan := harness.Plan{Loads: d.bench.loads, Runs: d.bench.runs, Again: harness.AskedAgain,
		Tokens: d.bench.tokens}
	note := func(text string) { fmt.Fprintln(e.stderr, "note:", text) }
	measured := harness.Duel{Targets: d.targets, Plan: plan, Note: note,
		Ended: func(round, side int, took time.Duration) {
			if !d.bench.quiet {
				fmt.Fprintf(e.stderr, "round %d of %d, %s: %.1f s\n", round+1, d.bench.runs,
					sideNames[side], took.Seconds())
			}
		}}
	began, used := time.Now(), proc.OwnCPU()
	if d.runs, err = measured.Run(ctx); err != nil {
		return d.explain(ctx, err)
	}
	for i := range d.runs {
		tellUnproven(e.stderr, sideNames[i]+", ", d.runs[i])
	}
	d.client.Busy = (proc.OwnCPU() - used).Seconds() / time.Since(began).Seconds() /
		float64(runtime.GOMAXPROCS(0))
	for i := range d.targets {
		r := d.report(i)
		if err := writeFile(filepath.Join(d.out, sideNames[i]+".txt"), r.WriteBench); err != nil {
			return err
		}
		for _, why := range r.Invalid() {
			d.reasons = append(d.reasons, sideNames[i]+", "+why)
		}
	}
	return nil
}

// invalid returns the error of a measurement that is disturbed by its own client, or nil. Such a
// measurement can show no more than that a server got worse.
func (d *duel) invalid() error {
	if d == nil || len(d.reasons) == 0 {
		return nil
	}
	return &exitError{exitUsage, fmt.Errorf("gate: nothing can be decided: the measurement is "+
		"invalid: %s", d.reasons[0])}
}

// explain returns a failure with its exit code; that of a measurement that was interrupted says so.
func (d *duel) explain(ctx context.Context, err error) error {
	var start *harness.StartError
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted; nothing is decided")}
	case errors.As(err, &start):
		return &exitError{exitUnreachable, err}
	}
	if _, ok := errors.AsType[*harness.SameServerError](err); ok {
		return usageError("-base-url and -head-url: %w", err)
	}
	if _, ok := errors.AsType[*harness.FilesError](err); ok {
		return &exitError{exitUsage, err}
	}
	return hint(err)
}

// logs are the files that the servers' standard error goes to.
func (d *duel) logs() ([]*os.File, error) {
	var files []*os.File
	for i := range d.targets {
		if d.targets[i].URL != "" {
			continue
		}
		log, err := os.OpenFile(filepath.Join(d.out, sideNames[i]+".log"),
			os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return files, err
		}
		d.targets[i].Log, files = log, append(files, log)
	}
	return files, nil
}

// meet finds out which servers the two sides are, before any load is sent.
func (d *duel) meet(ctx context.Context, e *env) error {
	for i := range d.targets {
		t := &d.targets[i]
		if t.URL != "" {
			var err error
			if *t, err = d.bench.access.target(t.URL, nil); err != nil {
				return err
			}
			model, err := servedModel(ctx, e, t, "")
			if err != nil {
				return err
			}
			t.Model, t.Remote = model, d.bench.remote
			c := t.NewClient(t.URL)
			c.Scrape(ctx)
			tellNoMetrics(e, c)
			c.Close()
			d.systems[i] = report.System{Name: "server", URL: t.URL, Model: model}
			continue
		}
		src, err := catalog.Open(d.bench.model)
		if err != nil {
			return usageError("%w", err)
		}
		if d.bench.tokens == nil && d.targets[1-i].URL == "" {
			d.bench.tokens = tokensOf(src)
		}
		// Another build's version is not known here; which one it was stands in the command.
		d.systems[i] = report.System{Name: "loadstone", Version: strings.Join(t.Command, " "),
			Model: src.Name, Backend: service.Backend(d.bench.backend), Quant: quantization(src.FS),
			Threads: runtime.GOMAXPROCS(0)}
		command := t.Command
		if *t, err = d.bench.access.target("", d.bench.serve); err != nil {
			return err
		}
		t.Model, t.Command = src.Name, command
		t.Command = slices.Concat(t.Command,
			[]string{"serve", "-addr", "127.0.0.1:0", "-model", d.bench.model, "-backend",
				d.bench.backend}, d.bench.serve)
	}
	return nil
}

// report makes the report that bench would make of one side.
func (d *duel) report(side int) *report.Report {
	meta := report.Meta{System: d.systems[side], Host: report.FindHost(), Start: d.start,
		Interleaved: true, Generator: d.client, Workload: d.bench.workload(d.targets[side])}
	return report.New(meta, d.bench.loads, d.runs[side])
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"loadstone/engine/catalog"
	"loadstone/harness/gate"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

// A duel measures two servers in turns, A B B A and so on, so that a slow minute of the machine falls on both. Round i has
// the same prompts on both sides, from seed+i.
//
// A server that is a command is started afresh for every run: what one process was lucky with, such as where its memory
// came to lie, is noise between runs then, and no difference between the sides.
type duel struct {
	bench   benchOptions // the load; runs is the number of rounds
	sides   [2]contender
	client  report.Generator // the load generator, which is one for both sides
	reasons []string         // for which what was measured is invalid, of both sides
	out     string
	start   time.Time
}

var sideNames = [2]string{"base", "head"}

// A contender is one side: a server that runs, or the words of a loadstone command.
type contender struct {
	url     string
	command []string
	system  report.System
	runs    []record.Run
}

// flags declares those of a measurement. The function it returns is called after parsing and tells whether there is one.
func (d *duel) flags(f *flagSet) func(args []string, aa bool) (bool, error) {
	o := &d.bench
	var urls, commands [2]string
	for i, name := range sideNames {
		f.StringVar(&urls[i], name+"-url", "", "measure the server at this `address` as the "+name)
		f.StringVar(&commands[i], name+"-cmd", "", "measure this loadstone `command` as the "+name+"; default: this program")
	}
	o.modelFlags(f)
	f.IntVar(&o.runs, "runs", 10, "rounds; each is one run of every scenario on each side")
	f.IntVar(&o.n, "n", 100, "repetitions of each scenario on each side")
	o.sizes(f)
	f.Uint64Var(&o.seed, "seed", 1, "of the first round's prompts; with addresses the default is another one each time")
	f.StringVar(&d.out, "out", "", "`folder` for base.txt and head.txt; default: loadstone-results/gate- and the time")
	return func(args []string, aa bool) (bool, error) {
		any := aa
		for i := range sideNames {
			any = any || urls[i] != "" || commands[i] != ""
		}
		if !any {
			if f.NArg() > 0 {
				return false, usageError("unexpected argument %q; loadstone gate -h lists the flags", f.Arg(0))
			}
			return false, nil
		}
		if f.NArg() > 0 && !slices.Contains(args, "--") {
			return false, usageError("unexpected argument %q; flags of serve come after --", f.Arg(0))
		}
		o.serve = f.Args()
		o.url = urls[0] + urls[1] // for what bench checks alike
		return true, d.check(f, urls, commands, aa)
	}
}

func (d *duel) check(f *flagSet, urls, commands [2]string, aa bool) error {
	o := &d.bench
	if err := o.checkAmounts(); err != nil {
		return err
	}
	var err error
	if o.scenarios, err = chooseScenarios(f.Lookup("scenario").Value.String()); err != nil {
		return err
	}
	for i, name := range sideNames {
		switch {
		case urls[i] != "" && commands[i] != "":
			return usageError("-%s-url and -%s-cmd are two servers for one side", name, name)
		case urls[i] != "":
			if d.sides[i].url, err = checkURL(urls[i], o.remote); err != nil {
				return err
			}
			if d.bench.seed == 1 {
				d.bench.seed = uint64(d.start.UnixMilli()) // the server may have seen the default before
			}
		default:
			if d.sides[i].command = strings.Fields(commands[i]); len(d.sides[i].command) == 0 {
				self, err := os.Executable()
				if err != nil {
					return err
				}
				d.sides[i].command = []string{self}
			}
			if _, err := osexec.LookPath(d.sides[i].command[0]); err != nil {
				return usageError("-%s-cmd: %w", name, err)
			}
		}
	}
	if !aa && d.sides[0].url != "" && d.sides[0].url == d.sides[1].url {
		return usageError("-base-url and -head-url are one server: its cache would know the second side's prompts from the first's")
	}
	if d.out == "" {
		d.out = filepath.Join("loadstone-results", "gate-"+d.start.Format("20060102-150405"))
	}
	return nil
}

// run measures and writes base.txt and head.txt. An interrupted or failed measurement writes none: half a duel decides
// nothing.
func (d *duel) run(ctx context.Context, e *env) error {
	if err := d.meet(ctx, e); err != nil {
		return err
	}
	if err := os.MkdirAll(d.out, 0o755); err != nil {
		return fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	var err error
	if d.client.Calibration, err = d.bench.floors(ctx); err != nil {
		return d.explain(ctx, err)
	}
	began, used := time.Now(), proc.OwnCPU()
	for round := range d.bench.runs {
		order := [2]int{round % 2, 1 - round%2} // A B, B A
		for _, side := range order {
			began := time.Now()
			runs, err := d.once(ctx, side, round)
			if err != nil {
				return d.explain(ctx, fmt.Errorf("round %d of %d, %s: %w", round+1, d.bench.runs, sideNames[side], err))
			}
			d.sides[side].runs = append(d.sides[side].runs, runs...)
			if !d.bench.quiet {
				fmt.Fprintf(e.stderr, "round %d of %d, %s: %.1f s\n", round+1, d.bench.runs, sideNames[side], time.Since(began).Seconds())
			}
		}
	}
	d.client.Busy = (proc.OwnCPU() - used).Seconds() / time.Since(began).Seconds() / float64(runtime.GOMAXPROCS(0))
	for i := range d.sides {
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

// invalid is why what was measured shows nothing unless it shows a server that got worse: the client could explain that much.
func (d *duel) invalid() error {
	if d == nil || len(d.reasons) == 0 {
		return nil
	}
	return &exitError{exitUsage, fmt.Errorf("gate: nothing can be decided: the measurement is invalid: %s", d.reasons[0])}
}

// explain says of a failure that it was Ctrl-C, where it was.
func (d *duel) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted; nothing is decided")}
	}
	return err
}

// meet finds out who the two are before any load is sent.
func (d *duel) meet(ctx context.Context, e *env) error {
	for i := range d.sides {
		c := &d.sides[i]
		if c.url != "" {
			model, err := servedModel(ctx, e, c.url, "")
			if err != nil {
				return err
			}
			c.system = report.System{Name: "server", URL: c.url, Model: model}
			continue
		}
		src, err := catalog.Open(d.bench.model)
		if err != nil {
			return usageError("%w", err)
		}
		// Another build's version is not known here; which one it was stands in the command.
		c.system = report.System{Name: "loadstone", Version: strings.Join(c.command, " "), Model: src.Name,
			Backend: backend(d.bench.backend), Quant: quantization(src.FS), Threads: runtime.GOMAXPROCS(0)}
	}
	return nil
}

// once is one round of one side.
func (d *duel) once(ctx context.Context, side, round int) ([]record.Run, error) {
	c := &d.sides[side]
	s := &subject{model: c.system.Model, system: c.system}
	defer s.stop()
	if c.url == "" {
		log, err := os.OpenFile(filepath.Join(d.out, sideNames[side]+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		words := slices.Concat(c.command[1:], []string{"serve", "-addr", "127.0.0.1:0", "-model", d.bench.model, "-backend", d.bench.backend}, d.bench.serve)
		s.process, err = proc.Start(ctx, log, c.command[0], words...)
		if err != nil {
			return nil, &exitError{exitUnreachable, fmt.Errorf("the server did not start: %w", err)}
		}
		s.system.URL = s.process.URL
	}
	o := d.bench
	o.n, o.runs, o.quiet, o.seed = o.n/o.runs, 1, true, o.seed+uint64(round)
	if side == 1 && c.url != "" && c.url == d.sides[0].url {
		o.seed += 1 << 32 // an A/A measurement of one running server: its cache knows the other side's prompts
	}
	runs, err := o.measure(ctx, nil, s, nil)
	for i := range runs {
		if found := runs[i].Violations; err == nil && len(found) > 0 {
			err = fmt.Errorf("what must always hold does not: %s", found[0])
		}
		runs[i].Index = round
		for j := range runs[i].Records {
			runs[i].Records[j].Run = round
		}
	}
	return runs, err
}

// report makes of one side what bench would have.
func (d *duel) report(side int) *report.Report {
	c := &d.sides[side]
	return d.bench.report(report.Meta{System: c.system, Host: report.FindHost(), Start: d.start, Generator: d.client,
		Workload: report.Workload{Runs: d.bench.runs, Reps: d.bench.n / d.bench.runs, PromptTokens: d.bench.promptTokens, MaxTokens: d.bench.maxTokens, Seed: d.bench.seed}}, c.runs)
}

// writeFloor keeps an A/A measurement.
func (d *duel) writeFloor(e *env, name string) error {
	base, head := filepath.Join(d.out, "base.txt"), filepath.Join(d.out, "head.txt")
	if err := writeFile(name, func(w io.Writer) error { return writeNoise(w, base, head) }); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s: the same server measured twice, %d runs a side; commit it beside the baseline\n", name, d.bench.runs)
	return err
}

// writeNoise joins the files of the two sides of an A/A measurement.
func writeNoise(w io.Writer, base, head string) error {
	a, err := readBench(base)
	if err != nil {
		return err
	}
	b, err := readBench(head)
	if err != nil {
		return err
	}
	return gate.WriteNoise(w, a, b)
}

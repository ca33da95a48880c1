// Command fuzz runs the fuzz targets of the module side by side. See its -h.
//
// A second of a processor tries as many inputs with several targets of one worker each (23 000 of
// FuzzUnmarshal) as with several workers of one target (24 000).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"
)

const about = `usage: .ci/fuzz [-outside TIME] [-limit TIME] [TIME [REGEXP]]

Runs every fuzz target of the module for a time (10m), as many at once as there are processors, or
those whose folder/Name matches REGEXP. REGEXP may be the word outside: the targets whose input
comes from outside. It prints for each how many inputs were tried, how many of them went where none
had gone before (Go keeps those in its cache, for the next run), and how many are kept there and in
testdata. Exit status 1: an input fails; it is in testdata/fuzz of the package, for go test to try
from then on. That the machine is slow is no failure.

`

func main() {
	f := flag.NewFlagSet("fuzz", flag.ExitOnError)
	outside := f.Duration("outside", 0, "run the targets whose input comes from outside first, each "+
		"for this `time`")
	limit := f.Duration("limit", 0, "begin no target after this `time`; which one is the first "+
		"differs from day to day")
	f.Usage = func() {
		fmt.Fprint(f.Output(), about)
		f.PrintDefaults()
	}
	f.Parse(os.Args[1:])
	args := append(f.Args(), []string{"10m", "."}[min(2, f.NArg()):]...)
	each, err := time.ParseDuration(args[0])
	r := &run{limit: *limit, began: time.Now()}
	if err == nil {
		r.targets, err = targets(".", args[1], each, *outside, *limit > 0)
	}
	if err != nil || len(args) > 2 {
		fmt.Fprintln(os.Stderr, "fuzz: want a time and a regexp, or see -h:", args, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = r.all(ctx)
	if stop(); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// A run runs targets.
type run struct {
	targets []target
	limit   time.Duration // no target begins later; 0: any does
	began   time.Time
	built   string // the folder of the programs
	cache   string // the folder of inputs; "": in Go's cache
	workers int    // of each target

	begun, tried, executions atomic.Int64
	failed                   atomic.Bool
}

// over reports whether no target may begin any more.
func (r *run) over(ctx context.Context) bool {
	return ctx.Err() != nil || r.limit > 0 && time.Since(r.began) >= r.limit
}

// all runs all targets. There is one program for those of a package, which is linked once.
func (r *run) all(ctx context.Context) (err error) {
	if r.built, err = os.MkdirTemp("", "fuzz"); err != nil {
		return err
	}
	defer os.RemoveAll(r.built)
	if r.cache == "" {
		cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
		if err != nil {
			return err
		}
		r.cache = filepath.Join(strings.TrimSpace(string(cache)), "fuzz", "loadstone")
	}
	lanes := min(runtime.GOMAXPROCS(0), len(r.targets))
	r.workers = runtime.GOMAXPROCS(0) / lanes
	compiled := make(chan int) // places in targets
	var work sync.WaitGroup
	for range lanes {
		work.Go(func() {
			for i := range compiled {
				r.try(ctx, i)
			}
		})
	}
	ok := map[string]bool{} // by folder
	for i, t := range r.targets {
		if r.over(ctx) {
			break
		}
		if _, known := ok[t.dir]; !known {
			now("compiling " + t.dir)
			c := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", r.program(t),
				"./"+t.dir)
			c.Stdout, c.Stderr = os.Stderr, os.Stderr
			ok[t.dir] = c.Run() == nil
		}
		if ok[t.dir] {
			compiled <- i
		} else {
			r.failed.Store(true)
		}
	}
	close(compiled)
	work.Wait()
	return errors.Join(ctx.Err(), r.conclude())
}

func (r *run) program(t target) string {
	return filepath.Join(r.built, strings.ReplaceAll(t.dir, "/", "-"))
}

// now shows what is done at the moment, where somebody looks.
func now(what string) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintf(os.Stderr, "        %-60s\r", what)
	}
}

// try runs a target and says what came of it.
func (r *run) try(ctx context.Context, i int) {
	if r.over(ctx) {
		return
	}
	t := r.targets[i]
	r.begun.Add(1)
	now(fmt.Sprintf("%s for %v", t, t.time))
	log, err := r.start(ctx, t, "-test.run=^$", "-test.fuzz=^"+t.name+"$",
		fmt.Sprint("-test.fuzztime=", t.time), "-test.fuzzminimizetime=100x",
		"-test.fuzzcachedir="+filepath.Join(r.cache, t.dir),
		fmt.Sprint("-test.parallel=", r.workers), "-test.timeout=0")
	o := read(log)
	said := ""
	if err != nil && !o.timeUp {
		if o.slow != "" && r.passes(ctx, t, o.slow) {
			said = fmt.Sprintf("\n        %s: %s took longer than ten seconds, and does not alone",
				t, o.slow)
			if o.written {
				os.Remove(filepath.Join(t.dir, "testdata", "fuzz", o.slow))
			}
		} else {
			r.failed.Store(true)
			said = "\n" + lastLines(log, 40)
		}
	}
	fmt.Printf("%2d of %d  %-48s %9d executions, %s%s\n", i+1, len(r.targets), t, o.executions,
		o.kept, said)
	if r.executions.Add(o.executions); o.began {
		r.tried.Add(1)
	}
}

// start runs the program of a target with arguments, and returns what it says.
func (r *run) start(ctx context.Context, t target, args ...string) (string, error) {
	c := exec.CommandContext(ctx, r.program(t), args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it ends its workers
	var log bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = t.dir, &log, &log
	err := c.Run()
	return log.String(), err
}

// passes reports whether an input of a target, Target/input, passes alone.
func (r *run) passes(ctx context.Context, t target, input string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_, err := r.start(ctx, t, "-test.run=^"+strings.Replace(input, "/", "$/^", 1)+"$")
	return err == nil
}

// conclude sums up, and returns why the run has failed.
func (r *run) conclude() error {
	begun, tried := int(r.begun.Load()), int(r.tried.Load())
	fmt.Printf("%d executions of %d targets\n", r.executions.Load(), tried)
	if left := len(r.targets) - begun; left > 0 && r.limit > 0 {
		fmt.Printf("%d targets are left out: %v are over\n", left, r.limit)
	}
	switch {
	case begun > tried: // not even with their corpus
		return fmt.Errorf("%d targets have tried nothing", begun-tried)
	case r.failed.Load():
		return errors.New("a target failed, or does not compile")
	}
	return nil
}

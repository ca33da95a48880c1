package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loadstone/harness/gate"
	"loadstone/harness/report/page"
	"loadstone/harness/terminal"
)

const compareAbout = `Compares two measurements, folders that bench wrote or files in the Go
benchmark format such as their bench.txt, and prints what changed: the medians of the runs, the
change with its 90 % interval, and p of the one-sided Mann-Whitney U test after Holm's correction
over all cells shown. The change is the median of the ratios of all pairs of runs (Hodges and
Lehmann), so it may differ from the ratio of the two medians. A ~ stands where no difference can be
told from chance, and a ? behind a change where there are too few runs to tell. Ratios change by
percentage points (pp).

It only shows: it exits with 0 whatever changed, and says so where the two were measured under
unlike conditions. What has failed, was interrupted or is invalid is shown as well, with another
exit code. Measurements that asked for different things (requests, turns, prompt, goodput, ...)
are refused with the key that differs; -ignore KEY compares them all the same.
loadstone gate decides.`

const compareExamples = `  loadstone compare before after
  loadstone compare -html changes.html before after
  loadstone compare -unit 'p50-*,tok/s' -scenario concurrent-10 before/bench.txt after/bench.txt

Exit codes: 0 compared, 1 the second has failed or is incomplete, 2 the first has, or one is
invalid; the loads are unlike; a file is missing, empty or damaged; or the command line is wrong.
`

// compared is what compare and gate compare: names of files, "" none, and how.
type compared struct {
	base, head, noise string
	gate.Options
}

// selectionFlags are those that compare and gate share.
func selectionFlags(f *flag.FlagSet) func(*compared) {
	scenarios := f.String("scenario", "", "`names` or patterns of scenarios, separated by commas; "+
		"default: all")
	units := f.String("unit", "", "`names` or patterns of units, separated by commas, such as "+
		"'p99-*,tok/s'; default: those that are gated")
	filter := f.String("filter", "", "`expression` of benchstat's filter language, such as model:tiny")
	ignore := f.String("ignore", "", "configuration `keys`, separated by commas, that may differ "+
		"between the two")
	floor := f.String("floor", "", "`file` of A/A measurements (loadstone gate -aa); default: "+
		"beside the base, .floor in place of .txt, if it is there")
	alpha := f.Float64("alpha", 0.05, "chance of a false alarm, all cells together")
	return func(o *compared) {
		o.base, o.head = benchFile(o.base), benchFile(o.head)
		o.Scenarios, o.Units, o.Ignore = commas(*scenarios), commas(*units), commas(*ignore)
		o.Filter, o.noise, o.Alpha = *filter, *floor, *alpha
		beside := strings.TrimSuffix(o.base, ".txt") + ".floor"
		if _, err := os.Stat(beside); o.noise == "" && o.base != "" && err == nil {
			o.noise = beside
		}
	}
}

func commas(s string) []string {
	if s == "" {
		return nil
	}
	var all []string
	for part := range strings.SplitSeq(s, ",") {
		all = append(all, strings.TrimSpace(part))
	}
	return all
}

func compareCommand(_ context.Context, e *env, args []string) error {
	f := flags("compare", compareAbout, compareExamples, e.stdout)
	selected := selectionFlags(f.FlagSet)
	var o compared
	html := f.String("html", "", "also write the comparison as one page to look at to this `file`")
	f.BoolVar(&o.All, "all", false, "all units, not only those that are gated")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() != 2 {
		return usageError("want two measurements, before and after; loadstone compare -h shows examples")
	}
	o.base, o.head = f.Arg(0), f.Arg(1)
	selected(&o)
	c, err := compareFiles(o)
	if err != nil {
		return err
	}
	if err := c.UnlikeLoads(); err != nil {
		return usageError("unlike loads: %w; -ignore with the key compares them all the same", err)
	}
	if *html != "" {
		if err := writeFile(*html, func(w io.Writer) error {
			return page.WriteComparison(w, c)
		}); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.stdout, "base %s\nhead %s\n\n", o.base, o.head)
	if err := c.WriteTable(e.stdout, terminal.Color(e.stdout), false); err != nil {
		return err
	}
	var failed *gate.FailedError
	if err := c.Sound(); errors.As(err, &failed) {
		return failedExit(failed)
	}
	return nil
}

// failedExit gives the error of a file that is not a sound measurement its exit code: one says that
// the head has failed, the other that there is nothing to compare the head with.
func failedExit(failed *gate.FailedError) error {
	if failed.ByHead() {
		return &exitError{exitFailed, failed}
	}
	return &exitError{exitUsage, failed}
}

// compareFiles compares; whatever is wrong with files or options is a usage error.
func compareFiles(o compared) (*gate.Comparison, error) {
	if !(o.Alpha > 0 && o.Alpha < 1) {
		return nil, usageError("-alpha is %g; want more than 0 and less than 1", o.Alpha)
	}
	base, err := readBench(o.base)
	if err != nil {
		return nil, usageError("%w", err)
	}
	head, err := readBench(o.head)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if o.noise != "" {
		if o.Noise, err = readBench(o.noise); err != nil {
			return nil, usageError("%w", err)
		}
	}
	c, err := gate.Compare(base, head, o.Options)
	if err != nil {
		return nil, gateError(err)
	}
	return c, nil
}

// readBench reads a benchmark file.
func readBench(name string) (gate.File, error) {
	text, err := os.ReadFile(name)
	dir := filepath.Dir(name)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case missing && hasJournal(dir):
		err = fmt.Errorf("%w; loadstone report %s makes it of what a measurement that did not end "+
			"had written", err, dir)
	case missing:
		err = fmt.Errorf("%s does not exist; want a folder that bench or run wrote, or its bench.txt",
			name)
	}
	return gate.File{Name: name, Reader: bytes.NewReader(text)}, err
}

// gateError is an error of package gate as a usage error, with the flags that it is about.
func gateError(err error) error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	if failed, ok := errors.AsType[*gate.FailedError](err); ok && len(all) == 1 {
		return failedExit(failed)
	}
	for i := range all {
		all[i] = wayOut(all[i])
	}
	return usageError("%w", errors.Join(all...))
}

// wayOut adds to an error of package gate what the user can do about it.
func wayOut(err error) error {
	var option *gate.OptionError
	var empty *gate.EmptyError
	var mixed *gate.MixedError
	switch {
	case errors.As(err, &option):
		return fmt.Errorf("-%w", err)
	case errors.As(err, &empty) && empty.Filter != "":
		return fmt.Errorf("%w; -filter chooses others", err)
	case errors.As(err, &empty):
		return fmt.Errorf("%w; loadstone bench writes one", err)
	case errors.As(err, &mixed):
		return fmt.Errorf("%w; choose with -filter", err)
	}
	return err
}

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loadstone/harness/gate"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/report/page"
)

const reportAbout = `Makes the report of a measurement again from what was recorded: record first,
report later. FOLDER is what bench wrote, or its records.jsonl alone, in which case the report
knows less of the machine and the server. All figures are computed anew.

It writes report.html, baseline.md, bench.txt, results.json, summary.csv and requests.csv into the
same folder, or -out, and prints the table. Of a measurement that was killed, or found the disk
full, it makes the report of what had been written by then, and says that it is incomplete. With
-compare the page also shows what changed since another measurement, with intervals.

Several folders are the parts of one load that several load generators, on as many machines, put
on one server at the same time: each runs the scenario with a -seed of its own and a duration.
-out gets the whole. Parts that failed or were interrupted, that asked for different things, that
have a request in common, or that have the same seed are refused.`

const reportExamples = `  loadstone report loadstone-results/20261124-120000
  loadstone report -out /tmp/again records.jsonl
  loadstone report -compare before after
  loadstone report -out all from-host-a from-host-b
  loadstone report -goodput 'ttft<300ms,tpot<50ms' after
  loadstone report -json after | jq '.scenarios[] | [.scenario, .all.times.e2e.p99_ns]'

Exit codes: 0 done, 1 a file cannot be read or written, or the parts make a measurement that is
invalid, 2 wrong command line, or measurements that cannot be compared or put together.
`

// reportOptions are the command line of report.
type reportOptions struct {
	folders   []string // of the results, or of the parts of a load
	out, base string
	objective load.Objective
	json      bool
	seal      sealOptions
}

func reportCommand(_ context.Context, e *env, args []string) error {
	o, err := parseReport(e, args)
	if err != nil {
		return err
	}
	r, dir, err := readParts(o.folders)
	if err != nil {
		return err
	}
	if o.objective != (load.Objective{}) {
		if err := r.SetGoodput(o.objective); err != nil {
			return err
		}
	}
	if hasJournal(dir) && len(o.folders) == 1 {
		defer func() {
			fmt.Fprintf(e.stderr, "note: this measurement did not come to its end: %s\n", r.Stopped)
		}()
	}
	o.out = cmp.Or(o.out, dir)
	if err := o.write(e, r, dir); err != nil {
		return err
	}
	if err := printResults(e, o.out, r, o.json); err != nil {
		return err
	}
	if why := r.Invalid(); len(o.folders) > 1 && len(why) > 0 {
		return &exitError{exitFailed, fmt.Errorf("the whole is an invalid measurement: %s", why[0])}
	}
	return nil
}

func parseReport(e *env, args []string) (*reportOptions, error) {
	o := &reportOptions{}
	f := flags("report", reportAbout, reportExamples, e.stdout)
	f.StringVar(&o.out, "out", "", "`folder` for the files; default: where the records are")
	f.StringVar(&o.base, "compare", "", "`folder` of an earlier measurement, or its bench.txt, to "+
		"compare with")
	goodputFlag(f, &o.objective)
	f.BoolVar(&o.json, "json", false, "print the results as JSON instead of a table")
	o.seal.flags(f)
	if err := errors.Join(f.parse(args), o.seal.settle()); err != nil {
		return nil, err
	}
	o.folders = f.Args()
	switch {
	case len(o.folders) == 0:
		return nil, usageError("want a folder that bench or run wrote, or a records.jsonl; loadstone " +
			"report -h shows examples")
	case len(o.folders) > 1 && o.out == "":
		return nil, usageError("several folders are the parts of one load; -out says where the whole " +
			"is to be written")
	}
	return o, nil
}

// write writes all forms of a report whose records are in dir, and seals them where records lie
// beside them.
func (o *reportOptions) write(e *env, r *report.Report, dir string) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var err error
	if len(o.folders) > 1 {
		r.Proof = &report.Proof{Program: programSum()}
		err = errors.Join(writeRecords(o.out, r, true), sumRaw(o.out, r), writeForms(o.out, r))
	} else {
		err = errors.Join(sumRaw(dir, r), writeForms(o.out, r))
	}
	if err != nil {
		return err
	}
	if o.base != "" {
		err = setBeside(r, o.base, o.out)
	}
	if _, statErr := os.Stat(filepath.Join(o.out, "records.jsonl")); statErr == nil {
		err = errors.Join(err, o.seal.seal(e, o.out, o.base != "" && err == nil))
	} else if o.seal.zip != "" && err == nil {
		err = usageError("-zip packs results with their records, and %s has none: leave -out out", o.out)
	}
	return err
}

// setBeside writes the page once more, with an earlier measurement beside the report's own.
func setBeside(r *report.Report, base, dir string) error {
	c, err := compareFiles(compared{base: benchFile(base), head: filepath.Join(dir, "bench.txt"),
		Options: gate.Options{Alpha: 0.05}})
	if err != nil {
		return err
	}
	if err := c.UnlikeLoads(); err != nil {
		return usageError("%s cannot be set beside it: unlike loads: %w", base, err)
	}
	earlier := &page.Earlier{Comparison: c}
	// The benchmark lines are enough to compare; the curves are a bonus where the requests are
	// kept.
	if before, _, err := readReport(base); err == nil {
		earlier.Report = before
	}
	return writeFile(filepath.Join(dir, "report.html"),
		func(w io.Writer) error { return page.Write(w, r, earlier) })
}

// readParts reads a measurement, or the parts of one that several load generators made at the same
// time.
func readParts(names []string) (r *report.Report, dir string, err error) {
	if len(names) == 1 {
		return readReport(names[0])
	}
	parts := make([]*report.Report, len(names))
	for i, name := range names {
		if parts[i], dir, err = readReport(name); err != nil {
			return nil, "", err
		}
	}
	if r, err = report.Merge(parts); err != nil {
		var other *report.GoodputError
		if errors.As(err, &other) {
			err = fmt.Errorf("%w; report -goodput judges it anew", err)
		}
		return nil, "", usageError("%s are not parts of one load: %w", strings.Join(names, ", "), err)
	}
	return r, dir, nil
}

// benchFile is the benchmark file of a folder of results; a file is itself.
func benchFile(name string) string {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return filepath.Join(name, "bench.txt")
	}
	return name
}

// readReport reads a folder of results, or a file of records and what lies beside it, and returns
// its folder as well.
func readReport(name string) (r *report.Report, dir string, err error) {
	file := name
	if info, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%s does not exist; want a folder that bench or run wrote, or "+
			"its records.jsonl", name)
	} else if err != nil {
		return nil, "", err
	} else if info.IsDir() {
		file = filepath.Join(name, "records.jsonl")
	}
	dir = filepath.Dir(file)
	if base := filepath.Base(file); hasJournal(dir) &&
		(base == "records.jsonl" || base == journalFile) {
		r, err = readJournal(dir)
		return r, dir, err
	}
	records, err := readLines(file, record.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%s has no records.jsonl; want a folder that bench or run wrote", name)
	}
	if err != nil {
		return nil, "", err
	}
	samples, err := readLines(filepath.Join(dir, "samples.jsonl"), record.ReadSamples)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	results, err := os.Open(filepath.Join(dir, "results.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r, err = report.Read(nil, records, samples)
	case err != nil:
		return nil, "", err
	default:
		defer results.Close()
		r, err = report.Read(results, records, samples)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", dir, err)
	}
	return r, dir, nil
}

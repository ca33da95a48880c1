package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"loadstone/harness/gate"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

const reportAbout = `Makes the report of a measurement again from what was recorded: record first, report later. FOLDER is what bench wrote, or
its records.jsonl alone, in which case the report knows less of the machine and the server. All figures are computed anew.

It writes report.html, baseline.md, bench.txt, results.json, summary.csv and requests.csv into the same folder, or -out,
and prints the table. With -compare the page also shows what changed since another measurement, with intervals.`

const reportExamples = `  loadstone report loadstone-results/20261124-120000
  loadstone report -out /tmp/again records.jsonl
  loadstone report -compare before after
  loadstone report -goodput 'ttft<300ms,tpot<50ms' after
  loadstone report -json after | jq '.scenarios[] | [.scenario, .all.times.e2e.p99_ns]'

Exit codes: 0 done, 1 a file cannot be read or written, 2 wrong command line, or measurements that cannot be compared.
`

func reportCommand(_ context.Context, e *env, args []string) error {
	f := flags("report", reportAbout, reportExamples, e.stdout)
	out := f.String("out", "", "`folder` for the files; default: where the records are")
	base := f.String("compare", "", "`folder` of an earlier measurement, or its bench.txt, to compare with")
	var objective load.Objective
	goodputFlag(f, &objective)
	asJSON := f.Bool("json", false, "print the results as JSON instead of a table")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return usageError("want one folder that bench wrote, or a records.jsonl; loadstone report -h shows examples")
	}
	r, dir, err := readReport(f.Arg(0))
	if err != nil {
		return err
	}
	if objective != (load.Objective{}) {
		r.SetGoodput(objective)
	}
	if *out == "" {
		*out = dir
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	if err := writeForms(*out, r, r.WriteHTML); err != nil {
		return err
	}
	if *base != "" {
		c, err := compareOptions(gate.Options{Base: benchFile(*base), Head: filepath.Join(*out, "bench.txt"), Alpha: 0.05})
		if err != nil {
			return err
		}
		r.Comparison = c
		// The benchmark lines are enough to compare; the curves are a bonus where the requests are kept.
		if before, _, err := readReport(*base); err == nil {
			r.Before = before
		}
		if err := writeFile(filepath.Join(*out, "report.html"), r.WriteHTML); err != nil {
			return err
		}
	}
	return printResults(e, *out, r, *asJSON)
}

// benchFile is the benchmark file of a folder of results; a file is itself.
func benchFile(name string) string {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return filepath.Join(name, "bench.txt")
	}
	return name
}

// readReport reads a folder of results, or a file of records and what lies beside it, and returns its folder as well.
func readReport(name string) (r *report.Report, dir string, err error) {
	file := name
	if info, err := os.Stat(name); err != nil {
		return nil, "", err
	} else if info.IsDir() {
		file = filepath.Join(name, "records.jsonl")
	}
	dir = filepath.Dir(file)
	records, err := readLines(file, record.Read)
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

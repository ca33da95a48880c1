package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"loadstone/harness"
	"loadstone/harness/report"
)

// results is the folder a measurement is written to.
type results struct {
	dir       string
	fresh     bool // made by us
	serverLog *os.File
}

func newResults(dir string) (*results, error) {
	_, err := os.Stat(dir)
	r := &results{dir: dir, fresh: err != nil}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	// The access log is appended to by the server: an older one would be counted again.
	os.Remove(r.path("access.log"))
	r.serverLog, err = os.OpenFile(r.path("server.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	return r, nil
}

func (r *results) path(name string) string { return filepath.Join(r.dir, name) }

func (r *results) closeLogs() { r.serverLog.Close() }

// giveUp takes the folder away again: nothing was measured. Only what the server said before it failed stays.
func (r *results) giveUp(err error) error {
	var coded *exitError
	info, statErr := r.serverLog.Stat()
	if !errors.As(err, &coded) && statErr == nil && info.Size() > 0 {
		return fmt.Errorf("%w (its log is %s)", err, r.path("server.log"))
	}
	if r.fresh {
		os.Remove(r.path("server.log"))
		os.Remove(r.path("access.log"))
		os.Remove(r.dir)
		os.Remove(filepath.Dir(r.dir)) // succeeds only if it is empty, too
	}
	return err
}

// write writes every form of the report. A form that fails does not keep the others from being written.
func (r *results) write(rep *report.Report, answers bool) error {
	var records []harness.Record
	var samples []harness.Sample
	for _, s := range rep.Scenarios {
		records = append(append(records, s.Warmup...), s.Records...)
		samples = append(samples, s.Samples...)
	}
	first := errors.Join(harness.WriteRecords(r.path("records.jsonl"), records, answers),
		harness.WriteSamples(r.path("samples.jsonl"), samples))
	for _, form := range []struct {
		name  string
		write func(io.Writer) error
	}{{"bench.txt", rep.WriteBench}, {"baseline.md", rep.WriteBaseline}, {"report.html", rep.WriteHTML}} {
		if err := writeFile(r.path(form.name), form.write); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

// print tells the results and where the files are.
func (r *results) print(e *env, rep *report.Report, asJSON bool) error {
	if asJSON {
		return r.printJSON(e.stdout, rep)
	}
	fmt.Fprintln(e.stdout)
	if err := rep.WriteTable(e.stdout, report.Color(e.stdout)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "\n%s    to look at\n%s    the baseline document\n%s      for benchstat\n%s  every request\n",
		r.path("report.html"), r.path("baseline.md"), r.path("bench.txt"), r.path("records.jsonl"))
	return err
}

// printJSON is the table for programs. Latencies are in nanoseconds; one that never came is the largest int64.
func (r *results) printJSON(w io.Writer, rep *report.Report) error {
	type scenario struct {
		harness.Summary
		Agents int
		Cache  string
	}
	var scenarios []scenario
	for _, s := range rep.Scenarios {
		scenarios = append(scenarios, scenario{s.Pooled, s.Agents, s.Cache})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		System    report.System
		Host      report.Host
		Load      report.Load
		Start     time.Time
		StartUp   time.Duration
		Scenarios []scenario
		Targets   []report.Verdict
		Stopped   string
		Dir       string
	}{rep.System, rep.Host, rep.Load, rep.Start, rep.StartUp, scenarios, rep.Judge(), rep.Stopped, r.dir})
}

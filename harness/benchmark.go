package harness

import (
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// Benchmark measures a target under loads, those of the five scenarios of every baseline if none
// are given, each as a sub-benchmark. It prints one line a load and run of the benchmark, so that
// -count 6 gives benchstat and loadstone gate six samples, in the units of bench.txt and after the
// Unit lines that say which way is better, and the Load lines by which gate and compare refuse
// unlike loads (see [load.Identity]). An iteration is one run of the load; those that fit into
// -benchtime are one sample, and -benchtime 1x makes it exactly one.
//
// A benchmark fails whose requests fail, or whose answers are another agent's.
func Benchmark(b *testing.B, t Target, loads ...load.Load) {
	b.Helper()
	if len(loads) == 0 {
		files, err := scenario.Five()
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range files {
			loads = append(loads, f.Load)
		}
	}
	unitLines.Do(func() { figure.WriteUnits(os.Stdout) })
	for _, l := range loads {
		l = l.Filled()
		b.Run(l.Key(load.Level{}).String(), func(b *testing.B) { benchmark(b, t, l) })
	}
}

// loadLines are printed once for each load, before its first result: testing runs a benchmark once
// before it prints the name. benchmark lines of one name are of one load.
var loadLines sync.Map

// printLoad prints the identity of a benchmark's load, as report.WriteBench does.
func printLoad(b *testing.B, t Target, l load.Load) {
	name := strings.TrimPrefix(b.Name(), "Benchmark")
	asked := l.Identity().With("body", t.Body.String()).With("api", t.API.Aspect())
	line := asked.BenchLine(name, l.Goodput.String())
	if _, printed := loadLines.LoadOrStore(line, true); !printed {
		fmt.Print(line)
	}
}

// unitLines are printed once, before the first result. A benchmark with sub-benchmarks has no line
// of its own that they could fall into.
var unitLines sync.Once

// benchmark is one line.
func benchmark(b *testing.B, t Target, l load.Load) {
	printLoad(b, t, l)
	h := New(b, t)
	h.Plan.Again = AskedAgain
	var runs []record.Run
	for b.Loop() {
		run, err := h.Run(b.Context(), l)
		if err != nil {
			b.Fatal(err)
		}
		if len(run.Violations) > 0 {
			b.Fatalf("%d violations, the first: %v", len(run.Violations), run.Violations[0])
		}
		runs = append(runs, run)
	}
	s := record.Pool(runs)
	if s.ErrorRatio > 0 {
		b.Errorf("%.1f %% of the requests failed: %v", 100*s.ErrorRatio, s.Outcomes)
	}
	b.ReportMetric(0, "ns/op") // is not shown: what a run takes says nothing of a request
	for _, f := range figure.Bench() {
		if v, ok := f.BenchValue(&s); ok && !math.IsInf(v, 0) {
			b.ReportMetric(v, f.BenchUnit())
		}
	}
}

package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

const readme = "../../README.md"

// TestREADMETable keeps the README's table to what the committed baselines say: it is made from
// them, with -update-scripts.
func TestREADMETable(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- benchdata -->\n", "<!-- /benchdata -->"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s ... %s", readme, begin, end)
	}
	want := head + begin + baselineTable(t) + end + tail
	if string(text) == want {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not what benchdata/baseline says; make it anew with: go test ./harness/command -run README -update-scripts", readme)
	}
	if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestREADMEBench: the README shows the columns that bench prints, those of the report's golden
// table but for the last one, which is there if there is something to show in it.
func TestREADMEBench(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("../report/testdata/table.txt")
	if err != nil {
		t.Fatal(err)
	}
	columns := strings.Fields(strings.Split(string(golden), "\n")[1])
	want := strings.Join(columns[:len(columns)-1], " ")
	for line := range strings.Lines(string(text)) {
		if strings.Join(strings.Fields(line), " ") == want {
			return
		}
	}
	t.Errorf("%s has no line with the columns %q", readme, want)
}

// baselineTable is the table in Markdown: a row for each model and scenario. The README begins with
// what the embedded model, tiny, is measured at, so the table leaves it out.
func baselineTable(t *testing.T) string {
	files, err := filepath.Glob("../../benchdata/baseline/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no baselines: %v", err)
	}
	var b strings.Builder
	b.WriteString("| model | scenario | first token p50 | p50 | p95 | p99 | tok/s | hit rate |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, file := range files {
		if filepath.Base(file) == "tiny.txt" {
			continue
		}
		in := benchfmt.Files{Paths: []string{file}}
		var names []string
		values := map[string]map[string][]float64{} // by scenario and unit
		var model string
		for in.Scan() {
			r, ok := in.Result().(*benchfmt.Result)
			if !ok {
				continue
			}
			// The backend mlx was called metal when the first baselines were made.
			model = r.GetConfig("model") + " on " + strings.Replace(r.GetConfig("backend"), "metal", "mlx", 1)
			_, name, _ := strings.Cut(string(r.Name), "scenario=")
			name, _, _ = strings.Cut(name, "/")
			if values[name] == nil {
				values[name] = map[string][]float64{}
				names = append(names, name)
			}
			for _, v := range r.Values {
				values[name][v.Unit] = append(values[name][v.Unit], v.Value)
			}
		}
		if err := in.Err(); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			of := values[name]
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %.0f | %s |\n", model, name, milli(of["p50-ttft-sec"], 0),
				milli(of["p50-e2e-sec"], 0.5), milli(of["p95-e2e-sec"], 2), milli(of["p99-e2e-sec"], 5), median(of["tok/s"]), hits(name, of["hit-ratio"]))
			model = ""
		}
	}
	return b.String()
}

func median(values []float64) float64 {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), 0.95).Center
}

// milli prints seconds as milliseconds, in bold where they miss a limit.
func milli(values []float64, limit float64) string {
	m := median(values)
	s := fmt.Sprintf("%.3g ms", m*1000)
	if m >= 1 {
		s = fmt.Sprintf("%.0f ms", m*1000)
	}
	if limit > 0 && m >= limit {
		return "**" + s + "**"
	}
	return s
}

func hits(scenario string, ratio []float64) string {
	m := median(ratio)
	switch {
	case scenario == "single-cold" || scenario == "pool-pressure":
		return "cold"
	case m <= 0.8:
		return fmt.Sprintf("**%.0f %%**", m*100)
	}
	return fmt.Sprintf("%.0f %%", m*100)
}

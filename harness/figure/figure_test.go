package figure_test

import (
	"strings"
	"testing"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/record"
)

// Every name is there once, and so is every spelling that was used before; a figure of a benchmark
// line has a direction.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range figure.All() {
		if seen[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		seen[f.Name] = true
		if f.Bench && f.Better == "" {
			t.Errorf("nothing says which way %s is better", f.Name)
		}
	}
	for former, name := range map[string]string{"goodput": "goodput-req/s",
		"goodput_req_per_s": "goodput-req/s", "good_rate": "good-ratio",
		"good_ratio": "good-ratio", "hit_rate": "hit-ratio", "error_rate": "error-ratio",
		"peak_pool": "peak-pool-ratio", "tok_per_s": "tok/s"} {
		if f, ok := figure.Find(former); !ok || f.Name != name || seen[former] {
			t.Errorf("%s is %q, want %s alone", former, f.Name, name)
		}
	}
}

// A summary without a request has no figure that is not a count, and none is NaN.
func TestFiguresOfNothing(t *testing.T) {
	s := record.Summarize("x", nil, 0, -1)
	for _, f := range figure.All() {
		v, measured := f.Value(&s)
		if v != v {
			t.Errorf("%s is NaN", f.Name)
		}
		if counted := f.Unit == figure.Requests || f.Name == "elapsed"; measured != counted {
			t.Errorf("%s of nothing: %g, measured %v", f.Name, v, measured)
		}
	}
}

// The names in the help and the units of benchmark lines are those of the table.
func TestSpellings(t *testing.T) {
	for _, f := range figure.Scalars() {
		if !strings.Contains(figure.Names(), f.Name) {
			t.Errorf("the help does not name %s", f.Name)
		}
	}
	for unit, times := range map[string]string{"n-e2e": "e2e", "n-itl": "itl", "n-x": "",
		"e2e": ""} {
		if got, ok := figure.SizedTimes(unit); ok != (times != "") || ok && got != times {
			t.Errorf("%s is of %q, %v", unit, got, ok)
		}
	}
	for name, want := range map[string]bool{"p95-ttft": true, "ttft": true, "mean-e2e": true,
		"elapsed": true, "rejected": false,
		"hit-ratio": false, "sec/op": false, "n-e2e": false} {
		if figure.IsTime(name) != want {
			t.Errorf("%s is a time: %v", name, !want)
		}
	}
}

// Where nothing was answered, tokens came at a rate of 0, which is a figure. What was answered
// without usage and in one piece has none.
func TestTokenRateOfNothing(t *testing.T) {
	f, _ := figure.Find("tok/s")
	failed := record.Summarize("x", []record.Record{{Outcome: record.Failed}, {Outcome: record.Empty, OutputTokens: 6}}, time.Second, -1)
	v, measured := f.BenchValue(&failed)
	if v != 0 || !measured {
		t.Errorf("%v, %v", v, measured)
	}
	whole := record.Summarize("x", []record.Record{{Outcome: record.OK, OutputTokens: -1, PromptTokens: -1}}, time.Second, -1)
	if _, measured := f.BenchValue(&whole); measured {
		t.Error("measured")
	}
	if n, _ := figure.Find("empty"); n.Name != "empty" {
		t.Error("no figure of empty answers")
	}
}

// A tail of gaps is gated, and what older baselines lack is not.
func TestPaceInBenchLines(t *testing.T) {
	for name, gated := range map[string]bool{"p50-itl": true, "p99-itl": true, "p50-tpot": false, "max-itl": false, "stall-ratio": false} {
		f, _ := figure.Find(name)
		if !f.Bench || f.Rule.Gated != gated || !f.Rule.Sparse {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

package page

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/report"
	"loadstone/harness/stats"
)

// compared is a comparison of the fixed report with one in which one scenario became slower by so
// much.
func compared(t *testing.T, factor float64) *gate.Comparison {
	t.Helper()
	head := fixed()
	for i := range head.Results[3].Runs {
		d := &head.Results[3].Runs[i].E2E
		for _, v := range []*time.Duration{&d.P50, &d.P95, &d.P99} {
			*v = time.Duration(float64(*v) * factor)
		}
	}
	return compareReports(t, fixed(), head, gate.Options{All: true})
}

// compareReports compares two reports by their benchmark lines.
func compareReports(t *testing.T, base, head *report.Report, o gate.Options) *gate.Comparison {
	t.Helper()
	var files [2]gate.File
	for i, r := range []*report.Report{base, head} {
		var b bytes.Buffer
		if err := r.WriteBench(&b); err != nil {
			t.Fatal(err)
		}
		files[i] = gate.File{Name: fmt.Sprint(i), Reader: &b}
	}
	c, err := gate.Compare(files[0], files[1], o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestForest(t *testing.T) {
	c := compared(t, 1.5)
	f := newForest(c)
	if f.Verdict != fmt.Sprintf("3 cells of %d got worse", len(c.Cells)) {
		t.Errorf("verdict is %q", f.Verdict)
	}
	rows := 0
	for _, g := range f.Groups {
		for _, r := range g.Rows {
			rows++
			if r.Interval && (r.Lo > r.At || r.At > r.Hi) {
				t.Errorf("%s: %g is not within %g..%g", r.Label, r.At, r.Lo, r.Hi)
			}
			slower := strings.HasSuffix(g.Unit, "-e2e") && r.Scenario == "concurrent-10"
			if slower != (r.Kind == "worse") || slower != (r.At > f.Middle+20) {
				t.Errorf("%s is %s at %g, middle %g", r.Label, r.Kind, r.At, f.Middle)
			}
		}
	}
	if rows != len(c.Cells) {
		t.Errorf("%d rows for %d cells", rows, len(c.Cells))
	}
	if got := newForest(compared(t,
		1)).Verdict; got != "no change that could be told from chance and mattered" {
		t.Errorf("of two equal measurements: %q", got)
	}
	if got := newForest(compared(t,
		0.5)).Verdict; got != fmt.Sprintf("nothing got worse; 3 cells of %d got better",
		len(c.Cells)) {
		t.Errorf("of a faster one: %q", got)
	}
}

// Two measurements of a few runs are not called worse, and not fine either.
func TestForestOfFewRuns(t *testing.T) {
	var sides [2]*report.Report
	for i := range sides {
		r := fixed()
		for j := range r.Results {
			r.Results[j].Runs = r.Results[j].Runs[5*i : 5*i+4]
		}
		sides[i] = r
	}
	c := compareReports(t, sides[0], sides[1], gate.Options{})
	f := newForest(c)
	if !strings.HasPrefix(f.Verdict, "too few runs to tell in ") {
		t.Errorf("verdict is %q", f.Verdict)
	}
	for _, g := range f.Groups {
		for _, r := range g.Rows {
			if g.Unit != "error-ratio" && r.Kind != "open" { // one error is told without statistics
				t.Errorf("%s is %s, want open", r.Label, r.Kind)
			}
		}
	}
}

// More tokens a second stand on the better side, though the number rose; a run of failures is at
// the edge, not off it.
func TestForestSides(t *testing.T) {
	head := fixed()
	for i := range head.Results[0].Runs {
		head.Results[0].Runs[i].TokensPerSec *= 2
		head.Results[1].Runs[i].E2E.P99 = stats.Never
	}
	c := compareReports(t, fixed(), head, gate.Options{})
	f := newForest(c)
	for _, g := range f.Groups {
		for _, r := range g.Rows {
			switch {
			case g.Unit == "tok/s" && r.Scenario == "single-cold" &&
				!(r.Kind == "better" && r.At < f.Middle):
				t.Errorf("twice the tokens are %s at %g", r.Kind, r.At)
			case g.Unit == "p99-e2e" && r.Scenario == "single-cached" &&
				!(r.Kind == "worse" && r.At > f.Middle && r.At <= f.Width && r.CutHi):
				t.Errorf("never is %s at %g of %g", r.Kind, r.At, f.Width)
			}
		}
	}
	var b bytes.Buffer
	if err := WriteComparison(&b, c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Error("a number that is none was drawn")
	}
}

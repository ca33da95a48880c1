package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/stats"
)

// compared is a comparison of the fixed report with one in which one scenario became slower by so much.
func compared(t *testing.T, factor float64) *gate.Comparison {
	t.Helper()
	head := fixed()
	for i := range head.Scenarios[3].Runs {
		d := &head.Scenarios[3].Runs[i].E2E
		for _, v := range []*time.Duration{&d.P50, &d.P95, &d.P99} {
			*v = time.Duration(float64(*v) * factor)
		}
	}
	dir := t.TempDir()
	var paths []string
	for i, r := range []*Report{fixed(), head} {
		var b bytes.Buffer
		if err := r.WriteBench(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.txt", i))
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	c, err := gate.Compare(gate.Options{Base: paths[0], Head: paths[1], All: true})
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
	if got := newForest(compared(t, 1)).Verdict; got != "no change that could be told from chance and mattered" {
		t.Errorf("of two equal measurements: %q", got)
	}
	if got := newForest(compared(t, 0.5)).Verdict; got != fmt.Sprintf("nothing got worse; 3 cells of %d got better", len(c.Cells)) {
		t.Errorf("of a faster one: %q", got)
	}
}

// Two measurements of a few runs are not called worse, and not fine either.
func TestForestOfFewRuns(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 2 {
		r := fixed()
		for j := range r.Scenarios {
			r.Scenarios[j].Runs = r.Scenarios[j].Runs[5*i : 5*i+4]
		}
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		var b bytes.Buffer
		r.WriteBench(&b)
		if err := os.WriteFile(paths[i], b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := gate.Compare(gate.Options{Base: paths[0], Head: paths[1]})
	if err != nil {
		t.Fatal(err)
	}
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

// More tokens a second stand on the better side, though the number rose; a run of failures is at the edge, not off it.
func TestForestSides(t *testing.T) {
	head := fixed()
	for i := range head.Scenarios[0].Runs {
		head.Scenarios[0].Runs[i].TokensPerSec *= 2
		head.Scenarios[1].Runs[i].E2E.P99 = stats.Never
	}
	dir := t.TempDir()
	var paths []string
	for i, r := range []*Report{fixed(), head} {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		var b bytes.Buffer
		r.WriteBench(&b)
		if err := os.WriteFile(paths[i], b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := gate.Compare(gate.Options{Base: paths[0], Head: paths[1]})
	if err != nil {
		t.Fatal(err)
	}
	f := newForest(c)
	for _, g := range f.Groups {
		for _, r := range g.Rows {
			switch {
			case g.Unit == "tok/s" && r.Scenario == "single-cold" && !(r.Kind == "better" && r.At < f.Middle):
				t.Errorf("twice the tokens are %s at %g", r.Kind, r.At)
			case g.Unit == "p99-e2e" && r.Scenario == "single-cached" && !(r.Kind == "worse" && r.At > f.Middle && r.At <= f.Width && r.CutHi):
				t.Errorf("never is %s at %g of %g", r.Kind, r.At, f.Width)
			}
		}
	}
	var b bytes.Buffer
	if err := WriteComparisonHTML(&b, c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Error("a number that is none was drawn")
	}
}

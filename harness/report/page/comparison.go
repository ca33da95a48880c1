package page

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"loadstone/harness/gate"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// WriteComparison writes a comparison as one page that needs nothing else.
func WriteComparison(w io.Writer, c *gate.Comparison) error {
	return templates.ExecuteTemplate(w, "compare", struct {
		Style      template.CSS
		Script     template.JS
		Comparison *forest
	}{template.CSS(style), template.JS(script), newForest(c)})
}

// A forest shows how far each cell moved, with its interval. To the right is worse, whatever the
// unit: times that rose and rates that fell stand on the same side. Distances are logarithms of
// ratios, so that twice as much and half as much are equally far.
type forest struct {
	Base, Head string
	Verdict    string
	Summary    string
	Worse      bool
	Unlike     []string
	NotSound   []string
	Notes      []string
	Groups     []forestGroup
	Width      float64
	Axis       []tick
	Middle     float64
}

type forestGroup struct {
	Unit  string
	About string // which way is better
	Rows  []forestRow
}

type forestRow struct {
	Scenario string
	gate.Row
	Kind            string  // "worse", "better", "same" or "open", for its shape and colour
	At, Lo, Hi      float64 // pixels
	BandLo, BandHi  float64 // within it, changes do not matter
	CutLo, CutHi    bool    // the interval goes on beyond the picture
	Drawn, Interval bool
	Label           string
}

func newForest(c *gate.Comparison) *forest {
	f := &forest{Base: c.Base, Head: c.Head, Summary: c.Summary(), Width: 300, Middle: 150}
	span := math.Log(1.1)
	for i := range c.Cells {
		if d := math.Abs(side(&c.Cells[i], c.Cells[i].Delta)); !math.IsInf(d, 0) && !math.IsNaN(d) {
			span = max(span, 1.3*d)
		}
	}
	span = min(span, math.Log(8))
	x := func(d float64) float64 { return px(f.Middle + f.Middle*0.94*max(-1, min(1, d/span))) }
	for _, p := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 3} {
		if at := math.Log1p(p); at <= span && at > span/5 {
			f.Axis = append(f.Axis, tick{x(-at), fmt.Sprintf("÷%.3g", 1+p)},
				tick{x(at), fmt.Sprintf("×%.3g", 1+p)})
		}
	}
	f.Axis = thinTicks(append(f.Axis, tick{f.Middle, "="}), 36)
	count := map[gate.Verdict]int{}
	for i := range c.Cells {
		cell := &c.Cells[i]
		count[cell.Verdict]++
		f.Worse = f.Worse || cell.Fails()
		row := newForestRow(cell, x, span)
		at := slices.IndexFunc(f.Groups, func(g forestGroup) bool {
			return g.Unit == cell.ShortUnit()
		})
		if at < 0 {
			at = len(f.Groups)
			f.Groups = append(f.Groups, forestGroup{Unit: cell.ShortUnit(),
				About: [...]string{"less is better", "",
					"more is better"}[cell.HigherIsBetter()+1]})
		}
		f.Groups[at].Rows = append(f.Groups[at].Rows, row)
	}
	for _, d := range c.Unlike {
		f.Unlike = append(f.Unlike, d.String())
	}
	for _, failure := range c.Failures {
		f.NotSound = append(f.NotSound, failure.Side+": "+failure.String())
	}
	f.Notes = c.Notes
	f.Worse = f.Worse || len(c.Failures) > 0
	f.Verdict = verdict(count, len(c.Cells), f.Worse)
	return f
}

// verdict says in a sentence what a comparison of so many cells found; fails says that some of them
// keep a gate from passing.
func verdict(count map[gate.Verdict]int, cells int, fails bool) string {
	switch {
	case count[gate.Worse] > 0:
		return fmt.Sprintf("%s of %d got worse", table.Plural(count[gate.Worse], "cell"), cells)
	case count[gate.Few] > 0:
		return fmt.Sprintf("too few runs to tell in %d of %d cells", count[gate.Few], cells)
	case count[gate.Undecided] > 0:
		return fmt.Sprintf("%s of %d changed by no more than another session may",
			table.Plural(count[gate.Undecided], "cell"), cells)
	case fails:
		return "nothing got worse that was measured, but not everything was"
	case count[gate.Better] > 0:
		return fmt.Sprintf("nothing got worse; %s of %d got better",
			table.Plural(count[gate.Better], "cell"), cells)
	default:
		return "no change that could be told from chance and mattered"
	}
}

// thinTicks leaves out labels that would stand closer than so many pixels to one that is nearer to
// the middle.
func thinTicks(ticks []tick, apart float64) []tick {
	var kept []tick
	for i := len(ticks) - 1; i >= 0; i-- { // the middle is last, and before it the widest
		free := true
		for _, k := range kept {
			free = free && math.Abs(k.At-ticks[i].At) >= apart
		}
		if free {
			kept = append(kept, ticks[i])
		}
	}
	return kept
}

// side is a change as a distance towards the worse side.
func side(cell *gate.Cell, change float64) float64 {
	d := change // points are small; a point is drawn as a hundredth
	if !cell.Rule.Points {
		d = math.Log1p(max(change, -1))
	}
	if cell.HigherIsBetter() > 0 {
		return -d
	}
	return d
}

func newForestRow(cell *gate.Cell, x func(float64) float64, span float64) forestRow {
	r := forestRow{Scenario: cell.Scenario, Row: cell.Row(), Kind: "same"}
	switch {
	case cell.Verdict == gate.Few, cell.Verdict == gate.Missing, cell.Verdict == gate.Undecided:
		r.Kind = "open"
	case cell.Fails():
		r.Kind = "worse"
	case cell.Verdict == gate.Better:
		r.Kind = "better"
	}
	r.Label = fmt.Sprintf("%s, %s: %s before, %s after, change %s, 90 %% interval %s, %s",
		cell.ShortUnit(), cell.Scenario, r.Row.Base, r.Row.Head, report.OrUnknown(r.Row.Change),
		report.OrUnknown(r.Row.Interval), report.OrUnknown(r.Row.Verdict))
	if cell.NBase == 0 || cell.NHead == 0 {
		return r
	}
	r.Drawn, r.At = true, x(side(cell, cell.Delta))
	bound := side(cell, cell.Bound)
	r.BandLo, r.BandHi = x(-math.Abs(bound)), x(math.Abs(bound))
	if !cell.Rule.Exact {
		lo, hi := side(cell, cell.Lo), side(cell, cell.Hi)
		lo, hi = min(lo, hi), max(lo, hi)
		r.Interval = !math.IsNaN(lo) && !math.IsNaN(hi)
		r.Lo, r.Hi, r.CutLo, r.CutHi = x(lo), x(hi), lo < -span, hi > span
	}
	return r
}

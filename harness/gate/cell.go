package gate

import (
	"math"

	"golang.org/x/perf/benchmath"

	"loadstone/harness/figure"
	"loadstone/harness/table"
)

// Verdict is what a cell comes to.
type Verdict string

const (
	Same   Verdict = "~"      // no difference that the test can find
	Small  Verdict = "small"  // a difference, smaller than what matters
	Better Verdict = "better" // a difference that matters
	Worse  Verdict = "worse"  // a difference that matters
	// Changed is a difference that matters, where the files do not say which way is better.
	Changed Verdict = "changed"
	Missing Verdict = "missing"      // one side was not measured
	Few     Verdict = "too few runs" // no outcome could have been significant
	// Sparse says that most runs of the base have no such value, as it is for this load.
	Sparse Verdict = "sparse"
	// Undecided is a difference that matters and is no larger than what two sessions of one server
	// may differ by: the sides were not measured in turns, and no noise floor says what sessions
	// do.
	Undecided Verdict = "undecided"
	// Accepted is worse, and no worse than what somebody has accepted.
	Accepted Verdict = "accepted"
	// Client is worse, but the load generator's lag grew by half of that or more.
	Client Verdict = "client"
)

// A Cell is one unit of one scenario, on both sides.
type Cell struct {
	Scenario, Name, Unit string // Name is the benchmark's full name

	Base, Head   benchmath.Summary // median and 95 % interval of the runs
	NBase, NHead int
	Estimate
	P       float64 // of the one-sided U test, after Holm; 1 where it was not made
	Bound   float64 // the change has to be larger to count
	Floor   float64 // the noise floor, 0 unknown
	Rule    figure.Rule
	Verdict Verdict
	Why     string // of a verdict that fails

	between bool // the floor is that between sessions
	better  int  // 1 higher, -1 lower, 0 unknown
}

// Fails reports whether the cell keeps the gate from passing.
func (cell *Cell) Fails() bool {
	switch cell.Verdict {
	case Worse, Missing, Few, Client:
		return true
	case Undecided:
		return float64(cell.better)*cell.Delta < 0
	}
	return false
}

// listed reports whether a table of what keeps the gate from passing has the cell.
func (cell *Cell) listed() bool {
	return cell.Fails() && cell.Verdict != Few || cell.Verdict == Accepted
}

func (cell *Cell) style() table.Style {
	switch {
	case cell.Fails():
		return table.BoldRed
	case cell.Verdict == Better:
		return table.BoldGreen
	case cell.Verdict == Accepted:
		return table.Yellow
	}
	return table.Unstyled
}

// A Row is a cell as text.
type Row struct{ Base, Head, Change, Interval, P, Verdict string }

// Row returns the cell's texts.
func (cell *Cell) Row() Row {
	r := Row{Base: "–", Head: "–", Verdict: string(cell.Verdict)}
	if cell.NBase > 0 {
		r.Base = format(cell.Base.Center, cell.Unit)
	}
	if cell.NHead > 0 {
		r.Head = format(cell.Head.Center, cell.Unit)
	}
	if cell.NBase > 0 && cell.NHead > 0 {
		r.Change = "~"
		switch {
		case cell.Verdict == Few && cell.Delta != 0:
			r.Change = delta(cell.Delta, cell.Rule.Points) + " ?"
		case cell.Verdict != Same && cell.Verdict != Few:
			r.Change = delta(cell.Delta, cell.Rule.Points)
		}
		if !cell.Rule.Exact && !math.IsInf(cell.Lo, -1) {
			r.Interval = delta(cell.Lo, cell.Rule.Points) + " … " + delta(cell.Hi, cell.Rule.Points)
		}
		if !cell.Rule.Exact && cell.Verdict != Few {
			r.P = probability(cell.P)
		}
	}
	switch {
	case cell.Verdict == Same:
		r.Verdict = ""
	case cell.Verdict == Accepted:
		r.Verdict += " " + cell.Why
	case cell.Why != "":
		r.Verdict += ": " + cell.Why
	}
	return r
}

// ShortUnit is the unit as people write it: p99-e2e for p99-e2e-sec.
func (cell *Cell) ShortUnit() string { return short(cell.Unit) }

// HigherIsBetter is 1 where more is better, -1 where less is better, 0 where the files do not say.
func (cell *Cell) HigherIsBetter() int { return cell.better }

// Package gate compares two sets of benchmark runs and decides whether the second is worse than the first.
//
// It reads the Go benchmark format: a line is one run of one scenario, and the run is the sample, since the requests
// within a run share queue and caches. What is judged is a cell: one unit of one scenario. A cell is worse when
//
//   - the U test of Mann and Whitney finds a difference, after Holm's correction over all cells, and
//   - the change is larger than the unit's smallest effect of interest ([Rule]), and
//   - larger than what the same server measured twice shows (the A/A floor), where that was measured.
//
// Whatever was not measured fails: a gate that passes for want of data is none.
package gate

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// Options say what to compare and how.
type Options struct {
	Base, Head string             // files in the Go benchmark format
	Floor      string             // file of an A/A measurement; "" none
	Filter     string             // of benchproc, such as "model:tiny"; "" everything
	Scenarios  []string           // patterns as of path.Match; none: all
	Units      []string           // patterns; none: the gated ones
	All        bool               // all units
	Ignore     []string           // configuration keys that may differ
	Alpha      float64            // chance of a false alarm among all cells; 0: 0.05
	MinRuns    int                // fewest runs a side; 0: 6, with which an interval exists
	Effects    map[string]float64 // in place of the rules' own, by short unit
}

// Verdict is what a cell comes to.
type Verdict string

const (
	Same    Verdict = "~"            // no difference that the test can find
	Small   Verdict = "small"        // a difference, smaller than what matters
	Better  Verdict = "better"       // large enough to matter
	Worse   Verdict = "worse"        //
	Changed Verdict = "changed"      // and nothing says which way is better
	Missing Verdict = "missing"      // one side has no such measurement
	Few     Verdict = "too few runs" // no outcome could have been significant
	Sparse  Verdict = "sparse"       // most runs of the base have no such value, as it is for this load
	Client  Verdict = "client"       // worse, but so is the load generator: its lag grew by half of it or more
)

// A Cell is one unit of one scenario, on both sides.
type Cell struct {
	Scenario, Name, Unit string // Name is the benchmark's full name

	Base, Head   benchmath.Summary // median and 95 % interval of the runs
	NBase, NHead int
	Estimate
	P       float64 // of the U test, after Holm; 1 where it was not made
	Bound   float64 // the change has to be larger to count
	Floor   float64 // A/A floor, 0 unknown
	Rule    Rule
	Verdict Verdict
	Why     string // of a verdict that fails

	better int // 1 higher, -1 lower, 0 unknown
}

// Comparison is what comparing two files found.
type Comparison struct {
	Options
	Cells  []Cell
	Unlike []Difference // what keeps the two from being comparable
}

// Compare compares two files. An error is one of the files or of the options; that the files are worse, unlike or
// incomplete is in the comparison.
func Compare(o Options) (*Comparison, error) {
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.MinRuns == 0 {
		o.MinRuns = 6
	}
	for _, pattern := range slices.Concat(o.Scenarios, o.Units) {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, fmt.Errorf("%q is no pattern", pattern)
		}
	}
	paths := []string{baseSide + "=" + o.Base, headSide + "=" + o.Head}
	if o.Floor != "" {
		paths = append(paths, floorSide+"="+o.Floor)
	}
	p, err := read(paths, &o)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.must(baseSide, o.Base, &o), p.must(headSide, o.Head, &o)); err != nil {
		return nil, err
	}
	if o.Floor != "" {
		if err := errors.Join(p.must(noiseBase, o.Floor, &o), p.must(noiseHead, o.Floor, &o)); err != nil {
			return nil, err
		}
	}
	lags := p.lags()
	if err := p.choose(&o); err != nil {
		return nil, err
	}
	for unit := range o.Effects {
		if !slices.ContainsFunc(p.cells, func(s *samples) bool { return short(s.unit) == unit }) {
			return nil, fmt.Errorf("-effect %s: no such unit is judged", unit)
		}
	}
	c := &Comparison{Options: o, Unlike: p.unlike(baseSide, headSide)}
	if o.Floor != "" {
		c.Unlike = append(c.Unlike, p.unlike(baseSide, noiseBase)...)
	}
	for _, s := range p.cells {
		cell, err := c.cell(s, p)
		if err != nil {
			return nil, err
		}
		c.Cells = append(c.Cells, cell)
	}
	c.judge(lags)
	return c, nil
}

// cell summarises one cell; its verdict is still open.
func (c *Comparison) cell(s *samples, p *pool) (Cell, error) {
	base, head := s.values[baseSide], s.values[headSide]
	cell := Cell{Scenario: scenario(s.name), Name: s.name, Unit: s.unit, NBase: len(base), NHead: len(head), P: 1,
		Rule: rule(s.unit), better: p.units.GetBetter(s.unit)}
	if p.units.GetAssumption(s.unit) == benchmath.AssumeExact {
		cell.Rule.Exact = true
	}
	cell.Bound = cell.Rule.Effect
	effect, asked := c.Effects[short(s.unit)]
	if asked {
		cell.Bound = effect
	}
	n := min(len(base), len(head))
	if f, ok := noise(s.values[noiseBase], s.values[noiseHead], n, cell.Rule.Points); ok && !cell.Rule.Exact {
		cell.Floor = f
		if asked && effect < f {
			return cell, fmt.Errorf("-effect %s=%s cannot be told from noise: the same server measured twice differs by %s in %s",
				short(s.unit), percent(effect), percent(f), cell.Scenario)
		}
		cell.Bound = max(cell.Bound, f)
	}
	if len(base) > 0 {
		cell.Base = summary(base)
	}
	if len(head) > 0 {
		cell.Head = summary(head)
	}
	if n > 0 {
		cell.Estimate = estimate(base, head, cell.Rule.Points)
		if !cell.Rule.Exact {
			cell.P = benchmath.AssumeNothing.Compare(sample(base), sample(head)).P
		}
	}
	if cell.Rule.Exact && n > 0 {
		cell.Delta = change(mean(base), mean(head), cell.Rule.Points)
	}
	return cell, nil
}

func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// summary is the median with its interval. Where the middle is among runs of +Inf interpolation makes it NaN.
func summary(values []float64) benchmath.Summary {
	s := benchmath.AssumeNothing.Summary(sample(values), 0.95)
	for _, f := range []*float64{&s.Center, &s.Hi} {
		if math.IsNaN(*f) {
			*f = math.Inf(1)
		}
	}
	if math.IsNaN(s.Lo) {
		s.Lo = slices.Min(values)
	}
	return s
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// judge gives every cell its verdict.
func (c *Comparison) judge(lags map[string]float64) {
	var tested []int
	var p []float64
	for i := range c.Cells {
		if cell := &c.Cells[i]; cell.NBase > 0 && cell.NHead > 0 && !cell.Rule.Exact {
			tested, p = append(tested, i), append(p, cell.P)
		}
	}
	for j, adjusted := range holm(p) {
		c.Cells[tested[j]].P = adjusted
	}
	for i := range c.Cells {
		cell := &c.Cells[i]
		cell.Verdict = cell.verdict(c, len(tested))
		if cell.Verdict == Worse && strings.HasSuffix(cell.Unit, "-sec") && short(cell.Unit) != "p99-lag" {
			if rise := lags[cell.Name]; rise > 0 && rise >= (cell.Head.Center-cell.Base.Center)/2 {
				cell.Verdict = Client
				cell.Why = fmt.Sprintf("the load generator's own lag rose by %s: measure again on a quieter machine", figure(rise, cell.Unit))
			}
		}
	}
}

func (cell *Cell) verdict(c *Comparison, tested int) Verdict {
	worse := -float64(cell.better) * cell.Delta
	switch {
	case cell.Rule.Sparse && cell.NBase < c.MinRuns && c.runs(cell.Name) >= c.MinRuns:
		return Sparse
	case cell.NBase == 0 || cell.NHead == 0:
		side, has := baseSide, headSide
		if cell.NHead == 0 {
			side, has = headSide, baseSide
		}
		cell.Why = fmt.Sprintf("%s has it, %s has not", has, side)
		return Missing
	case cell.Rule.Exact && cell.Delta == 0:
		return Same
	case cell.Rule.Exact && cell.better == 0:
		return Changed
	case cell.Rule.Exact:
		if worse > 0 {
			cell.Why = "any increase is one too many"
			return Worse
		}
		return Better
	case min(cell.NBase, cell.NHead) < c.MinRuns:
		cell.Why = fmt.Sprintf("%d and %d, want at least %d on each side", cell.NBase, cell.NHead, c.MinRuns)
		return Few
	case leastP(cell.NBase, cell.NHead)*float64(tested) > c.Alpha:
		cell.Why = fmt.Sprintf("with %d and %d nothing can be significant among %d cells: measure more runs or gate fewer units", cell.NBase, cell.NHead, tested)
		return Few
	case cell.P > c.Alpha:
		return Same
	case math.Abs(cell.Delta) <= cell.Bound || math.Abs(cell.Head.Center-cell.Base.Center) < cell.Rule.Least:
		return Small
	case cell.better == 0:
		return Changed
	case worse > 0:
		bound := percent(cell.Bound)
		if cell.Rule.Points {
			bound = strings.TrimSuffix(bound, "%") + "pp"
		}
		cell.Why = "more than " + bound
		if cell.Floor == cell.Bound {
			cell.Why += ", the A/A floor"
		}
		return Worse
	}
	return Better
}

// runs is how many the base has of a benchmark.
func (c *Comparison) runs(name string) int {
	n := 0
	for _, cell := range c.Cells {
		if cell.Name == name {
			n = max(n, cell.NBase)
		}
	}
	return n
}

// lags is how much the load generator's own lag rose from base to head, by benchmark name.
func (p *pool) lags() map[string]float64 {
	rise := map[string]float64{}
	for _, s := range p.cells {
		base, head := s.values[baseSide], s.values[headSide]
		if short(s.unit) == "p99-lag" && len(base) > 0 && len(head) > 0 {
			rise[s.name] = summary(head).Center - summary(base).Center
		}
	}
	return rise
}

// An Invalid error says that the comparison cannot be decided on: unlike files, a unit without a direction, a disturbed
// load generator.
type Invalid struct{ Why string }

func (e *Invalid) Error() string { return e.Why }

// A Regression error says that the gate does not pass.
type Regression struct{ Why string }

func (e *Regression) Error() string { return e.Why }

// Decide is the gate: nil if nothing got worse and everything was measured, else an [*Invalid] or a [*Regression].
func (c *Comparison) Decide() error {
	if len(c.Unlike) > 0 {
		var all []string
		for _, d := range c.Unlike {
			all = append(all, d.String())
		}
		return &Invalid{"unlike measurements: " + strings.Join(all, "; ")}
	}
	count := map[Verdict]int{}
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.better == 0 {
			return &Invalid{fmt.Sprintf("nothing says whether more %s is better; the file needs a line: Unit %s better=lower (or higher)", cell.Unit, cell.Unit)}
		}
		count[cell.Verdict]++
	}
	var parts []string
	for _, v := range []Verdict{Worse, Missing, Few, Client} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	switch {
	case len(parts) == 0:
		return nil
	case count[Worse]+count[Missing]+count[Few] == 0:
		return &Invalid{fmt.Sprintf("invalid measurement: in %d of %d cells the load generator itself became slower", count[Client], len(c.Cells))}
	}
	return &Regression{fmt.Sprintf("of %d cells %s", len(c.Cells), strings.Join(parts, ", "))}
}

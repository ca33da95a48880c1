package history

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"loadstone/harness/figure"
	"loadstone/harness/gate"
	"loadstone/harness/table"
)

// Options say what to look at and what counts as a change.
type Options struct {
	Scenarios []string // patterns as of path.Match; none: all
	Units     []string // patterns; none: those that a gate judges
	All       bool     // all units
	Filter    string   // of benchproc, such as "model:tiny"; "" everything
	Ignore    []string // configuration keys that may differ within a measurement

	// Finder proposes change points. Its zero value is [DefaultFinder].
	Finder Finder
}

// DefaultFinder has Otava's window and p. Changes of less than 2 % are not reported: a median over
// a machine's noise moves by that much for no reason that anybody would look for.
var DefaultFinder = Finder{Window: 50, MaxP: 0.001, MinMagnitude: 0.02}

// MinPoints is how many commits a series must have before anything is said of it: with three on
// each side of a change, their scatter is known.
const MinPoints = 6

// A History is the series of all scenarios and units.
type History struct {
	Options
	Commits  []Commit // that were measured, from the oldest to the newest
	Ratios   bool     // the levels are ratios to a commit that was measured beside the others
	Series   []Series // by unit, and within it by scenario
	Skipped  []Skipped
	Notes    []string // what a reader should know beside the series
	Timeline Timeline // all commits, where they are known
}

// A Series is one unit of one scenario over the commits.
type Series struct {
	Scenario, Unit string // the unit as people write it: p50-e2e
	Better         int    // 1 more is better, -1 less is, 0 unknown
	Differences    bool   // levels are 1 and a difference, as of hit ratios, not quotients
	Reference      Commit // its level is 1
	Points         []Point
	Changes        []Change
}

// A Point is one commit in a series.
type Point struct {
	Commit int     // in the commits of the history
	Level  float64 // relative to the reference
	Lo, Hi float64 // its 90 % interval, from the runs
	Value  string  // the median of the runs, of a base those of one measurement
	From   string  // the measurement

	log    float64   // of the level; of differences the level less 1
	weight []float64 // how much of each edge's error is in log, by edge
}

// An edge is one measurement of a series: the head's level over the base's, as a logarithm or a
// difference.
type edge struct {
	base, head int // commits
	log        float64
	sigma      float64 // its standard error
	freedom    float64 // with which the error is known
	value      string
	baseValue  string
	from       string
}

// New makes the history of measurements. Where one of them has two sides, those with one side are
// skipped, because a ratio and a time have nothing in common. Otherwise all of them are compared
// with the newest; those that are unlike it, as those of another machine are, are skipped.
func New(all []Measurement, timeline Timeline, o Options) (*History, error) {
	if o.Finder == (Finder{}) {
		o.Finder = DefaultFinder
	}
	h := &History{Options: o, Timeline: timeline}
	h.Ratios = slices.ContainsFunc(all, func(m Measurement) bool { return m.base != nil })
	all = h.usable(all)
	h.order(all)
	b := builder{h: h, at: map[seriesKey]int{}}
	if !h.Ratios {
		h.Notes = append(h.Notes, "each commit was measured by itself: what changed may be the machine, "+
			"which is easily 8 % slower on another day")
		b.compareWithNewest(all)
	}
	for i := range all {
		b.add(&all[i])
	}
	if len(h.Series) == 0 && b.option != nil {
		return nil, b.option
	}
	b.finish()
	return h, nil
}

// compareWithNewest makes the newest sound measurement the base of all.
func (b *builder) compareWithNewest(all []Measurement) {
	byAge := slices.Clone(all)
	slices.SortStableFunc(byAge, func(x, y Measurement) int {
		return cmp.Compare(b.h.place(x.Head), b.h.place(y.Head))
	})
	for _, newest := range slices.Backward(byAge) {
		for i := range all {
			all[i].Base, all[i].base = newest.Head, newest.head
		}
		if c, err := b.compare(&newest, newest.head); err == nil && len(c.Failures) == 0 {
			return
		}
	}
}

// compare compares a measurement's head with a base.
func (b *builder) compare(m *Measurement, base []byte) (*gate.Comparison, error) {
	o := &b.h.Options
	return gate.Compare(gate.File{Name: m.Name, Reader: bytes.NewReader(base)},
		gate.File{Name: m.Name, Reader: bytes.NewReader(m.head)},
		gate.Options{Scenarios: o.Scenarios, Units: o.Units, All: o.All, Filter: o.Filter,
			Ignore: o.Ignore})
}

// usable leaves out what has no commit or is of the other kind than the rest.
func (h *History) usable(all []Measurement) []Measurement {
	var kept []Measurement
	for _, m := range all {
		why := ""
		switch {
		case m.Head.Hash == "" && m.Head.Date.IsZero():
			why = "it does not say its commit"
		case m.base != nil && m.Base.Hash == "":
			why = "it does not say the commit of its base"
		case h.Ratios && m.base == nil:
			why = "it has one side, and the others are ratios of two"
		case m.base != nil && m.Base.Hash == m.Head.Hash:
			why = "base and head are one commit"
		}
		if why != "" {
			h.Skipped = append(h.Skipped, Skipped{m.Name, why})
			continue
		}
		if m.Head.Hash == "" {
			m.Head.Hash = m.Head.Date.UTC().Format("2006-01-02T15:04:05Z")
		}
		kept = append(kept, m)
	}
	return kept
}

// order collects the commits of the measurements.
func (h *History) order(all []Measurement) {
	slices.SortStableFunc(all, func(a, b Measurement) int { return cmp.Compare(a.written, b.written) })
	for _, m := range all {
		for _, c := range []Commit{m.Base, m.Head} {
			if c.Hash != "" && h.place(c) < 0 {
				h.Commits = append(h.Commits, c)
			}
		}
	}
	sortCommits(h.Commits, h.Timeline)
}

func (h *History) place(c Commit) int {
	return slices.IndexFunc(h.Commits, func(k Commit) bool { return k.Hash == c.Hash })
}

// Span returns where a change between two of the history's commits lies.
func (h *History) Span(after, by int) Span {
	s := Span{After: h.Commits[after], By: h.Commits[by]}
	from, to := h.Timeline.find(s.After.Hash), h.Timeline.find(s.By.Hash)
	if from >= 0 && to > from {
		s.Commits = to - from
	}
	return s
}

type seriesKey struct{ scenario, unit string }

// A builder collects the edges of all series.
type builder struct {
	h      *History
	at     map[seriesKey]int
	edges  [][]edge          // by series
	option *gate.OptionError // of a measurement that has nothing that was asked for
}

// add compares the sides of a measurement and adds an edge to every series.
func (b *builder) add(m *Measurement) {
	base, head := b.h.place(m.Base), b.h.place(m.Head)
	c, err := b.compare(m, m.base)
	switch option, isOption := errors.AsType[*gate.OptionError](err); {
	case isOption:
		b.option = option // other measurements may have what it asks for
		return
	case err != nil:
		b.skip(m, strings.TrimPrefix(err.Error(), m.Name+": "))
		return
	case len(c.Failures) > 0:
		b.skip(m, "not a whole and sound measurement: "+c.Failures[0].Text)
		return
	case len(c.Unlike) > 0:
		b.skip(m, b.unlike(c.Unlike[0]))
		return
	}
	few := 0
	for i := range c.Cells {
		if cell := &c.Cells[i]; !b.addCell(cell, m, base, head) {
			few++
		}
	}
	if few == len(c.Cells) {
		b.skip(m, "too few runs for an interval: want 4 or more a side")
	}
}

func (b *builder) skip(m *Measurement, why string) {
	b.h.Skipped = append(b.h.Skipped, Skipped{m.Name, table.OneLine(why)})
}

func (b *builder) unlike(d gate.Difference) string {
	if b.h.Ratios {
		return "its sides are unlike: " + d.String()
	}
	return "unlike the newest, and only ratios of two commits on one machine compare: " + d.String()
}

// addCell adds a cell to its series. It is false where the cell has too few runs for an interval.
func (b *builder) addCell(cell *gate.Cell, m *Measurement, base, head int) bool {
	if cell.NBase == 0 || cell.NHead == 0 {
		return true
	}
	value := func(change float64) float64 {
		if cell.Rule.Points {
			return change
		}
		return math.Log1p(max(change, -1))
	}
	e := edge{base: base, head: head, log: value(cell.Delta), value: cell.Row().Head, from: m.Name,
		baseValue: cell.Row().Base, freedom: float64(cell.NBase + cell.NHead - 2)}
	lo, hi := value(cell.Lo), value(cell.Hi)
	const z90 = 1.6449 // the interval has 5 % beyond each end
	e.sigma = (hi - lo) / (2 * z90)
	if !b.h.Ratios {
		// The base is one measurement for all: its share of the error is common, and cancels.
		e.sigma /= math.Sqrt2
	}
	if math.IsInf(e.sigma, 0) || math.IsNaN(e.sigma) || math.IsInf(e.log, 0) {
		return false
	}
	key := seriesKey{cell.Scenario, cell.ShortUnit()}
	i, ok := b.at[key]
	if !ok {
		i = len(b.edges)
		b.at[key] = i
		b.edges = append(b.edges, nil)
		b.h.Series = append(b.h.Series, Series{Scenario: key.scenario, Unit: key.unit,
			Better: cell.HigherIsBetter(), Differences: cell.Rule.Points})
	}
	b.edges[i] = append(b.edges[i], e)
	return true
}

// finish makes points of the edges, finds what changes, and sorts the series.
func (b *builder) finish() {
	for i := range b.h.Series {
		s := &b.h.Series[i]
		lost := s.level(b.edges[i], len(b.h.Commits))
		for _, e := range lost {
			why := fmt.Sprintf("nothing joins %s, its base, to the other measurements of %s",
				b.h.Commits[e.base].Short(), s.Scenario)
			known := func(k Skipped) bool { return k.Name == e.from && k.Why == why }
			if !slices.ContainsFunc(b.h.Skipped, known) {
				b.h.Skipped = append(b.h.Skipped, Skipped{e.from, why})
			}
		}
		s.Reference = b.h.Commits[s.reference(b.edges[i])]
		s.findChanges(b.edges[i], b.h)
	}
	units := map[string]int{}
	for i, f := range figure.All() {
		units[f.Name] = i - len(figure.All())
	}
	slices.SortStableFunc(b.h.Series, func(x, y Series) int {
		return cmp.Or(cmp.Compare(units[x.Unit], units[y.Unit]), cmp.Compare(x.Unit, y.Unit))
	})
}

package gate

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"loadstone/harness/figure"
	"loadstone/harness/limit"
	"loadstone/harness/stats"
)

// ParseLimits reads a list of limits, separated by commas, such as p99-e2e<5s,hit-ratio>80%. They
// may be on any unit of a benchmark file.
func ParseLimits(s string) ([]limit.Limit, error) {
	var all []limit.Limit
	for text := range strings.SplitSeq(s, ",") {
		l, err := limit.ParseAny(text)
		if err != nil {
			return nil, err
		}
		l.Unit = short(l.Unit)
		all = append(all, l)
	}
	return all, nil
}

// A Held is what became of one limit in one scenario of a benchmark file. Its Value is the median
// over the runs.
type Held struct {
	limit.Outcome
	Unit string // as the file has it, tidied
	Runs int
	Got  benchmath.Summary // median of the runs with its 95 % interval
	Sure bool              // the whole interval is on the same side of the limit

	// Of a percentile that is not shown, how many values the smallest run and all runs together
	// have; 0: the file does not say.
	Min, Have int
}

// judge holds the median of the runs to the limit, and a percentile that is within it to the size
// of its sample.
//
// That sample is the run. The p99 of 20 requests is the slowest of them, which in half of all runs
// is quicker than the server's p97, and no median over however many such runs makes a p99 of it. So
// each run must bound the percentile by itself. Or all runs do so together, where every one of them
// is within the limit: the percentile of all their requests lies between the smallest and the
// largest of the runs' own, so it is within as well. That is how run and bench -strict judge.
func judge(l limit.Limit, scenario string, s *samples) Held {
	values, sizes := s.values[headSide], s.sizes[headSide]
	got := summary(values)
	h := Held{Unit: s.unit, Runs: len(values), Got: got,
		Sure: l.Holds(got.Lo) == l.Holds(got.Center) && l.Holds(got.Hi) == l.Holds(got.Center)}
	h.Outcome = limit.Outcome{Limit: l, Name: l.Unit, Scenario: scenario, Value: got.Center,
		Standing: limit.Met,
		Bound:    l.Op + " " + format(l.Value, s.unit), Figure: format(got.Center, s.unit)}
	f, _ := figure.Find(l.Unit)
	switch {
	case !l.Holds(got.Center):
		h.Standing = limit.Missed
		return h
	case f.Quantile == 0:
		return h
	}
	smallest, all := slices.Min(sizes), 0
	for _, n := range sizes {
		all += n
	}
	everyRun := !slices.ContainsFunc(values, func(v float64) bool { return !l.Holds(v) })
	if smallest > 0 {
		h.Min, h.Have = smallest, all
		if stats.Supports(smallest, f.Quantile) || everyRun && stats.Supports(all, f.Quantile) {
			return h
		}
	}
	h.Standing, h.Needs = limit.NotShown, stats.Wanted(f.Quantile)
	return h
}

// Word says how the limit stands, and of one that is not shown why.
func (h *Held) Word() string {
	switch {
	case h.Standing == limit.Missed:
		return "MISSED"
	case h.Standing == limit.NotShown && h.Min == 0:
		return "not shown: needs " + h.Sample() + ", and the file does not say how many it has"
	case h.Standing == limit.NotShown && h.Have >= h.Needs:
		return fmt.Sprintf("not shown: some runs are beyond the limit, and one has only %d of "+
			"the %s it needs",
			h.Min, h.Sample())
	case h.Standing == limit.NotShown:
		return fmt.Sprintf("not shown: needs %s, has %d", h.Sample(), h.Have)
	case !h.Sure:
		return "met, not surely: the interval crosses the limit"
	}
	return "met"
}

// CheckLimits holds one file to limits. Every limit must find its unit, and in every scenario that
// the options choose. Errors are of the file, an [*OptionError], an [*EmptyError], a [*MixedError],
// or a [*FailedError] where the file is not a whole and sound measurement; what became of the
// limits in it is returned as well, for those who look.
func CheckLimits(head File, o Options, limits []limit.Limit) ([]Held, error) {
	p, err := read([]input{{headSide, head}}, &o)
	if err != nil {
		return nil, err
	}
	if err := p.must(headSide, head.Name, &o); err != nil {
		return nil, err
	}
	o.All, o.Units = true, nil
	if err := p.choose(&o); err != nil {
		return nil, err
	}
	if mixed := p.unlike(headSide, headSide, o.Ignore); len(mixed) > 0 {
		return nil, &MixedError{mixed[0]}
	}
	byName := map[string]map[string]*samples{}
	var names []string
	var units []string
	for _, s := range p.cells {
		if byName[s.name] == nil {
			byName[s.name] = map[string]*samples{}
			names = append(names, s.name)
		}
		if len(names) == 1 {
			units = append(units, short(s.unit))
		}
		byName[s.name][short(s.unit)] = s
	}
	var all []Held
	for _, l := range limits {
		for _, name := range names {
			s := byName[name][l.Unit]
			if s == nil {
				return nil, fmt.Errorf("%s: %s has no %s; it has %s", l.Text, p.labels[name],
					l.Unit, strings.Join(units, ", "))
			}
			all = append(all, judge(l, p.labels[name], s))
		}
	}
	if failures := append(p.failures, p.silent()...); len(failures) > 0 {
		return all, &FailedError{failures}
	}
	return all, nil
}

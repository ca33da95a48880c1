package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"loadstone/harness/limit"
	"loadstone/harness/stats"
)

// ParseSLOs reads a list of limits, separated by commas, such as p99-e2e<5s,hit-ratio>80%.
func ParseSLOs(s string) ([]limit.Limit, error) {
	var all []limit.Limit
	for text := range strings.SplitSeq(s, ",") {
		l, err := limit.Read(text)
		if err != nil {
			return nil, err
		}
		l.Unit = short(l.Unit)
		all = append(all, l)
	}
	return all, nil
}

// An SLOResult is one limit on one scenario.
type SLOResult struct {
	limit.Limit
	Scenario string
	Full     string // the unit as the file has it, tidied
	Runs     int
	Got      benchmath.Summary // median of the runs with its 95 % interval
	Stands   limit.Standing    // Met or Missed by the median; NotShown: within the limit, by a sample too small for that
	Sure     bool              // the whole interval is on the same side

	// Of a percentile that is not shown.
	Needs       int // values that would bound it
	Least, Have int // and those of the smallest run and of all runs; 0: the file does not say
}

// judge holds the median of the runs to the limit, and a percentile that is within it to the size of its sample.
//
// That sample is the run. The p99 of 20 requests is the slowest of them, which in half of all runs is quicker than the
// server's p97, and no median over however many such runs makes a p99 of it. So each run must bound the percentile by itself.
// Or all runs together, where every single one is within the limit: the percentile of all their requests lies between the
// least and the largest of the runs' own, so it is within as well, which is how run and bench -strict judge.
func (r *SLOResult) judge(s *samples) {
	values, sizes := s.values[headSide], s.sizes[headSide]
	r.Runs, r.Got = len(values), summary(values)
	r.Sure = r.Holds(r.Got.Lo) == r.Holds(r.Got.Center) && r.Holds(r.Got.Hi) == r.Holds(r.Got.Center)
	q, _, percentile := r.Percentile()
	switch {
	case !r.Holds(r.Got.Center):
		r.Stands = limit.Missed
		return
	case !percentile:
		r.Stands = limit.Met
		return
	}
	least, all := slices.Min(sizes), 0
	for _, n := range sizes {
		all += n
	}
	everyRun := !slices.ContainsFunc(values, func(v float64) bool { return !r.Holds(v) })
	switch {
	case least > 0 && (stats.Supports(least, q) || everyRun && stats.Supports(all, q)):
		r.Stands = limit.Met
	case least > 0:
		r.Stands, r.Needs, r.Least, r.Have = limit.NotShown, stats.Wanted(q), least, all
	default:
		r.Stands, r.Needs = limit.NotShown, stats.Wanted(q)
	}
}

// Word says how the limit stands, and of one that is not shown why.
func (r *SLOResult) Word() string {
	switch {
	case r.Stands == limit.Missed:
		return "MISSED"
	case r.Stands == limit.NotShown && r.Least == 0:
		return "not shown: needs " + r.Sample(r.Needs) + ", and the file does not say how many it has"
	case r.Stands == limit.NotShown && r.Have >= r.Needs:
		return fmt.Sprintf("not shown: some runs are beyond the limit, and one has only %d of the %s it needs", r.Least, r.Sample(r.Needs))
	case r.Stands == limit.NotShown:
		return fmt.Sprintf("not shown: needs %s, has %d", r.Sample(r.Needs), r.Have)
	case !r.Sure:
		return "met, not surely: the interval crosses the limit"
	}
	return "met"
}

// CheckSLOs holds one file, o.Head, to limits. Every limit must find its unit, and in every scenario that is looked at.
func CheckSLOs(o Options, slos []limit.Limit) ([]SLOResult, error) {
	p, err := read([]string{headSide + "=" + o.Head}, &o)
	if err != nil {
		return nil, err
	}
	if err := p.must(headSide, o.Head, &o); err != nil {
		return nil, err
	}
	o.All, o.Units = true, nil
	if err := p.choose(&o); err != nil {
		return nil, err
	}
	if mixed := p.unlike(headSide, headSide); len(mixed) > 0 {
		return nil, errors.New(mixed[0].String() + "; choose with -filter")
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
	var all []SLOResult
	for _, slo := range slos {
		for _, name := range names {
			s := byName[name][slo.Unit]
			if s == nil {
				return nil, fmt.Errorf("%s: %s has no %s; it has %s", slo.Text, scenario(name), slo.Unit, strings.Join(units, ", "))
			}
			r := SLOResult{Limit: slo, Scenario: scenario(name), Full: s.unit}
			r.judge(s)
			all = append(all, r)
		}
	}
	return all, nil
}

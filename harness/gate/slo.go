package gate

import (
	"errors"
	"fmt"
	"loadstone/harness/limit"
	"strings"

	"golang.org/x/perf/benchmath"
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
	Met      bool              // by the median
	Sure     bool              // by the whole interval, too
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
			r := SLOResult{Limit: slo, Scenario: scenario(name), Full: s.unit, Runs: len(s.values[headSide]), Got: summary(s.values[headSide])}
			r.Met = slo.Holds(r.Got.Center)
			r.Sure = slo.Holds(r.Got.Lo) && slo.Holds(r.Got.Hi)
			all = append(all, r)
		}
	}
	return all, nil
}

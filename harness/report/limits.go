package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/limit"
)

// Hold judges the report by limits of its own in place of the four targets: each by its worst scenario, and where the
// report is a search's, by the highest level that was found. level is what was searched for, "" nothing.
func (r *Report) Hold(limits []limit.Limit, searched string) {
	r.Limits = []Verdict{}
	judged := r.Scenarios
	if searched != "" {
		v := Verdict{Name: "highest " + searched, Limit: "> 0", Figure: "none"}
		judged = nil
		if r.Highest.Kind != "" {
			v.Met, v.Judged, v.Fraction, v.Figure = true, true, 0, strconv.FormatFloat(r.Highest.Value, 'g', 4, 64)
			for _, s := range r.Scenarios {
				if s.Level == r.Highest {
					judged = append(judged, s)
				}
			}
			v.Scenario = judged[0].Name()
		} else if len(r.Scenarios) > 0 {
			judged = r.Scenarios[:1] // the lowest, to show by what it failed
			v.Judged = true
		}
		r.Limits = append(r.Limits, v)
	}
	for _, l := range limits {
		r.Limits = append(r.Limits, worst(l, judged))
	}
}

// worst is the verdict on one limit by the scenario that misses it the most, or comes nearest to it.
func worst(l limit.Limit, scenarios []Scenario) Verdict {
	v := Verdict{Name: l.Unit, Limit: l.Op + " " + inUnit(l, l.Value), Figure: "–"}
	for i := range scenarios {
		value, measured, holds := l.Check(&scenarios[i].Pooled)
		if !measured {
			return Verdict{Name: v.Name, Limit: v.Limit, Figure: "–", Scenario: scenarios[i].Name()}
		}
		f := fraction(l, value)
		if v.Judged && (holds && !v.Met || holds == v.Met && f <= v.Fraction) {
			continue
		}
		v.Judged, v.Met, v.Fraction, v.Figure, v.Scenario = true, holds, f, inUnit(l, value), scenarios[i].Name()
	}
	return v
}

// fraction is how far a value is on its way to a limit; 1 is the limit itself, more is beyond.
func fraction(l limit.Limit, value float64) float64 {
	switch {
	case value == l.Value:
		return 1
	case strings.HasPrefix(l.Op, ">"):
		value, l.Value = l.Value, value
	}
	if l.Value == 0 {
		return 2 // any more than nothing is beyond
	}
	return min(value/l.Value, 1000) // a file of results knows no infinity
}

// inUnit prints a value of the limit's unit.
func inUnit(l limit.Limit, v float64) string {
	switch {
	case l.IsTime():
		if math.IsInf(v, 1) {
			return duration(never)
		}
		return duration(time.Duration(v * float64(time.Second)))
	case strings.HasSuffix(l.Unit, "-ratio"):
		return percent(v)
	case slices.Contains([]string{"req/s", "tok/s", "goodput"}, l.Unit):
		return rate(v)
	}
	return fmt.Sprintf("%.0f", v)
}

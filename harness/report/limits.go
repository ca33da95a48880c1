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

// Hold judges the report by the limits of its load in place of the four targets: each by its worst scenario, and where the
// report is a search's, by the highest level that was found. A highest level is not shown where one of the limits at it is
// not. An error is a limit that cannot be read, or a highest level that no scenario is of.
func (r *Report) Hold() error {
	limits := make([]limit.Limit, len(r.Load.Expect))
	for i, text := range r.Load.Expect {
		var err error
		if limits[i], err = limit.Parse(text); err != nil {
			return err
		}
	}
	judged, searched := r.Scenarios, r.Load.Search
	highest := Verdict{Name: "highest " + searched, Limit: "> 0", Figure: "none"}
	if searched != "" {
		judged = nil
		switch {
		case r.Highest.Kind != "":
			highest.Met, highest.Judged, highest.Figure = true, true, strconv.FormatFloat(r.Highest.Value, 'g', 4, 64)
			for _, s := range r.Scenarios {
				if s.Level == r.Highest {
					judged = append(judged, s)
				}
			}
			if len(judged) == 0 {
				return fmt.Errorf("the highest level that was found is %s, of which there are no results", r.Highest)
			}
			highest.Scenario = judged[0].Name()
		case len(r.Scenarios) > 0:
			judged = r.Scenarios[:1] // the lowest, to show by what it failed
			highest.Judged = true
		}
	}
	r.Limits = []Verdict{}
	for _, l := range limits {
		v := worst(l, judged)
		r.Limits = append(r.Limits, v)
		if v.Needs > highest.Needs && highest.Met {
			highest.Met, highest.Judged, highest.Needs = false, false, v.Needs
		}
	}
	if searched != "" {
		r.Limits = slices.Insert(r.Limits, 0, highest)
	}
	return nil
}

// gravity is the order of what can be said of a limit in several scenarios: the last decides.
var gravity = []limit.Standing{limit.Met, limit.NotShown, limit.Missed, limit.Unmeasured}

// worst is the verdict on one limit by the scenario that misses it the most, or comes nearest to it.
func worst(l limit.Limit, scenarios []Scenario) Verdict {
	v := Verdict{Name: l.Unit, Limit: l.Op + " " + inUnit(l, l.Value), Figure: "–"}
	weight, nearest := -1, 0.0
	for i := range scenarios {
		stands, value, needs := l.Judge(&scenarios[i].Pooled)
		w, n := slices.Index(gravity, stands), near(l, value)
		if w < weight || w == weight && n <= nearest {
			continue
		}
		weight, nearest = w, n
		v.Judged, v.Met, v.Needs, v.Scenario = stands == limit.Met || stands == limit.Missed, stands == limit.Met, needs, scenarios[i].Name()
		if v.Figure, v.Fraction = inUnit(l, value), part(value, l.Value); stands == limit.Unmeasured {
			return Verdict{Name: v.Name, Limit: v.Limit, Figure: "–", Scenario: v.Scenario}
		}
	}
	return v
}

// near is how far a value is on its way to missing a limit; 1 is the limit itself, more is beyond.
func near(l limit.Limit, value float64) float64 {
	switch {
	case value == l.Value:
		return 1
	case strings.HasPrefix(l.Op, ">"):
		return part(l.Value, value)
	}
	return part(value, l.Value)
}

// part is a value as a fraction of another.
func part(value, of float64) float64 {
	switch {
	case value == 0:
		return 0
	case of == 0:
		return 2 // any more than nothing is beyond
	}
	return min(value/of, 1000) // a file of results knows no infinity
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

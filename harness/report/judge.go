package report

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/load"
)

// The targets that every baseline is held to. Latency is end to end, from the moment a request was
// due to its last byte.
const (
	TargetP50      = 500 * time.Millisecond
	TargetP95      = 2000 * time.Millisecond
	TargetP99      = 5000 * time.Millisecond
	TargetHitRatio = 0.80
)

// A target is a limit that is judged where no others are given.
type target struct {
	limit.Limit
	name, bound string // as they are shown
}

func latencyTarget(percentile string, d time.Duration) target {
	l := limit.Limit{Unit: percentile + "-e2e", Op: "<", Value: d.Seconds()}
	l.Text = l.Unit + " < " + d.String()
	return target{l, percentile, fmt.Sprintf("< %d ms", d.Milliseconds())}
}

// latencyTargets are the three targets of latency.
var latencyTargets = []target{
	latencyTarget("p50", TargetP50), latencyTarget("p95", TargetP95),
	latencyTarget("p99", TargetP99),
}

// hitTarget is the target of the caches.
var hitTarget = target{
	limit.Limit{Unit: "hit-ratio", Op: ">", Value: TargetHitRatio, Text: "hit-ratio > 80%"},
	"cache hit rate", fmt.Sprintf("> %.0f %%", 100*TargetHitRatio),
}

// Outcomes are what became of the report's own limits, or of the four targets. Each is decided by
// the worst result: unlike results are never pooled, so that a hundred quick answers cannot hide
// ten slow ones.
func (r *Report) Outcomes() []limit.Outcome {
	if r.Limits != nil {
		return r.Limits
	}
	return append(r.latencies(), r.judge(hitTarget, hitsExpected))
}

// latencies are the outcomes of the three targets of latency, whatever else the report is held to.
func (r *Report) latencies() []limit.Outcome {
	var all []limit.Outcome
	for _, t := range latencyTargets {
		all = append(all, r.judge(t, func(*Result) bool { return true }))
	}
	return all
}

// judge is what became of a target in the results for which it is meant.
func (r *Report) judge(t target, meant func(*Result) bool) limit.Outcome {
	outcomes := []limit.Outcome{t.Unmeasured()}
	for i := range r.Results {
		if meant(&r.Results[i]) {
			o := t.Judge(&r.Results[i].Pooled)
			o.Scenario = r.Results[i].Name()
			outcomes = append(outcomes, o)
		}
	}
	worst := limit.WorstKnown(outcomes)
	worst.Name, worst.Bound = t.name, t.bound
	switch worst.Standing {
	case limit.Unmeasured:
		worst.Scenario = ""
	case limit.NotShown:
		worst.Scenario, worst.Figure, worst.Fraction = "", fmt.Sprintf("n<%d", worst.Needs), 0
	}
	return worst
}

// hitsExpected reports whether the agents' caches were hot from the start. The others measure what
// happens without, and their hit ratio is shown but not judged.
func hitsExpected(r *Result) bool { return r.Cache == load.Hot }

// Missed are the outcomes that are not met, those included that were not measured.
func (r *Report) Missed() []limit.Outcome {
	return slices.DeleteFunc(slices.Clone(r.Outcomes()), func(o limit.Outcome) bool {
		return o.Standing == limit.Met || o.Standing == limit.NotShown
	})
}

// NotShown are the outcomes that too few requests leave open: neither met nor missed.
func (r *Report) NotShown() []limit.Outcome {
	return slices.DeleteFunc(slices.Clone(r.Outcomes()), func(o limit.Outcome) bool {
		return o.Standing != limit.NotShown
	})
}

// An Unmet error says that not all limits of a report are met.
type Unmet struct {
	Kind     string // what was judged: "targets" or "limits"
	All      int    // how many there are
	Missed   int    // how many were missed or not measured
	NotShown int    // how many were not shown

	// Needs is the outcome that is not shown and needs the largest sample, where there is one.
	Needs limit.Outcome
}

func (e *Unmet) Error() string {
	if e.Missed > 0 {
		return fmt.Sprintf("%d of %d %s missed", e.Missed, e.All, e.Kind)
	}
	return fmt.Sprintf("%d of %d %s not shown: %s needs %s", e.NotShown, e.All, e.Kind,
		e.Needs.Name, e.Needs.Sample())
}

// Unmet is nil if all limits of the report are met, or else says how many are missed and how many
// are not shown.
func (r *Report) Unmet() *Unmet {
	e := &Unmet{Kind: "limits", All: len(r.Outcomes()), Missed: len(r.Missed())}
	if r.Limits == nil {
		e.Kind = "targets"
	}
	if open := r.NotShown(); len(open) > 0 {
		e.NotShown = len(open)
		e.Needs = slices.MaxFunc(open, func(a, b limit.Outcome) int { return a.Needs - b.Needs })
	}
	if e.Missed+e.NotShown == 0 {
		return nil
	}
	return e
}

// Hold judges the report by the limits of its workload in place of the four targets: each by its
// worst result, and where the report is that of a search, by the highest level that was found. A
// highest level is not shown where one of the limits at it is not. An error says that a limit
// cannot be read, or that there is no result of the highest level.
func (r *Report) Hold() error {
	limits := make([]limit.Limit, len(r.Workload.Expect))
	for i, text := range r.Workload.Expect {
		var err error
		if limits[i], err = limit.Parse(text); err != nil {
			return err
		}
	}
	judged, highest, err := r.searched()
	if err != nil {
		return err
	}
	r.Limits = []limit.Outcome{}
	for _, l := range limits {
		o := worst(l, judged)
		r.Limits = append(r.Limits, o)
		if o.Needs > highest.Needs && (highest.Standing == limit.Met ||
			highest.Standing == limit.NotShown) {
			highest.Standing, highest.Needs = limit.NotShown, o.Needs
		}
	}
	if r.Workload.Search != "" {
		r.Limits = slices.Insert(r.Limits, 0, highest)
	}
	return nil
}

// searched are the results that the limits are judged by, and, of a search, what became of it.
func (r *Report) searched() (judged []Result, highest limit.Outcome, err error) {
	if r.Workload.Search == "" {
		return r.Results, highest, nil
	}
	highest = limit.Outcome{Name: "highest " + r.Workload.Search, Bound: "> 0", Figure: "none",
		Standing: limit.Unmeasured}
	switch {
	case r.Highest.Kind != "":
		highest.Standing, highest.Value = limit.Met, r.Highest.Value
		highest.Figure = strconv.FormatFloat(r.Highest.Value, 'g', 4, 64)
		for _, s := range r.Results {
			if s.Level == r.Highest {
				judged = append(judged, s)
			}
		}
		if len(judged) == 0 {
			return nil, highest,
				fmt.Errorf("the highest level that was found is %s, of which there are no results",
					r.Highest)
		}
		highest.Scenario = judged[0].Name()
	case len(r.Results) > 0:
		judged = r.Results[:1] // the lowest, to show by what it failed
		highest.Standing = limit.Missed
	}
	return judged, highest, nil
}

// worst is what became of one limit, by the result that misses it the most or comes nearest to
// that.
func worst(l limit.Limit, results []Result) limit.Outcome {
	if len(results) == 0 {
		return l.Unmeasured()
	}
	var outcomes []limit.Outcome
	for i := range results {
		o := l.Judge(&results[i].Pooled)
		o.Scenario = results[i].Name()
		outcomes = append(outcomes, o)
	}
	return limit.Worst(outcomes)
}

// SetGoodput judges every request by another objective. An error is a limit of the workload that
// cannot be read.
func (r *Report) SetGoodput(o load.Objective) error {
	r.Workload.Goodput = o.String()
	for i := range r.Results {
		r.Results[i].summarize(o)
	}
	return r.holdAgain()
}

// holdAgain judges anew by the limits of the workload, where it has any.
func (r *Report) holdAgain() error {
	if len(r.Workload.Expect) == 0 && r.Workload.Search == "" {
		return nil
	}
	return r.Hold()
}

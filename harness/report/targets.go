package report

import (
	"fmt"
	"slices"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/stats"
)

// The targets every baseline is held to. Latency is end to end, from the moment a request was due to its last byte.
const (
	TargetP50     = 500 * time.Millisecond
	TargetP95     = 2000 * time.Millisecond
	TargetP99     = 5000 * time.Millisecond
	TargetHitRate = 0.80
)

// A Verdict says whether one target holds, by its worst scenario: unlike scenarios are never pooled, so that a hundred
// quick answers cannot hide ten slow ones.
type Verdict struct {
	Name     string `json:"name"`     // "p50"
	Limit    string `json:"limit"`    // "< 500 ms"
	Figure   string `json:"figure"`   // "312 ms"
	Scenario string `json:"scenario"` // the one the figure is from
	Met      bool   `json:"met"`
	Judged   bool   `json:"judged"` // false when nothing was measured that could be judged; then Met is false as well

	// Needs is how many requests, or gaps between tokens, would bound the percentile, where it is not judged because they were too few; 0 otherwise.
	Needs int `json:"needs_requests,omitempty"`

	// Fraction is the figure as a fraction of its limit, for drawing. 1 is the limit itself.
	Fraction float64 `json:"fraction"`
}

// Word says the verdict in one word.
func (v Verdict) Word() string {
	switch {
	case v.Needs > 0:
		return "not shown: needs " + v.Sample()
	case !v.Judged:
		return "not measured"
	case v.Met:
		return "met"
	}
	return "missed"
}

// Sample is what would bound the percentile of a verdict that is not shown.
func (v Verdict) Sample() string {
	return limit.Limit{Unit: v.Name}.Sample(v.Needs)
}

// Judge returns the verdicts on the report's own limits, or on the four targets.
func (r *Report) Judge() []Verdict {
	if r.Limits != nil {
		return r.Limits
	}
	return append(r.latencies(), r.judgeHitRate())
}

// latencies are the verdicts on the three latency targets, whatever else the report is held to.
func (r *Report) latencies() []Verdict {
	return []Verdict{
		r.judgeLatency("p50", TargetP50, 0.50),
		r.judgeLatency("p95", TargetP95, 0.95),
		r.judgeLatency("p99", TargetP99, 0.99),
	}
}

// Missed returns the verdicts that are not met, those that were not measured included.
func (r *Report) Missed() []Verdict {
	return slices.DeleteFunc(slices.Clone(r.Judge()), func(v Verdict) bool { return v.Met || v.Needs > 0 })
}

// NotShown returns the verdicts that too few requests leave open: neither met nor missed.
func (r *Report) NotShown() []Verdict {
	return slices.DeleteFunc(slices.Clone(r.Judge()), func(v Verdict) bool { return v.Needs == 0 })
}

// judgeLatency judges a percentile where the sample supports it. Where it does not, a figure within the limit proves
// nothing, but one beyond it is missed all the same.
func (r *Report) judgeLatency(name string, limit time.Duration, q float64) Verdict {
	v := Verdict{Name: name, Limit: fmt.Sprintf("< %d ms", limit.Milliseconds()), Figure: "–"}
	worst := time.Duration(-1)
	for i := range r.Scenarios {
		s, name := &r.Scenarios[i].Pooled, r.Scenarios[i].Name()
		d := s.E2E.At(q)
		switch {
		case s.E2E.N == 0:
		case d < limit && !stats.Supports(s.E2E.N, q):
			v.Needs = stats.Wanted(q)
		case d > worst:
			worst, v.Scenario = d, name
		}
	}
	if worst < 0 {
		if v.Needs > 0 {
			v.Figure = fmt.Sprintf("n<%d", v.Needs)
		}
		return v
	}
	v.Needs = 0
	v.Judged, v.Met, v.Figure = true, worst < limit, duration(worst)
	v.Fraction = float64(worst) / float64(limit)
	return v
}

func (r *Report) judgeHitRate() Verdict {
	v := Verdict{Name: "cache hit rate", Limit: fmt.Sprintf("> %.0f %%", 100*TargetHitRate), Figure: "–"}
	worst := 2.0
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.hitsExpected() && s.Pooled.HitRate >= 0 && s.Pooled.HitRate < worst {
			worst, v.Scenario = s.Pooled.HitRate, s.Name()
		}
	}
	if worst > 1 {
		return v
	}
	v.Judged, v.Met, v.Figure = true, worst > TargetHitRate, percent(worst)
	v.Fraction = worst / TargetHitRate
	return v
}

// hitsExpected tells whether the scenario starts with warm caches. The others measure what happens without, and their
// hit rate is shown but not judged.
func (s *Scenario) hitsExpected() bool { return s.Cache == load.Hot }

package limit

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A figure is one of a summary's that a limit can be on. Its value is false where it was not measured.
type figure struct {
	name string
	of   func(s *record.Summary) (float64, bool)

	// Of a percentile, which is known only where the sample is large enough.
	q      float64
	sample func(s *record.Summary) stats.Dist
}

// figures are all there are.
func figures() []figure {
	var all []figure
	for _, d := range []struct {
		name string
		of   func(s *record.Summary) stats.Dist
	}{
		{"ttft", func(s *record.Summary) stats.Dist { return s.TTFT }},
		{"itl", func(s *record.Summary) stats.Dist { return s.ITL }},
		{"tpot", func(s *record.Summary) stats.Dist { return s.TPOT }},
		{"e2e", func(s *record.Summary) stats.Dist { return s.E2E }},
		{"lag", func(s *record.Summary) stats.Dist { return s.Lag }},
	} {
		for i, name := range []string{"p50", "p90", "p95", "p99", "p999"} {
			q := stats.Quantiles[i]
			all = append(all, figure{name: name + "-" + d.name, q: q, sample: d.of,
				of: func(s *record.Summary) (float64, bool) { return inSeconds(d.of(s).At(q)), d.of(s).N > 0 }})
		}
		all = append(all, figure{name: "max-" + d.name, of: func(s *record.Summary) (float64, bool) { return inSeconds(d.of(s).Max), d.of(s).N > 0 }})
	}
	for _, o := range record.Outcomes {
		all = append(all, figure{name: string(o), of: func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[o]), true }})
	}
	return append(all,
		figure{name: "requests", of: func(s *record.Summary) (float64, bool) { return float64(s.Requests), true }},
		figure{name: "error-ratio", of: func(s *record.Summary) (float64, bool) { return s.ErrorRate, s.Requests > 0 }},
		figure{name: "reject-ratio", of: func(s *record.Summary) (float64, bool) {
			return float64(s.Outcomes[record.Rejected]) / float64(max(s.Requests, 1)), s.Requests > 0
		}},
		figure{name: "req/s", of: func(s *record.Summary) (float64, bool) { return s.RequestsPerSec, s.Elapsed > 0 }},
		figure{name: "tok/s", of: func(s *record.Summary) (float64, bool) { return s.TokensPerSec, s.OutputTokens+s.Pieces > 0 }},
		figure{name: "goodput", of: func(s *record.Summary) (float64, bool) { return s.Goodput, s.Judged > 0 && s.Elapsed > 0 }},
		figure{name: "good-ratio", of: func(s *record.Summary) (float64, bool) { return s.GoodRate, s.Judged > 0 }},
		figure{name: "hit-ratio", of: func(s *record.Summary) (float64, bool) { return s.HitRate, s.HitRate >= 0 }},
		figure{name: "peak-pool-ratio", of: func(s *record.Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }},
	)
}

// inSeconds is a time in seconds; one that never came is longer than any.
func inSeconds(d time.Duration) float64 {
	if d == stats.Never {
		return math.Inf(1)
	}
	return d.Seconds()
}

// Units says what a limit on a run can be on, for help and errors.
func Units() string {
	var counts []string
	for _, f := range figures() {
		if !(Limit{Unit: f.name}).IsTime() {
			counts = append(counts, f.name)
		}
	}
	return "p50, p90, p95, p99, p999 and max of ttft, itl, tpot, e2e and lag, as in p95-ttft; " + strings.Join(counts, ", ")
}

// Parse reads a limit on a run.
func Parse(s string) (Limit, error) {
	l, err := Read(s)
	if err == nil && !Known(l.Unit) {
		err = fmt.Errorf("%q: there is no %s; there are %s", s, l.Unit, Units())
	}
	return l, err
}

// Known tells whether there is a figure of that name.
func Known(name string) bool {
	_, ok := find(name)
	return ok
}

func find(name string) (figure, bool) {
	all := figures()
	i := slices.IndexFunc(all, func(f figure) bool { return f.name == name })
	if i < 0 {
		return figure{}, false
	}
	return all[i], true
}

// Percentile is the quantile that the limit is on and what times it is of, such as 0.99 and e2e; false where it is on none.
func (l Limit) Percentile() (q float64, of string, ok bool) {
	f, _ := find(l.Unit)
	_, of, _ = strings.Cut(l.Unit, "-")
	return f.q, of, f.sample != nil
}

// Sample is n of what a percentile is of.
func (l Limit) Sample(n int) string {
	if _, of, _ := l.Percentile(); of == "itl" {
		return fmt.Sprintf("%d gaps between tokens", n)
	}
	return fmt.Sprintf("%d requests", n)
}

// Figure is one of a summary's figures, by a name that is Known; measured is false where it was not measured.
func Figure(name string, s *record.Summary) (v float64, measured bool) {
	f, _ := find(name)
	return f.of(s)
}

// A Standing is how a run stands to a limit.
type Standing string

const (
	Met        Standing = "met"
	Missed     Standing = "missed"
	NotShown   Standing = "not shown"    // the figure is within the limit, but the sample is too small to bound the percentile
	Unmeasured Standing = "not measured" // there is no such figure
)

// Judge holds a summary to the limit. A percentile within it proves nothing where the sample cannot bound it, as the p99 of 20
// requests; needs is then how many would do. One beyond the limit is missed however few they are.
func (l Limit) Judge(s *record.Summary) (stands Standing, value float64, needs int) {
	f, _ := find(l.Unit)
	value, measured := f.of(s)
	switch {
	case !measured:
		return Unmeasured, value, 0
	case !l.Holds(value):
		return Missed, value, 0
	case f.sample != nil && !stats.Supports(f.sample(s).N, f.q):
		return NotShown, value, stats.Wanted(f.q)
	}
	return Met, value, 0
}

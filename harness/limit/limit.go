// Package limit is what a run is held to, such as p95-ttft < 200ms.
package limit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A Limit is what a run must hold, such as p95-ttft < 200ms or rejected > 0.
type Limit struct {
	Unit  string
	Op    string  // < <= > >= ==
	Value float64 // seconds, a ratio or a count
	Text  string  // as it was written
}

// A unit is one figure of a summary. Its value is false where it was not measured.
type unit struct {
	name string
	of   func(s *record.Summary) (float64, bool)
}

// units are all that a limit can be on.
func units() []unit {
	var all []unit
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
		for _, p := range []struct {
			name string
			of   func(d stats.Dist) time.Duration
		}{
			{"p50", func(d stats.Dist) time.Duration { return d.P50 }},
			{"p90", func(d stats.Dist) time.Duration { return d.P90 }},
			{"p95", func(d stats.Dist) time.Duration { return d.P95 }},
			{"p99", func(d stats.Dist) time.Duration { return d.P99 }},
			{"p999", func(d stats.Dist) time.Duration { return d.P999 }},
			{"max", func(d stats.Dist) time.Duration { return d.Max }},
		} {
			all = append(all, unit{p.name + "-" + d.name, func(s *record.Summary) (float64, bool) { return inSeconds(p.of(d.of(s))), d.of(s).N > 0 }})
		}
	}
	for _, o := range []record.Outcome{record.OK, record.Rejected, record.Failed, record.Truncated, record.Timeout, record.Refused, record.Cancelled} {
		all = append(all, unit{string(o), func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[o]), true }})
	}
	share := func(n int, s *record.Summary) (float64, bool) {
		return float64(n) / float64(max(s.Requests, 1)), s.Requests > 0
	}
	return append(all,
		unit{"requests", func(s *record.Summary) (float64, bool) { return float64(s.Requests), true }},
		unit{"error-ratio", func(s *record.Summary) (float64, bool) { return s.ErrorRate, s.Requests > 0 }},
		unit{"reject-ratio", func(s *record.Summary) (float64, bool) { return share(s.Outcomes[record.Rejected], s) }},
		unit{"req/s", func(s *record.Summary) (float64, bool) { return s.RequestsPerSec, s.Elapsed > 0 }},
		unit{"tok/s", func(s *record.Summary) (float64, bool) { return s.TokensPerSec, s.OutputTokens > 0 }},
		unit{"goodput", func(s *record.Summary) (float64, bool) { return s.Goodput, s.Judged > 0 && s.Elapsed > 0 }},
		unit{"good-ratio", func(s *record.Summary) (float64, bool) { return s.GoodRate, s.Judged > 0 }},
		unit{"hit-ratio", func(s *record.Summary) (float64, bool) { return s.HitRate, s.PromptTokens > 0 }},
		unit{"peak-pool-ratio", func(s *record.Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }},
	)
}

// inSeconds is a time in seconds; one that never came is longer than any.
func inSeconds(d time.Duration) float64 {
	if d == stats.Never {
		return math.Inf(1)
	}
	return d.Seconds()
}

// Units says what a limit can be on, for help and errors.
func Units() string {
	var counts []string
	for _, u := range units() {
		if !(Limit{Unit: u.name}).IsTime() {
			counts = append(counts, u.name)
		}
	}
	return "p50, p90, p95, p99, p999 and max of ttft, itl, tpot, e2e and lag, as in p95-ttft; " + strings.Join(counts, ", ")
}

// Parse reads a limit. Times have a unit of time, ratios may be in percent.
func Parse(s string) (Limit, error) {
	i := strings.IndexAny(s, "<>=")
	if i <= 0 {
		return Limit{}, fmt.Errorf("%q is no limit; want one like p95-ttft < 200ms", s)
	}
	l := Limit{Unit: strings.TrimSpace(s[:i]), Op: s[i : i+1], Text: strings.Join(strings.Fields(s), " ")}
	rest := s[i+1:]
	if strings.HasPrefix(rest, "=") {
		l.Op, rest = l.Op+"=", rest[1:]
	}
	if l.Op == "=" {
		return Limit{}, fmt.Errorf("%q: want < <= > >= or ==", s)
	}
	if !slices.ContainsFunc(units(), func(u unit) bool { return u.name == l.Unit }) {
		return Limit{}, fmt.Errorf("%q: there is no %s; there are %s", s, l.Unit, Units())
	}
	var err error
	if l.Value, err = quantity(strings.TrimSpace(rest)); err != nil {
		return Limit{}, fmt.Errorf("%q: %w", s, err)
	}
	if l.IsTime() && l.Value != 0 && !endsInTime(rest) {
		return Limit{}, fmt.Errorf("%q: a time needs its unit, as in 200ms or 5s", s)
	}
	return l, nil
}

// quantity reads 500ms as 0.5, 80% as 0.8 and 100 as 100.
func quantity(s string) (float64, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return d.Seconds(), nil
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || f != f {
		return 0, fmt.Errorf("%q is no time, percentage or number", s)
	}
	if strings.HasSuffix(s, "%") {
		f /= 100
	}
	return f, nil
}

func endsInTime(s string) bool { return strings.HasSuffix(strings.TrimSpace(s), "s") }

// IsTime tells whether the limit is on a time, in seconds.
func (l Limit) IsTime() bool {
	_, of, ok := strings.Cut(l.Unit, "-")
	return ok && slices.Contains([]string{"ttft", "itl", "tpot", "e2e", "lag"}, of)
}

// Check holds a summary to the limit. measured is false where the figure was not measured; then the limit does not hold.
func (l Limit) Check(s *record.Summary) (value float64, measured, holds bool) {
	all := units()
	value, measured = all[slices.IndexFunc(all, func(u unit) bool { return u.name == l.Unit })].of(s)
	if !measured {
		return value, false, false
	}
	switch l.Op {
	case "<":
		holds = value < l.Value
	case "<=":
		holds = value <= l.Value
	case ">":
		holds = value > l.Value
	case ">=":
		holds = value >= l.Value
	default:
		holds = value == l.Value
	}
	return value, true, holds
}

package harness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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
	of   func(s *Summary) (float64, bool)
}

// units are all that a limit can be on.
func units() []unit {
	var all []unit
	for _, d := range []struct {
		name string
		of   func(s *Summary) Dist
	}{
		{"ttft", func(s *Summary) Dist { return s.TTFT }},
		{"itl", func(s *Summary) Dist { return s.ITL }},
		{"tpot", func(s *Summary) Dist { return s.TPOT }},
		{"e2e", func(s *Summary) Dist { return s.E2E }},
		{"lag", func(s *Summary) Dist { return s.Lag }},
	} {
		for _, p := range []struct {
			name string
			of   func(d Dist) time.Duration
		}{
			{"p50", func(d Dist) time.Duration { return d.P50 }},
			{"p90", func(d Dist) time.Duration { return d.P90 }},
			{"p95", func(d Dist) time.Duration { return d.P95 }},
			{"p99", func(d Dist) time.Duration { return d.P99 }},
			{"p999", func(d Dist) time.Duration { return d.P999 }},
			{"max", func(d Dist) time.Duration { return d.Max }},
		} {
			all = append(all, unit{p.name + "-" + d.name, func(s *Summary) (float64, bool) { return p.of(d.of(s)).Seconds(), d.of(s).N > 0 }})
		}
	}
	for _, o := range []Outcome{OK, Rejected, Failed, Truncated, Timeout, Refused, Cancelled} {
		all = append(all, unit{string(o), func(s *Summary) (float64, bool) { return float64(s.Outcomes[o]), true }})
	}
	share := func(n int, s *Summary) (float64, bool) {
		return float64(n) / float64(max(s.Requests, 1)), s.Requests > 0
	}
	return append(all,
		unit{"requests", func(s *Summary) (float64, bool) { return float64(s.Requests), true }},
		unit{"error-ratio", func(s *Summary) (float64, bool) { return s.ErrorRate, s.Requests > 0 }},
		unit{"reject-ratio", func(s *Summary) (float64, bool) { return share(s.Outcomes[Rejected], s) }},
		unit{"req/s", func(s *Summary) (float64, bool) { return s.RequestsPerSec, s.Elapsed > 0 }},
		unit{"tok/s", func(s *Summary) (float64, bool) { return s.TokensPerSec, s.OutputTokens > 0 }},
		unit{"hit-ratio", func(s *Summary) (float64, bool) { return s.HitRate, s.PromptTokens > 0 }},
		unit{"peak-pool-ratio", func(s *Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }},
	)
}

// LimitUnits names the figures that a limit can be on.
func LimitUnits() []string {
	var names []string
	for _, u := range units() {
		names = append(names, u.name)
	}
	return names
}

// ParseLimit reads a limit. Times have a unit of time, ratios may be in percent.
func ParseLimit(s string) (Limit, error) {
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
	if !slices.Contains(LimitUnits(), l.Unit) {
		return Limit{}, fmt.Errorf("%q: there is no %s; there are %s", s, l.Unit, strings.Join(LimitUnits(), ", "))
	}
	var err error
	if l.Value, err = quantity(strings.TrimSpace(rest)); err != nil {
		return Limit{}, fmt.Errorf("%q: %w", s, err)
	}
	if _, isTime := l.time(); isTime && l.Value != 0 && !endsInTime(rest) {
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

// time is the limit as a time, if it is on one.
func (l Limit) time() (time.Duration, bool) {
	_, of, ok := strings.Cut(l.Unit, "-")
	return seconds(l.Value), ok && slices.Contains([]string{"ttft", "itl", "tpot", "e2e", "lag"}, of)
}

// Check holds a summary to the limit. measured is false where the figure was not measured; then the limit does not hold.
func (l Limit) Check(s *Summary) (value float64, measured, holds bool) {
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

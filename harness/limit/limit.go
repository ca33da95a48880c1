// Package limit is what a run is held to, such as p95-ttft < 200ms.
package limit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Limit is what one figure must hold, such as p95-ttft < 200ms or rejected > 0.
type Limit struct {
	Unit  string
	Op    string  // < <= > >= ==
	Value float64 // seconds, a ratio or a count
	Text  string  // as it was written
}

// Read reads a limit on anything. Times have a unit of time, ratios may be in percent.
func Read(s string) (Limit, error) {
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
	value, isTime, err := quantity(strings.TrimSpace(rest))
	if err != nil {
		return Limit{}, fmt.Errorf("%q: %w", s, err)
	}
	if l.Value = value; l.IsTime() && !isTime && value != 0 {
		return Limit{}, fmt.Errorf("%q: a time needs its unit, as in 200ms or 5s", s)
	}
	return l, nil
}

// quantity reads 500ms as 0.5, a time, 80% as 0.8 and 100 as 100.
func quantity(s string) (v float64, isTime bool, err error) {
	if d, err := time.ParseDuration(s); err == nil {
		return d.Seconds(), true, nil
	}
	v, err = strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || v != v {
		return 0, false, fmt.Errorf("%q is no time, percentage or number", s)
	}
	if strings.HasSuffix(s, "%") {
		v /= 100
	}
	return v, false, nil
}

// IsTime tells whether the limit is on a time, in seconds: of one answer, or a percentile of many.
func (l Limit) IsTime() bool {
	of := l.Unit[strings.LastIndex(l.Unit, "-")+1:]
	return slices.Contains([]string{"ttft", "itl", "tpot", "e2e", "lag"}, of)
}

// Duration is the value of a limit on a time, as long as a Duration can be at most.
func (l Limit) Duration() time.Duration {
	return time.Duration(math.Round(min(l.Value*1e9, math.MaxInt64/2)))
}

// Holds tells whether a value is within the limit.
func (l Limit) Holds(v float64) bool {
	switch l.Op {
	case "<":
		return v < l.Value
	case "<=":
		return v <= l.Value
	case ">":
		return v > l.Value
	case ">=":
		return v >= l.Value
	}
	return v == l.Value
}

// Package limit states limits that a measurement must hold, such as p95-ttft < 200ms, and judges
// measurements by them.
package limit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/table"
)

// A Limit is what one figure must hold, such as p95-ttft < 200ms or rejected > 0.
type Limit struct {
	Unit  string  // the figure's name, or the unit of a benchmark line
	Op    string  // < <= > >= ==
	Value float64 // seconds, a ratio or a count
	Text  string  // as it was written
}

// Parse reads a limit on one of the figures. A name that was used for a figure before is accepted;
// the limit's Unit is the name of today.
func Parse(s string) (Limit, error) {
	l, err := ParseAny(s)
	if err != nil {
		return l, err
	}
	if _, ok := figure.Find(l.Unit); !ok {
		return l, fmt.Errorf("%q: there is no %s; there are %s", s, l.Unit, figure.Names())
	}
	return l, nil
}

// ParseAny reads a limit on anything that has a name. A limit on a time has a unit of time; one on
// a ratio may be in percent.
func ParseAny(s string) (Limit, error) {
	i := strings.IndexAny(s, "<>=")
	if i <= 0 {
		return Limit{}, fmt.Errorf("%q is not a limit; want one like p95-ttft < 200ms", s)
	}
	l := Limit{Unit: strings.TrimSpace(s[:i]), Op: s[i : i+1], Text: table.OneLine(s)}
	if f, ok := figure.Find(l.Unit); ok {
		l.Unit = f.Name
	}
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
	if l.Value = value; figure.IsTime(l.Unit) && !isTime && value != 0 {
		return Limit{}, fmt.Errorf("%q: a time needs its unit, as in 200ms or 5s", s)
	}
	return l, l.checkUnit(strings.TrimSpace(rest), isTime)
}

// checkUnit refuses a value that a figure cannot have, or that hardly any figure misses: written by
// mistake, it would be a limit that never holds, or always.
func (l Limit) checkUnit(value string, isTime bool) error {
	f, known := figure.Find(l.Unit)
	percent := strings.HasSuffix(value, "%")
	switch {
	case !known || l.Value == 0:
		return nil
	case isTime && !f.IsTime():
		return fmt.Errorf("%q: %s is no time", l.Text, l.Unit)
	case percent && f.Unit != figure.Ratio:
		return fmt.Errorf("%q: %s is no ratio, of which there are percentages", l.Text, l.Unit)
	case f.Unit == figure.Ratio && l.Value > 1:
		return fmt.Errorf("%q: a ratio is from 0 to 1, or from 0%% to 100%%", l.Text)
	case f.Unit == figure.Ratio && f.Rule.Exact && l.Value == 1 && !percent && l.Op[0] == '<':
		return fmt.Errorf("%q: 1 is all of them, and so nearly no limit; want a percentage, such as 1%%",
			l.Text)
	}
	return nil
}

// quantity reads 500ms as 0.5 and a time, 80% as 0.8, and 100 as 100.
func quantity(s string) (v float64, isTime bool, err error) {
	if d, err := time.ParseDuration(s); err == nil {
		return d.Seconds(), true, nil
	}
	v, err = strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || v != v {
		return 0, false, fmt.Errorf("%q is not a time, percentage or number", s)
	}
	if strings.HasSuffix(s, "%") {
		v /= 100
	}
	return v, false, nil
}

// Duration is the value of a limit on a time, at most as long as a Duration can be.
func (l Limit) Duration() time.Duration {
	return time.Duration(math.Round(min(l.Value*1e9, math.MaxInt64/2)))
}

// Holds reports whether a value is within the limit.
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

// Above reports whether more of the figure is better: the limit is a lower bound.
func (l Limit) Above() bool { return strings.HasPrefix(l.Op, ">") }

// Package figure is the table of what a measurement comes to: every figure by its one name, what it
// is of, its unit, which way is better, how it is read from a summary and how a gate judges it.
//
// Limits, bench.txt, summary.csv, results.json, the gate's rules and the help range over this
// table, so a new figure is one line here and appears in all of them.
package figure

import (
	"math"
	"slices"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// A Better says which way a figure is better.
type Better string

const (
	Lower  Better = "lower"
	Higher Better = "higher"
)

// These are the units of figures. A ratio is from 0 to 1.
const (
	Seconds   = "s"
	PerSecond = "1/s"
	PerHour   = "1/h"
	Ratio     = "ratio"
	Requests  = "requests"
	Tokens    = "tokens"
	Jobs      = "jobs"
	Calls     = "calls"
	Values    = "values" // how many values a percentile is of
)

// A Figure is one row of the table.
type Figure struct {
	Name   string // its one spelling: p95-ttft, req/s, hit-ratio
	Unit   string // of its values
	Better Better // "" where neither way is

	// Of names the times of which it is a percentile or the maximum; "" there are none.
	Of       string
	Quantile float64 // of a percentile: 0.95; 0 of anything else

	Bench bool // is in benchmark lines
	Rule  Rule // how a gate judges it

	aliases []string // other spellings, of older files and scenarios: they are read, never written
	time    func(*record.Summary) (time.Duration, bool)
	value   value
	dist    func(*record.Summary) stats.Dist
}

// Value is the figure of a summary in its unit; a time that never came is +Inf. measured is false
// where there is no such figure.
func (f Figure) Value(s *record.Summary) (v float64, measured bool) {
	if f.time == nil {
		return f.value(s)
	}
	d, measured := f.time(s)
	if d == stats.Never {
		return math.Inf(1), measured
	}
	return d.Seconds(), measured
}

// BenchValue is the figure as a benchmark line has it: a time in nanoseconds, all else as Value.
func (f Figure) BenchValue(s *record.Summary) (v float64, measured bool) {
	if f.time == nil {
		return f.value(s)
	}
	d, measured := f.time(s)
	if d == stats.Never {
		return math.Inf(1), measured
	}
	return float64(d), measured
}

// BenchUnit is the unit of a benchmark line that the figure is: p95-ttft-ns, req/s. benchstat knows
// the suffix -ns and scales times for the reader.
func (f Figure) BenchUnit() string {
	if f.IsTime() {
		return f.Name + "-ns"
	}
	return f.Name
}

// IsTime reports whether the figure is a time, in seconds.
func (f Figure) IsTime() bool { return f.Unit == Seconds }

// isSize reports whether the figure says how many values the percentiles of some times are of.
func (f Figure) isSize() bool { return f.Unit == Values }

// Size is how many values the percentile of a summary is of.
func (f Figure) Size(s *record.Summary) int { return f.dist(s).N }

// Sample is n of the values that a percentile is of, in words.
func (f Figure) Sample(n int) string {
	switch f.Of {
	case "itl":
		return table.Plural(n, "gap") + " between pieces"
	case "job", "calling", "tool-call":
		return table.Plural(n, "job")
	}
	return table.Plural(n, "request")
}

// Format is a value of the figure as people read it.
func (f Figure) Format(v float64) string {
	switch f.Unit {
	case Seconds:
		if math.IsInf(v, 1) {
			return table.Duration(stats.Never)
		}
		return table.Duration(time.Duration(v * float64(time.Second)))
	case Ratio:
		return table.Percent(v)
	case PerSecond, PerHour:
		return table.Rate(v)
	}
	if v != math.Trunc(v) { // tokens of a piece
		return table.Three(v)
	}
	return table.Count(v)
}

// Find is the figure of that name, or of a spelling that was used before.
func Find(name string) (Figure, bool) {
	i := slices.IndexFunc(all, func(f Figure) bool {
		return f.Name == name || slices.Contains(f.aliases, name)
	})
	if i < 0 {
		return Figure{}, false
	}
	return all[i], true
}

// All are the figures, in the order in which they are written.
func All() []Figure { return slices.Clone(all) }

// Bench are the figures of a benchmark line.
func Bench() []Figure {
	return slices.DeleteFunc(All(), func(f Figure) bool { return !f.Bench })
}

// Scalars are the figures that are one number of a summary: neither of times nor the size of a
// sample.
func Scalars() []Figure {
	return slices.DeleteFunc(All(), func(f Figure) bool { return f.Of != "" || f.isSize() })
}

// Names lists the names that a limit can be on, for help and errors.
func Names() string {
	var scalars []string
	for _, f := range Scalars() {
		scalars = append(scalars, f.Name)
	}
	return "p50, p90, p95, p99, p999 and max of " + strings.Join(limited, ", ") +
		", as in p95-ttft; " +
		strings.Join(scalars, ", ")
}

package page

import (
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/report"
)

// targets are those of latency, as charts mark them.
var targets = []struct {
	name  string
	share float64
	limit time.Duration
}{{"p50", 0.50, report.TargetP50}, {"p95", 0.95, report.TargetP95}, {"p99", 0.99, report.TargetP99}}

// A targetCard draws an outcome as a bar with a mark at the limit; the longer of the two fills the
// width.
type targetCard struct {
	limit.Outcome
	Fill, Mark float64 // parts of the width
	Met        bool
}

func newTargetCard(o limit.Outcome) targetCard {
	c := targetCard{Outcome: o, Met: o.Standing == limit.Met}
	scale := max(1.25, min(o.Fraction, 40)*1.08)
	c.Fill, c.Mark = min(o.Fraction/scale, 1), 1/scale
	return c
}

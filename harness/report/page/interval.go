package page

import (
	"loadstone/harness/report"
	"loadstone/harness/stats"
)

// bounds are where 95 of 100 repetitions of the measurement would find a percentile. They take the
// requests for independent, which those that share a batch are not quite: the true interval is
// wider.
type bounds struct {
	Index      int
	X, Lo, Hi  float64
	Text       string
	OpenAbove  bool // more than the largest value measured
	Percentile string
}

// newInterval is the interval of a percentile; ok is false where the sample is too small for one.
func newInterval(d stats.Dist, q float64, y logAxis) (v bounds, ok bool) {
	ci, ok := d.Interval(q)
	if !ok || ci.Lo == never {
		return v, false
	}
	v.Lo, v.Hi, v.OpenAbove = px(y.at(ci.Lo)), px(y.at(ci.Hi)), ci.Hi == never
	v.Text = "95 % interval " + report.Interval(d, q)
	return v, true
}

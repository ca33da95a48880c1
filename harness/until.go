package harness

import (
	"math"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// An Until ends a measurement that is exact enough: after the first round of runs in which, at every level, a figure's
// median over the runs is known well enough. To look after every round makes the interval a little too narrow: of those
// found so, somewhat fewer than 95 % hold the median.
type Until struct {
	Figure string  // one that a limit can be on, such as p95-e2e
	Within float64 // most that half the 95 % interval may be of the median: 0.05 is 5 %
}

// Spread is how well the figure is known at the level where it is known worst: half its interval as a part of its median,
// +Inf where there are too few runs for an interval, fewer than six.
func (u *Until) Spread(runs []record.Run) float64 {
	values := map[load.Level][]float64{}
	for _, run := range runs {
		s := run.Summary()
		f, _ := figure.Find(u.Figure)
		v, measured := f.Value(&s)
		if !measured {
			return math.Inf(1)
		}
		values[run.Level] = append(values[run.Level], v)
	}
	worst := 0.0
	for _, of := range values {
		lo, median, hi, ok := stats.Median(of)
		spread := (hi - lo) / 2 / median
		switch {
		case !ok || math.IsInf(hi, 1):
			spread = math.Inf(1)
		case hi == lo:
			spread = 0 // a median of 0 as well
		}
		worst = max(worst, spread)
	}
	return worst
}

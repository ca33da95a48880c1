package harness

import (
	"math"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
	"loadstone/harness/stats"
)

// Spread is how well a figure's median over the runs is known at the level where it is known worst:
// half of its 95 % interval as a part of the median, +Inf where there are too few runs for an
// interval, fewer than six.
func Spread(u *scenario.Until, runs []record.Run) float64 {
	type point struct {
		scenario string
		level    load.Level
	}
	values := map[point][]float64{}
	for _, run := range runs {
		s := run.Summary()
		f, _ := figure.Find(u.Figure)
		v, measured := f.Value(&s)
		if !measured {
			return math.Inf(1)
		}
		at := point{run.Scenario, run.Level}
		values[at] = append(values[at], v)
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

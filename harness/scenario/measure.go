package scenario

import "loadstone/harness/limit"

// A Search looks for the highest level at which every limit holds.
type Search struct {
	Kind      string // "rate" or "concurrency"
	Low, High float64
	// it stops when the highest level that holds and the lowest that does not are so near: 0.05 is
	// 5 %
	Within float64
	Limits []limit.Limit
}

// An Until ends a measurement that is exact enough: after the first round of runs in which, at
// every level, a figure's median over the runs is known well enough. To look after every round
// makes the interval a little too narrow: of those found so, somewhat fewer than 95 % hold the
// median.
type Until struct {
	Figure string  // one that a limit can be on, such as p95-e2e
	Within float64 // max half width of the 95 % interval, as a part of the median: 0.05 is 5 %
}

package record

import (
	"math"
	"slices"
	"time"
)

// Steady says where a run's steady state begins.
type Steady struct {
	Found    bool          // there is a steady part, of at least half of the run
	Growing  bool          // latency grew as long as the run lasted: the server does not keep up
	Requests int           // answered before the steady part, in the order in which they were due
	From     time.Duration // when it begins, after the run's first request was due
}

// steadyBatch is how many observations make one mean of MSER-5.
const steadyBatch = 5

// minSteady is how many observations there must be for anything to be said of a steady state.
const minSteady = 10 * steadyBatch

// FindSteady looks for the end of a run's warm-up in the end-to-end latencies of its answered
// requests. The records are in the order in which they were due. It cuts where the rest has the
// smallest standard error of its mean: MSER-5 (White, Cobb and Spratt, A comparison of five
// steady-state truncation heuristics for simulation, Winter Simulation Conference 2000). Where the
// best cut is half of the run, or the requests are too few, no steady state is found.
func FindSteady(records []Record) Steady {
	var answered []*Record
	for i := range records {
		if r := &records[i]; r.Outcome == OK && !r.Slow {
			answered = append(answered, r)
		}
	}
	if len(answered) < minSteady {
		return Steady{}
	}
	var means []float64
	for batch := range slices.Chunk(answered, steadyBatch) {
		if len(batch) < steadyBatch {
			break
		}
		sum := 0.0
		for _, r := range batch {
			sum += r.Latency().Seconds()
		}
		means = append(means, sum/steadyBatch)
	}
	cut := mser(means)
	if grows(means[cut:], minGrowth) {
		return Steady{Growing: true}
	}
	if cut == len(means)/2 {
		// What grows from the first request to the last may grow too little in one half of them.
		return Steady{Growing: grows(means, minGrowth) && grows(means[cut:], minGrowth/4)}
	}
	n := cut * steadyBatch
	return Steady{Found: true, Requests: n, From: answered[n].Due - records[0].Due}
}

// mser is how many of the first values to leave out, at most half of them, to minimise
// sum((y-mean)^2)/k^2 over the k values that are left. Cuts in the second half are not tried: there
// a few values that happen to be alike would win.
func mser(y []float64) int {
	smallest, at := math.Inf(1), 0
	var mean, squares, k float64 // of the values from i on, after Welford
	for i := len(y) - 1; i >= 0; i-- {
		k++
		off := y[i] - mean
		mean += off / k
		squares += off * (y[i] - mean)
		if e := squares / (k * k); i <= len(y)/2 && e <= smallest {
			smallest, at = e, i
		}
	}
	return at
}

// minGrowth is how much of its mean a latency grows by in a run, at least, that is said to grow.
const minGrowth = 0.5

// grows reports whether values rise from first to last by more than a share of their mean, along a
// line (least squares) whose slope is more than three standard errors above 0.
func grows(y []float64, share float64) bool {
	n := float64(len(y))
	if n < 3 {
		return false
	}
	middle, mean := (n-1)/2, 0.0
	for _, v := range y {
		mean += v / n
	}
	var sxx, sxy, syy float64
	for i, v := range y {
		dx, dy := float64(i)-middle, v-mean
		sxx, sxy, syy = sxx+dx*dx, sxy+dx*dy, syy+dy*dy
	}
	slope := sxy / sxx
	residual := math.Sqrt(max(0, syy-slope*sxy) / (n - 2) / sxx)
	return slope > 3*residual && slope*(n-1) > mean*share
}

package stats_test

import (
	"fmt"
	"time"

	"loadstone/harness/stats"
)

// Of 100 values the median and p95 have an interval; a p99 would need 441.
func ExampleDescribe() {
	var sample []time.Duration
	for i := range 100 {
		sample = append(sample, time.Duration(i+1)*time.Millisecond)
	}
	d := stats.Describe(sample)
	for _, q := range []float64{0.50, 0.95, 0.99} {
		if ci, ok := d.Interval(q); ok {
			fmt.Printf("p%.0f %v, between %v and %v\n", 100*q, d.At(q), ci.Lo, ci.Hi)
		} else {
			fmt.Printf("p%.0f needs %d values\n", 100*q, stats.Wanted(q))
		}
	}
	// Output:
	// p50 50ms, between 40ms and 60ms
	// p95 95ms, between 91ms and 100ms
	// p99 needs 441 values
}

package report

import (
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// TTFTs are the time to first token of one request, as a distribution of many takes it: none of a
// request that was refused, cancelled or slowed on purpose, stats.Never of any other that failed.
func TTFTs(r *record.Record) []time.Duration {
	if r.TTFT() < 0 { // an absent time is not a good one
		return arrival(r, stats.Never)
	}
	return arrival(r, r.TTFT())
}

// Latencies are the end-to-end time of one request, taken as TTFTs takes it.
func Latencies(r *record.Record) []time.Duration { return arrival(r, r.Latency()) }

func arrival(r *record.Record, d time.Duration) []time.Duration {
	switch {
	case r.Outcome == record.OK && r.Slow:
		return nil
	case r.Outcome == record.OK:
		return []time.Duration{d}
	case r.Outcome == record.Rejected || r.Outcome == record.Cancelled:
		return nil
	}
	return []time.Duration{stats.Never}
}

// Gaps are the times between two pieces of a complete answer, as they came.
func Gaps(r *record.Record) []time.Duration {
	if r.Outcome != record.OK || r.Slow {
		return nil
	}
	return r.Gaps()
}

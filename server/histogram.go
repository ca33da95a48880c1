package server

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Bucket bounds in seconds. A request lasts from a refusal (1 ms) to a long answer (minutes). The
// time between two tokens, and the wait in the queue, begin a decade lower.
var (
	requestBounds = []float64{
		0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120,
	}
	tokenBounds = []float64{
		0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5,
	}
)

// A histogram counts durations in buckets, in the form of Prometheus. A scrape may see an
// observation in its bucket and not yet in the sum.
type histogram struct {
	bounds  []float64 // upper bounds, ascending
	buckets []atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, buckets: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(d time.Duration) {
	i, seconds := 0, d.Seconds()
	for i < len(h.bounds) && seconds > h.bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) empty() bool {
	for i := range h.buckets {
		if h.buckets[i].Load() > 0 {
			return false
		}
	}
	return true
}

// append appends the series of the histogram; labels is "" or `name="value"`.
func (h *histogram) append(b []byte, name, labels string) []byte {
	comma, braced := "", ""
	if labels != "" {
		comma, braced = ",", "{"+labels+"}"
	}
	var total uint64
	for i := range h.buckets {
		total += h.buckets[i].Load()
		le := "+Inf"
		if i < len(h.bounds) {
			le = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		b = append(b, name+"_bucket{"+labels+comma+`le="`+le+`"} `...)
		b = strconv.AppendUint(b, total, 10)
		b = append(b, '\n')
	}
	b = append(b, name+"_sum"+braced+" "...)
	b = strconv.AppendFloat(b, time.Duration(h.sum.Load()).Seconds(), 'g', -1, 64)
	b = append(b, "\n"+name+"_count"+braced+" "...)
	b = strconv.AppendUint(b, total, 10)
	return append(b, '\n')
}

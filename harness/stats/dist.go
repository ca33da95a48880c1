// Package stats describes samples of durations by percentiles, each with the interval that the
// sample supports.
package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/aclements/go-moremath/stats"
)

// Never is the latency of a request that did not succeed: longer than any other, so that failures
// worsen percentiles instead of leaving them.
const Never = time.Duration(math.MaxInt64)

// Quantiles are the quantiles that a Dist has.
var Quantiles = [...]float64{0.50, 0.90, 0.95, 0.99, 0.999}

// A Dist describes a sample of durations. Percentiles are by nearest rank: the p-th percentile of N
// sorted values is value number ceil(p*N). A sample with failures in it has percentiles of Never
// from where they begin.
type Dist struct {
	N                        int
	P50, P90, P95, P99, P999 time.Duration
	// The intervals of the percentiles, in the order of Quantiles.
	CI       [len(Quantiles)]Interval
	Min, Max time.Duration
	Mean     time.Duration // of the values below Never
}

// An Interval is where a percentile lies with 95 % confidence, if the values are independent: two
// of the sample's own values, the order statistics of the binomial distribution. A sample too small
// for one has the zero Interval, and its percentile is then no more than its largest value: 6
// values bound a median, 39 a p90, 76 a p95, 441 a p99, 4394 a p99.9.
type Interval struct{ Lo, Hi time.Duration }

// Interval is the interval of a quantile. It is false where the sample is too small, or where the
// quantile is not one of Quantiles.
func (d Dist) Interval(q float64) (Interval, bool) {
	i := slices.Index(Quantiles[:], q)
	if i < 0 || !Supports(d.N, q) {
		return Interval{}, false
	}
	return d.CI[i], true
}

// At is the percentile at one of Quantiles. It panics for any other quantile.
func (d Dist) At(q float64) time.Duration {
	switch q {
	case 0.50:
		return d.P50
	case 0.90:
		return d.P90
	case 0.95:
		return d.P95
	case 0.99:
		return d.P99
	case 0.999:
		return d.P999
	}
	panic(fmt.Sprintf("stats: a Dist has no %g quantile", q))
}

// Highest is the highest percentile up to p99 that the sample supports, and its name. Both are zero
// where the sample supports none.
func (d Dist) Highest() (time.Duration, string) {
	for _, q := range []float64{0.99, 0.95, 0.90, 0.50} {
		if Supports(d.N, q) {
			return d.At(q), fmt.Sprintf("p%.0f", 100*q)
		}
	}
	return 0, ""
}

// Supports reports whether n values bound a quantile on both sides with 95 % confidence. Where they
// do not, no figure should be shown for it.
func Supports(n int, q float64) bool {
	_, _, ok := bounds(n, q)
	return ok
}

// Wanted is the smallest number of values that bounds a quantile in that way.
func Wanted(q float64) int {
	return 1 + sort.Search(1<<20, func(n int) bool { return Supports(n+1, q) })
}

// Median is the median of some values with its 95 % interval. It sorts the values in place, and is
// false where they are too few for an interval.
func Median(values []float64) (lo, median, hi float64, ok bool) {
	n := len(values)
	i, j, ok := bounds(n, 0.5)
	if !ok {
		return 0, 0, 0, false
	}
	slices.Sort(values)
	return values[i-1], (values[(n-1)/2] + values[n/2]) / 2, values[j-1], true
}

// bounds are the ranks, from 1, of the values that bound a quantile.
func bounds(n int, q float64) (lo, hi int, ok bool) {
	ci := stats.QuantileCI(n, q, 0.95)
	return ci.LoOrder, ci.HiOrder, ci.LoOrder >= 1 && ci.HiOrder <= n
}

// Describe makes the Dist of a sample, which it sorts in place. An empty sample has the zero Dist.
func Describe(sample []time.Duration) Dist {
	var s Durations
	slices.Sort(sample)
	for _, v := range sample {
		s.note(v)
	}
	return s.describe(func(rank int) time.Duration { return sample[rank-1] })
}

// Durations describes a sample of durations in memory that does not grow with their number: up to
// 65536 are kept as they are, and more become a histogram whose percentiles are right to three
// digits (Tene's HdrHistogram).
type Durations struct {
	exact     []time.Duration
	histogram *hdrhistogram.Histogram // of the finite values, once they are too many
	n, never  int
	sum       float64 // of the finite values
	min, max  time.Duration
}

const exactValues = 1 << 16

// longest is the longest time that the histogram can hold. No request of a load run takes ten
// hours.
const longest = 10 * time.Hour

// Add adds one value.
func (s *Durations) Add(v time.Duration) {
	s.note(v)
	switch {
	case s.histogram != nil:
		s.record(v)
	case len(s.exact) < exactValues:
		s.exact = append(s.exact, v)
	default:
		s.histogram = hdrhistogram.New(1, int64(longest), 3)
		for _, old := range append(s.exact, v) {
			s.record(old)
		}
		s.exact = nil
	}
}

// note keeps what stays exact, however many values there are.
func (s *Durations) note(v time.Duration) {
	if s.n == 0 {
		s.min, s.max = v, v
	}
	s.n++
	s.min, s.max = min(s.min, v), max(s.max, v)
	if v == Never {
		s.never++
	} else {
		s.sum += float64(v)
	}
}

func (s *Durations) record(v time.Duration) {
	if v != Never {
		// The value is in range, so the error cannot occur. A difference between the server's
		// clock and the client's may lie below 0.
		_ = s.histogram.RecordValue(int64(min(max(v, 0), longest)))
	}
}

// Dist describes what was added so far.
func (s *Durations) Dist() Dist {
	if s.histogram == nil {
		sorted := slices.Clone(s.exact)
		slices.Sort(sorted)
		return s.describe(func(rank int) time.Duration { return sorted[rank-1] })
	}
	finite := s.n - s.never
	return s.describe(func(rank int) time.Duration {
		if rank > finite {
			return Never
		}
		v := time.Duration(s.histogram.ValueAtQuantile(100 * float64(rank) / float64(finite)))
		return min(max(v, s.min), s.max)
	})
}

// describe makes the Dist; at gives the value of a rank, from 1.
func (s *Durations) describe(at func(rank int) time.Duration) Dist {
	if s.n == 0 {
		return Dist{}
	}
	d := Dist{N: s.n, Min: s.min, Max: s.max}
	for i, p := range []*time.Duration{&d.P50, &d.P90, &d.P95, &d.P99, &d.P999} {
		// The small subtraction keeps 0.95*20 = 19.000000000000004 from becoming rank 20.
		rank := int(math.Ceil(Quantiles[i]*float64(s.n) - 1e-9))
		*p = at(max(rank, 1))
		if lo, hi, ok := bounds(s.n, Quantiles[i]); ok {
			d.CI[i] = Interval{at(lo), at(hi)}
		}
	}
	if finite := s.n - s.never; finite > 0 {
		d.Mean = time.Duration(s.sum / float64(finite))
	}
	return d
}

// Merge adds all values of another sample.
func (s *Durations) Merge(o *Durations) {
	if o.histogram == nil {
		for _, v := range o.exact {
			s.Add(v)
		}
		return
	}
	if s.histogram == nil {
		s.histogram = hdrhistogram.New(1, int64(longest), 3)
		for _, v := range s.exact {
			s.record(v)
		}
		s.exact = nil
	}
	s.histogram.Merge(o.histogram)
	if s.n == 0 {
		s.min, s.max = o.min, o.max
	}
	s.n, s.never, s.sum = s.n+o.n, s.never+o.never, s.sum+o.sum
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
}

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

const ms = time.Millisecond

func TestDescribe(t *testing.T) {
	var sample []time.Duration
	for i := 100; i >= 1; i-- {
		sample = append(sample, time.Duration(i)*ms)
	}
	assert.DeepEqual(t, Describe(sample), Dist{N: 100, P50: 50 * ms, P90: 90 * ms, P95: 95 * ms,
		P99:  99 * ms,
		P999: 100 * ms, Min: ms, Max: 100 * ms, Mean: 50500 * time.Microsecond,
		CI: [len(Quantiles)]Interval{{40 * ms, 60 * ms}, {84 * ms, 96 * ms}, {91 * ms, 100 * ms}}})
	assert.DeepEqual(t, Describe([]time.Duration{7}),
		Dist{N: 1, P50: 7, P90: 7, P95: 7, P99: 7, P999: 7, Min: 7, Max: 7, Mean: 7})
	assert.DeepEqual(t, Describe(nil), Dist{})
	// 5 of 100 failed: the 95th percentile still is a real latency, the 96th and above are not.
	for i := range 5 {
		sample[99-i] = Never
	}
	d := Describe(sample)
	assert.Equal(t, d.P95, 95*ms)
	assert.Equal(t, d.P99, Never)
	assert.Equal(t, d.Mean, 48*ms)
}

// The smallest samples that bound each percentile on both sides.
func TestSupports(t *testing.T) {
	for q, smallest := range map[float64]int{0.50: 6, 0.90: 39, 0.95: 76, 0.99: 441, 0.999: 4394} {
		for n := range smallest {
			assert.Assert(t, !Supports(n, q), "%d values for %g", n, q)
		}
		assert.Assert(t, Supports(smallest, q), "%d values for %g", smallest, q)
	}
	_, ok := Describe(make([]time.Duration, 440)).Interval(0.99)
	assert.Assert(t, !ok)
	d := Describe(ranks(1000))
	in, ok := d.Interval(0.99)
	assert.Assert(t, ok)
	assert.Equal(t, in, Interval{984, 997})
	_, ok = d.Interval(0.5001)
	assert.Assert(t, !ok)
}

// ranks are n values in disorder, each its own rank.
func ranks(n int) []time.Duration {
	values := make([]time.Duration, n)
	for i, j := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		values[i] = time.Duration(j + 1)
	}
	return values
}

// The interval holds the true percentile as often as it says: in 95 of 100 samples, or more where n
// is small.
func TestIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const trials = 4000
	for _, n := range []int{76, 441, 1000} {
		covered := [len(Quantiles)]int{}
		for range trials {
			values := make([]time.Duration, n)
			for i := range values {
				values[i] = time.Duration(rng.ExpFloat64() * 1e9)
			}
			d := Describe(values)
			for i, q := range Quantiles {
				truth := time.Duration(-math.Log(1-q) * 1e9)
				if in, ok := d.Interval(q); ok && in.Lo <= truth && truth <= in.Hi {
					covered[i]++
				}
			}
		}
		for i, q := range Quantiles {
			if share := float64(covered[i]) / trials; Supports(n, q) && share < 0.94 {
				t.Errorf("n=%d: the interval of %g holds it in %.3f of samples", n, q, share)
			}
		}
	}
}

// Beyond the values it keeps, a sample is right to three digits, failures included, and grows no
// more.
func TestDurationsInBoundedMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var s, a, b Durations
	var values []time.Duration
	for i := range 3 * exactValues {
		v := time.Duration(math.Exp(rng.NormFloat64()) * float64(20*time.Millisecond))
		if rng.IntN(400) == 0 {
			v = Never
		}
		values = append(values, v)
		s.Add(v)
		if i < exactValues/2 {
			a.Add(v)
		} else {
			b.Add(v)
		}
	}
	want := Describe(values)
	for _, sample := range []*Durations{&s, merged(&a, &b), merged(&b, &a)} {
		got := sample.Dist()
		assert.Equal(t, got.N, want.N)
		assert.Equal(t, got.Min, want.Min)
		assert.Equal(t, got.Max, Never)
		assert.Equal(t, got.P999, Never) // one in 400 never came
		near := func(got, want time.Duration) {
			t.Helper()
			assert.Assert(t, math.Abs(float64(got)/float64(want)-1) < 1e-3, "%v, want %v", got,
				want)
		}
		near(got.P50, want.P50)
		near(got.P90, want.P90)
		near(got.P95, want.P95)
		near(got.P99, want.P99)
		near(got.Mean, want.Mean)
		near(got.CI[3].Lo, want.CI[3].Lo)
		near(got.CI[3].Hi, want.CI[3].Hi)
		assert.Assert(t, sample.exact == nil)
	}
}

// merged is a copy of a with b in it.
func merged(a, b *Durations) *Durations {
	var m Durations
	m.Merge(a)
	m.Merge(b)
	return &m
}

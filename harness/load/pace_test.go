package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestPacers(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name  string
		pacer Pacer
		want  []time.Duration // of requests 0, 1, 2, ...
	}{
		{"constant", Constant(4), []time.Duration{0, s / 4, s / 2, 3 * s / 4, s}},
		{"burst", Burst{Size: 2, Every: s}, []time.Duration{0, 0, s, s, 2 * s}},
		// 2*t requests a second: t^2 by time t, until 3 s and 9 requests, then 6 a second.
		{"ramp from 0", Ramp(0, 6, 3*s), []time.Duration{0, s, 1414213562, 1732050807, 2 * s,
			2236067977, 2449489742, 2645751311, 2828427124, 3 * s, 3*s + s/6}},
		{"ramp that does not climb", Ramp(4, 4, s), []time.Duration{0, s / 4, s / 2, 3 * s / 4, s, 5 * s / 4}},
		{"ramp down", Ramp(3, 1, s), []time.Duration{0, 381966011, s, 2 * s}},
		// 2 would be due at 2 s exactly, where the rate is 0
		{"ramp to nothing", Ramp(2, 0, 2*s), []time.Duration{0, 585786438, neverDue, neverDue}},
		{"steps", Steps(2*s, 1, 2, 4), []time.Duration{0, s, 2 * s, 5 * s / 2, 3 * s, 7 * s / 2, 4 * s, 17 * s / 4, 9 * s / 2, 19 * s / 4, 5 * s}},
		{"a step of nothing", Steps(s, 2, 0, 1), []time.Duration{0, s / 2, 2 * s, 3 * s}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i, want := range tc.want {
				got := tc.pacer.Due(i)
				assert.Assert(t, (got-want).Abs() <= time.Microsecond, "request %d is due at %v, want %v", i, got, want)
			}
		})
	}
}

// The gaps of gamma arrivals have mean 1/rate and standard deviation 1/(rate*sqrt(shape)); shape 1
// is Poisson, where the two are the same.
func TestGamma(t *testing.T) {
	const rate, n = 50.0, 40000
	for _, shape := range []float64{0.25, 1, 4} {
		due := slices.Collect(Gamma(Constant(rate), shape, 1, n, 0))
		assert.Equal(t, len(due), n)
		var sum, squares float64
		last := time.Duration(0)
		for _, at := range due {
			gap := (at - last).Seconds()
			assert.Assert(t, gap >= 0)
			last = at
			sum, squares = sum+gap, squares+gap*gap
		}
		mean := sum / n
		deviation := math.Sqrt(squares/n - mean*mean)
		assert.Assert(t, math.Abs(mean*rate-1) < 0.03, "shape %g: mean %g", shape, mean)
		assert.Assert(t, math.Abs(deviation*rate*math.Sqrt(shape)-1) < 0.04, "shape %g: deviation %g", shape, deviation)
		assert.DeepEqual(t, slices.Collect(Gamma(Constant(rate), shape, 1, 10, 0)), due[:10:10])
		assert.Assert(t, slices.Collect(Gamma(Constant(rate), shape, 2, 10, 0))[9] != due[9])
	}
}

// Random arrivals follow the rate where it changes: as many fall into each second as the rate there
// says.
func TestGammaFollowsTheRate(t *testing.T) {
	due := slices.Collect(Gamma(Steps(10*time.Second, 100, 400, 0), 1, 7, math.MaxInt, time.Minute))
	assert.Assert(t, slices.IsSorted(due))
	var n [3]int
	for _, at := range due {
		n[min(int(at/(10*time.Second)), 2)]++
	}
	assert.Assert(t, math.Abs(float64(n[0])-1000) < 100, "%d arrivals at 100/s", n[0])
	assert.Assert(t, math.Abs(float64(n[1])-4000) < 200, "%d arrivals at 400/s", n[1])
	assert.Equal(t, n[2], 0)
}

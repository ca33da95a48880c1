package harness

import (
	"math"
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
		{"constant", Constant{Rate: 4}, []time.Duration{0, s / 4, s / 2, 3 * s / 4, s}},
		{"burst", Burst{Size: 2, Every: s}, []time.Duration{0, 0, s, s, 2 * s}},
		// 2*t requests a second: t^2 by time t, until 3 s and 9 requests, then 6 a second.
		{"ramp from 0", Ramp{From: 0, To: 6, Over: 3 * s}, []time.Duration{0, s, 1414213562, 1732050807, 2 * s,
			2236067977, 2449489742, 2645751311, 2828427124, 3 * s, 3*s + s/6}},
		{"ramp that does not climb", Ramp{From: 4, To: 4, Over: s}, []time.Duration{0, s / 4, s / 2, 3 * s / 4, s, 5 * s / 4}},
		{"ramp down", Ramp{From: 3, To: 1, Over: s}, []time.Duration{0, 381966011, s, 2 * s}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i, want := range tc.want {
				got := tc.pacer.Due(i)
				assert.Assert(t, (got-want).Abs() <= time.Microsecond, "request %d is due at %v, want %v", i, got, want)
			}
		})
	}
}

// The gaps of a Poisson plan are exponential: mean and standard deviation are both 1/rate.
func TestPoisson(t *testing.T) {
	const rate, n = 50.0, 20000
	p := NewPoisson(rate, n, 1)
	var sum, squares float64
	last := time.Duration(0)
	for i := range n {
		gap := (p.Due(i) - last).Seconds()
		assert.Assert(t, gap >= 0)
		last = p.Due(i)
		sum, squares = sum+gap, squares+gap*gap
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	assert.Assert(t, math.Abs(mean*rate-1) < 0.03, "mean %g", mean)
	assert.Assert(t, math.Abs(deviation*rate-1) < 0.03, "deviation %g", deviation)
	assert.DeepEqual(t, NewPoisson(rate, 10, 1).due, p.due[:10])
	assert.Assert(t, NewPoisson(rate, 10, 2).Due(9) != p.Due(9))
}

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// series draws values whose neighbours are alike by a coefficient, on a line.
func series(rng *rand.Rand, n int, alike, slope float64) []Point {
	points := make([]Point, n)
	noise := 0.0
	for i := -50; i < n; i++ {
		noise = alike*noise + rng.NormFloat64()
		if i >= 0 {
			points[i] = Point{At: float64(i), Value: noise + slope*float64(i)}
		}
	}
	return points
}

// The share of false alarms is what FindTrend says of it, and a trend of a tenth of the noise a
// window is found.
func TestTrendAlarms(t *testing.T) {
	const n, tries, at = 30, 2000, 0.01
	found := func(alike, slope float64) float64 {
		rng := rand.New(rand.NewPCG(16, uint64(1000*alike)))
		alarms := 0
		for range tries {
			if FindTrend(series(rng, n, alike, slope)).P < at {
				alarms++
			}
		}
		return float64(alarms) / tries
	}
	for _, tc := range []struct{ alike, slope, min, max float64 }{
		{0, 0, 0.003, 0.02}, {0.3, 0, 0.005, 0.03}, {0.6, 0, 0.01, 0.045}, {0.8, 0, 0.02, 0.065},
		{0, 0.1, 0.75, 1}, {0.3, 0.2, 0.9, 1}, {0.6, 0.4, 0.8, 1},
	} {
		share := found(tc.alike, tc.slope)
		t.Logf("alike %g, slope %g: %.1f %% found", tc.alike, tc.slope, 100*share)
		if share < tc.min || share > tc.max {
			t.Errorf("alike %g, slope %g: %g found, want %g to %g", tc.alike, tc.slope, share,
				tc.min, tc.max)
		}
	}
}

// The slope is the line's, an outlier or two notwithstanding, and ties are no trend.
func TestTrendSlope(t *testing.T) {
	line := make([]Point, 40)
	for i := range line {
		line[i] = Point{At: float64(i) / 10, Value: 7 + 3*float64(i)/10}
	}
	line[5].Value, line[39].Value = 1000, -1000
	got := FindTrend(line)
	if math.Abs(got.Slope-3) > 0.01 || math.Abs(got.Change-3*3.9) > 0.05 || got.P > 1e-6 {
		t.Errorf("%+v", got)
	}
	flat := make([]Point, 40)
	for i := range flat {
		flat[i].At = float64(i)
	}
	if got := FindTrend(flat); got.Slope != 0 || got.P != 1 || got.N != 40 {
		t.Errorf("%+v", got)
	}
	if got := FindTrend(nil); got != (Trend{P: 1}) {
		t.Errorf("%+v", got)
	}
}

// Parts are compared within themselves: a saw is no trend however high its teeth, and teeth that
// all rise are one, though every tooth begins where the first did.
func TestTrendParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var steps, teeth []Point
	for part := range 4 {
		for i := range 10 {
			at := float64(10*part + i)
			steps = append(steps, Point{at, 100*float64(part) + rng.NormFloat64(), part})
			teeth = append(teeth, Point{at, float64(i) + rng.NormFloat64(), part})
		}
	}
	if got := FindTrend(steps); got.P < 0.05 {
		t.Errorf("steps at restarts: %+v", got)
	}
	if got := FindTrend(teeth); got.P > 1e-6 || math.Abs(got.Slope-1) > 0.2 ||
		math.Abs(got.Change-9) > 2 {
		t.Errorf("what every part does: %+v", got)
	}
}

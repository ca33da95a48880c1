package gate

import (
	"math"
	"slices"
	"testing"

	"golang.org/x/perf/benchmath"
)

// Holm's own example is too small to see the steps; this one is worked by hand: 4·0.01, 3·0.013,
// 2·0.04, 0.2, none below the one before.
func TestHolm(t *testing.T) {
	got := holm([]float64{0.04, 0.01, 0.2, 0.013})
	want := []float64{0.08, 0.04, 0.2, 0.04}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Fatalf("holm = %v, want %v", got, want)
		}
	}
}

// The interval and the test are of one family: 0 is outside of the one exactly where the other says
// p <= 0.05.
func TestEstimateAgreesWithTest(t *testing.T) {
	base := []float64{100, 101, 103, 104, 106, 107, 109, 110, 112, 113}
	in, out := 0, 0
	for shift := -20.0; shift <= 20; shift += 0.37 { // no ties
		head := slices.Clone(base)
		for i := range head {
			head[i] += shift + 0.01*float64(i)
		}
		e := estimate(base, head, true)
		p := directed(benchmath.AssumeNothing.Compare(sample(base), sample(head)).P)
		if excludes := e.Lo > 0 || e.Hi < 0; excludes != (p <= 0.05) {
			t.Errorf("shift %.2f: interval [%.2f, %.2f], p = %.4f", shift, e.Lo, e.Hi, p)
		} else if excludes {
			out++
		} else {
			in++
		}
		if e.Delta < e.Lo || e.Delta > e.Hi || math.Abs(e.Delta-shift) > 1 {
			t.Errorf("shift %.2f: estimate %.2f in [%.2f, %.2f]", shift, e.Delta, e.Lo, e.Hi)
		}
	}
	if in == 0 || out == 0 {
		t.Errorf("%d intervals include 0 and %d do not; both should occur", in, out)
	}
}

// Requests that were never answered are +Inf, which must neither vanish nor spread as NaN.
func TestNever(t *testing.T) {
	inf := math.Inf(1)
	answered := []float64{1, 2, 3, 4, 5, 6}
	never := []float64{inf, inf, inf, inf, inf, inf}
	if e := estimate(answered, never, false); e.Delta != inf || e.Lo != inf {
		t.Errorf("from answered to never: %+v", e)
	}
	if e := estimate(never, never, false); e.Delta != 0 {
		t.Errorf("from never to never: %+v", e)
	}
	if e := estimate(never, answered, false); e.Delta != -1 {
		t.Errorf("from never to answered: %+v", e)
	}
	if s := summary(never); s.Center != inf {
		t.Errorf("median of never: %+v", s)
	}
	if s := summary([]float64{1, 2, 3, inf, inf, inf}); s.Center != inf {
		t.Errorf("half never: %+v", s)
	}
}

func TestMinP(t *testing.T) {
	for n, want := range map[int]float64{3: 0.05, 4: 0.014285714285714285, 6: 0.0010822510822510823,
		9: 2.0567667626491156e-05} {
		if got := minP(n, n); math.Abs(got-want) > 1e-12 {
			t.Errorf("minP(%d, %d) = %g, want %g", n, n, got, want)
		}
	}
}

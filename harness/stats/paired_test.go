package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSeparate: the values of the parts, computed elsewhere: scipy.stats.wilcoxon (mode "approx",
// correction), scipy.stats.ncx2 and scipy.special.gammainc.
func TestSeparate(t *testing.T) {
	near := func(what string, got, want, within float64) {
		t.Helper()
		if math.Abs(got-want) > within {
			t.Errorf("%s: %.9g, want %.9g", what, got, want)
		}
	}
	near("signed-rank", signedRank([]float64{0.39, 1.55, -0.63, 1.29, 0.04, 0.04, 2.2, 0.46, 0.26, 1.03, 1.43, 0.27, 0.89, -0.67, -0.07, -0.14, -1.03, -1.21, -1.33, 0.06, 0.13, -0.02, 0.37, -1.04, 0.22, 0.0, 0.5, -0.5, 0.5}), 0.26441495247, 1e-9)
	near("ncx2", noncentralChi2(3, 3, 0), 0.608374823729, 1e-9)
	near("ncx2", noncentralChi2(10, 3, 5), 0.706648647777, 1e-9)
	near("ncx2", noncentralChi2(0.5, 1, 0.1), 0.498981819686, 1e-9)
	near("ncx2", noncentralChi2(200, 3, 150), 0.965521263786, 1e-9)
	near("ncx2", noncentralChi2(40, 2, 80), 0.00361491614227, 1e-9)
	near("gamma", gammaP(0.5, 0.2), 0.472910743134, 1e-11)
	near("gamma", gammaP(1.5, 9), 0.999560150347, 1e-11)
	near("gamma", gammaP(30, 25), 0.182103915977, 1e-11)
	near("gamma", gammaP(100, 130), 0.997249591633, 1e-11)
	near("gamma", gammaP(2.5, 2.5), 0.584119813004, 1e-11)
	shift, _, _ := hodgesLehmann([]float64{0.39, 1.55, -0.63, 1.29, 0.04, 0.04, 2.2, 0.46, 0.26, 1.03, 1.43, 0.27, 0.89, -0.67, -0.07, -0.14, -1.03, -1.21, -1.33, 0.06, 0.13, -0.02, 0.37, -1.04, 0.22, 0.0, 0.5, -0.5, 0.5})
	near("shift", shift, 0.16, 1e-12)
}

// TestInformation: the interval has the true value in it about as often as it says, whether there
// is nothing to know, a little or much.
func TestInformation(t *testing.T) {
	for _, shift := range []float64{0, 0.25, 0.5, 1, 2} {
		// The true value, of which quarter of all a value is in: by a large sample.
		draw := func(r *rand.Rand, n int) (a, b []float64) {
			for range n {
				a, b = append(a, r.NormFloat64()), append(b, r.NormFloat64()+shift)
			}
			return a, b
		}
		r := rand.New(rand.NewPCG(1, uint64(shift*4)))
		const large = 400_000
		truth, _ := likelihoodRatio(draw(r, large))
		truth /= 2 * 2 * large * math.Ln2
		within, mean := 0, 0.0
		const tries = 200
		for range tries {
			bits, lo, hi := information(draw(r, 140))
			if lo <= truth+1e-5 && truth <= hi {
				within++
			}
			mean += bits / tries
		}
		t.Logf("shift %.2f: %.4f bits; the mean estimate is %.4f, %d of %d intervals have it", shift, truth, mean, within, tries)
		if within < tries*90/100 {
			t.Errorf("shift %v: %d of %d intervals have the true value, %.4f", shift, within, tries, truth)
		}
	}
}

package history

import (
	"math"

	"github.com/aclements/go-moremath/mathx"
)

// moments are those of a sample.
type moments struct {
	n        float64
	mean     float64
	variance float64 // divided by n, not n-1
}

func describe(values []float64) moments {
	m := moments{n: float64(len(values))}
	// The sum is divided, not its parts, so that the mean of equal values is that value.
	for _, v := range values {
		m.mean += v
	}
	m.mean /= m.n
	for _, v := range values {
		m.variance += (v - m.mean) * (v - m.mean)
	}
	m.variance /= m.n
	return m
}

// student is the two-sided p of Student's t-test of equal means, 1 for two values, NaN for values
// that are all equal.
//
// The variances are divided by n, as Otava gives them to a test that expects n-1. So p is too small
// for short samples; [Series.contrast] has the one that is reported.
func student(a, b moments) float64 {
	freedom := a.n + b.n - 2
	if freedom <= 0 {
		return 1
	}
	pooled := ((a.n-1)*a.variance + (b.n-1)*b.variance) / freedom
	return twoSided((a.mean-b.mean)/math.Sqrt(pooled*(1/a.n+1/b.n)), freedom)
}

// twoSided is the chance of a t that is as far from 0 with so many degrees of freedom.
func twoSided(t, freedom float64) float64 {
	switch {
	case math.IsNaN(t):
		return math.NaN()
	case math.IsInf(t, 0):
		return 0
	}
	return mathx.BetaInc(freedom/(freedom+t*t), freedom/2, 0.5)
}

package load

import (
	"math"
	"strconv"
	"testing"

	"gotest.tools/v3/assert"
)

func TestAmounts(t *testing.T) {
	number := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	for _, tc := range []struct {
		text            string
		mean, deviation float64
	}{
		{"64", 64, 0}, {"uniform 10 20", 15, 3.16}, {"normal 100 10", 100, 10}, {"lognormal 200 300", 200, 300}, {"exponential 50", 50, 50},
	} {
		a, err := ParseAmount(tc.text, number)
		assert.NilError(t, err)
		assert.Equal(t, a.String(), tc.text)
		var sum, squares float64
		const n = 40000
		rng := draw(1, tc.text)
		for range n {
			v := float64(a.count(rng, 0))
			sum, squares = sum+v, squares+v*v
		}
		mean := sum / n
		assert.Assert(t, math.Abs(mean-tc.mean) < 0.03*tc.mean, "%s: mean %g", tc.text, mean)
		assert.Assert(t, math.Abs(math.Sqrt(squares/n-mean*mean)-tc.deviation) < 0.1*tc.deviation+0.1, "%s: deviation %g", tc.text, math.Sqrt(squares/n-mean*mean))
	}
	a, err := ParseAmount("lognormal 200 300 max 250", number)
	assert.NilError(t, err)
	rng := draw(1, "max")
	for range 1000 {
		assert.Assert(t, a.Draw(rng) <= 250)
	}
	for _, bad := range []string{"", "uniform 3", "uniform 5 3", "normal -1 2", "6 7", "weibull 1 2", "5 max 0", "many", "lognormal 0 1"} {
		_, err := ParseAmount(bad, number)
		assert.Assert(t, err != nil, "%q is taken for an amount", bad)
	}
}

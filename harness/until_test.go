package harness

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// Six runs are the fewest with an interval, from the least to the largest; of eight it leaves out
// the largest, of nine both.
func TestUntilEndsTheRuns(t *testing.T) {
	took := []time.Duration{100, 150, 90, 110, 100, 100, 100, 100, 100, 100, 100}
	for _, tc := range []struct {
		within, spread float64
		most, runs     int
	}{
		{0.30, 0.30, 11, 6},
		{0.06, 0.05, 11, 9},
		{0.06, 0.10, 8, 8},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := -warmUpQuestions
			f := &fake{took: func(int) time.Duration {
				asked++
				return took[max(0, asked-1)] * ms
			}}
			u := &scenario.Until{Figure: "p50-e2e", Within: tc.within + 1e-9}
			runs, _, _ := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 1}}, Runs: tc.most, Until: u})
			assert.Equal(t, len(runs), tc.runs)
			assert.Assert(t, math.Abs(Spread(u, runs)-tc.spread) < 1e-9, "%g", Spread(u, runs))
		})
	}
	few := &scenario.Until{Figure: "hit-ratio", Within: 1}
	assert.Assert(t, math.IsInf(Spread(few, []record.Run{{}}), 1), "what is not measured is not known")
}

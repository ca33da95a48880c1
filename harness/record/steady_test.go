package record

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// A server that does not keep up has no steady state, and too few requests show none.
func TestNoSteadyState(t *testing.T) {
	grown := func(latency func(i int) time.Duration) []Record {
		var records []Record
		for i := range 200 {
			at := time.Duration(i) * time.Second
			records = append(records, Record{Due: at, End: at + latency(i), Outcome: OK})
		}
		return records
	}
	assert.DeepEqual(t, FindSteady(grown(func(i int) time.Duration { return time.Duration(i) * ms })), Steady{Growing: true})
	assert.DeepEqual(t, FindSteady(grown(func(i int) time.Duration { return time.Duration(i*i) * ms })), Steady{Growing: true})
	// As a server does that becomes slower by its own speed in each 20 seconds.
	drifts := func(i int) time.Duration { return time.Duration(500*math.Exp(float64(i)/200)) * ms }
	assert.DeepEqual(t, FindSteady(grown(drifts)), Steady{Growing: true})
	fills := func(i int) time.Duration { return time.Duration(500+10*min(i, 110)) * ms }
	assert.Assert(t, !FindSteady(grown(fills)).Growing)
	noise := rand.New(rand.NewPCG(1, 1))
	flat := grown(func(int) time.Duration { return time.Duration(50+noise.IntN(100)) * ms })
	assert.Assert(t, FindSteady(flat).Found && !FindSteady(flat).Growing)
	assert.DeepEqual(t, FindSteady(flat[:20]), Steady{})
	half := grown(func(i int) time.Duration { return time.Duration(max(10, 1000-6*i)) * ms })
	assert.DeepEqual(t, FindSteady(half), Steady{})
}

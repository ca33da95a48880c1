package report

import (
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/limit"
	"loadstone/harness/record"
)

// A bar is as long as its figure in proportion to the limit, whichever side of the limit is the
// good one. The worst result is the one that is furthest on the bad side.
func TestPartOfALimit(t *testing.T) {
	of := func(ok int) Result {
		return Result{Pooled: record.Summary{Scenario: "s", Requests: ok,
			Outcomes: map[record.Outcome]int{record.OK: ok}}}
	}
	for _, tc := range []struct {
		limit  string
		oks    []int
		figure string
		part   float64
	}{
		{"ok > 10", []int{20, 5}, "5", 0.5},
		{"ok > 10", []int{0, 5}, "0", 0},
		{"ok < 10", []int{20, 5}, "20", 2},
		{"ok == 0", []int{0}, "0", 0},
		{"ok == 0", []int{0, 3}, "3", 2},
	} {
		l, err := limit.Parse(tc.limit)
		assert.NilError(t, err)
		var all []Result
		for _, ok := range tc.oks {
			all = append(all, of(ok))
		}
		v := worst(l, all)
		assert.Equal(t, v.Figure, tc.figure, tc.limit)
		assert.Equal(t, v.Fraction, tc.part, tc.limit)
	}
}

// Where a server does not tell how full its pool is, the report says nothing that only a full pool
// can show.
func TestPressureOnAnUnknownPool(t *testing.T) {
	s := &Result{Agents: 16, Pooled: record.Summary{Requests: 32, PeakPool: -1,
		Outcomes: map[record.Outcome]int{record.OK: 32}}}
	assert.Equal(t, pressureAdvice(s),
		"With 16 agents at once 32 of 32 requests were answered and none failed; how full its KV "+
			"pool was, the server does not tell.")
	s.Pooled.PeakPool = 0.89
	assert.Equal(t, pressureAdvice(s),
		"Near exhaustion (pool peak 89.0 %) 32 of 32 requests were answered and none failed: a "+
			"full pool costs latency, not answers.")
}

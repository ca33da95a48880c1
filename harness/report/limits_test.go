package report

import (
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/limit"
	"loadstone/harness/record"
)

// A bar is as long as its figure is beside the limit, whichever side of it is the good one, and the worst scenario is the one
// that is furthest on the bad side.
func TestPartOfALimit(t *testing.T) {
	of := func(ok int) Scenario {
		return Scenario{Pooled: record.Summary{Scenario: "s", Requests: ok, Outcomes: map[record.Outcome]int{record.OK: ok}}}
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
		var all []Scenario
		for _, ok := range tc.oks {
			all = append(all, of(ok))
		}
		v := worst(l, all)
		assert.Equal(t, v.Figure, tc.figure, tc.limit)
		assert.Equal(t, v.Fraction, tc.part, tc.limit)
	}
}

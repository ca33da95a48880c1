package report

import (
	"slices"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// Results come in the order of the loads and of their levels, whatever the order of the runs; a run
// whose load is not given makes a result as well.
func TestNew(t *testing.T) {
	run := func(scenario string, rate float64, index int, agents ...string) record.Run {
		r := record.Run{Scenario: scenario, Index: index, Cache: load.Cold, PeakPool: -1,
			Elapsed:    time.Second,
			Goodput:    load.Objective{E2E: 5 * time.Millisecond},
			Violations: []record.Violation{{Check: "times", About: scenario}}}
		if rate > 0 {
			r.Level = load.Level{Kind: "rate", Value: rate}
		}
		for _, a := range agents {
			r.Records = append(r.Records, record.Record{Place: record.Place{Scenario: scenario,
				Run: index, Agent: a},
				Outcome: record.OK, End: 2 * time.Millisecond})
		}
		return r
	}
	loads := []load.Load{{Name: "b", Rate: load.Constant(1), Cache: load.Hot},
		{Name: "a", About: "one", Concurrency: 3}}
	r := New(Meta{}, loads, []record.Run{run("a", 0, 0, "x"), run("c", 0, 0, "x", "y"),
		run("b", 4, 0, "x"), run("b", 2, 0, "x"),
		run("a", 0, 1, "x"), run("b", 2, 1, "y")})
	var names []string
	for i := range r.Results {
		names = append(names, r.Results[i].Name())
	}
	assert.Assert(t, slices.Equal(names, []string{"b rate=2", "b rate=4", "a", "c"}), "%v", names)
	assert.Equal(t, len(r.Results[0].Runs), 2)
	assert.Equal(t, r.Results[0].Cache, load.Hot)
	assert.Equal(t, r.Results[0].About, "evenly spaced, 2/s")
	assert.Equal(t, r.Results[2].Agents, 3)
	assert.Equal(t, r.Results[3].Agents, 2)
	assert.Equal(t, r.Workload.Runs, 2)
	assert.Equal(t, r.Workload.Goodput, "e2e < 5ms")
	assert.Equal(t, r.Results[3].Pooled.GoodRatio, 1.0)
	assert.Equal(t, len(r.Violations), 6)
}

// What the outcomes of a report come to: what is missed counts before what is not shown.
func TestUnmet(t *testing.T) {
	r := New(Meta{Workload: Workload{Expect: []string{"p99-e2e < 1s", "p95-e2e < 1s",
		"error-ratio == 0"}}}, nil,
		[]record.Run{{Scenario: "a", Records: make([]record.Record, 3)}})
	for i := range r.Results[0].Records {
		r.Results[0].Records[i].Outcome = record.OK
	}
	r.Results[0].summarize(load.Objective{})
	assert.NilError(t, r.Hold())
	e := r.Unmet()
	assert.Equal(t, e.Error(), "2 of 3 limits not shown: p99-e2e needs 441 requests")
	assert.Assert(t, e.Missed == 0 && e.NotShown == 2)
	r.Workload.Expect = append(r.Workload.Expect, "requests > 3")
	assert.NilError(t, r.Hold())
	assert.Equal(t, r.Unmet().Error(), "1 of 4 limits missed")
	r.Workload.Expect = []string{"requests == 3"}
	assert.NilError(t, r.Hold())
	assert.Assert(t, r.Unmet() == nil)
}

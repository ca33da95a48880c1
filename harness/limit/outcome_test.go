package limit

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// A name that was used for a figure before is accepted in a limit, and the limit has the name of
// today.
func TestFormerNames(t *testing.T) {
	for text, want := range map[string]string{"goodput > 3": "goodput-req/s",
		"good_rate >= 90%": "good-ratio",
		"hit_rate > 80%":   "hit-ratio", "p95-ttft < 1s": "p95-ttft"} {
		l, err := Parse(text)
		assert.NilError(t, err)
		assert.Equal(t, l.Unit, want)
		assert.Equal(t, l.Text, text)
	}
}

// What a file of results has of an outcome comes back, whatever its standing.
func TestOutcomeInFiles(t *testing.T) {
	records := make([]record.Record, 10)
	for i := range records {
		records[i] = record.Record{Outcome: record.OK, FirstContent: 10 * ms, End: 20 * ms}
	}
	records[9].Outcome = record.Failed
	s := record.Summarize("x", records, time.Second, -1)
	for text, want := range map[string]Standing{"p50-e2e < 1s": Met, "p50-e2e < 1ms": Missed,
		"p90-e2e < 1s": NotShown, "max-e2e < 1s": Missed,
		"req/s > 100": Missed, "peak-pool-ratio < 1": Unmeasured} {
		l, err := Parse(text)
		assert.NilError(t, err)
		o := l.Judge(&s)
		assert.Equal(t, o.Standing, want, text)
		file, err := json.Marshal(o)
		assert.NilError(t, err)
		var again Outcome
		assert.NilError(t, json.Unmarshal(file, &again))
		o.Limit, o.Value = Limit{Unit: l.Unit}, 0
		assert.Equal(t, again, o, string(file))
	}
}

// Of one limit in several scenarios the gravest outcome decides; WorstKnown asks those alone in
// which it is met or missed.
func TestWorst(t *testing.T) {
	l, err := Parse("p50-e2e < 1s")
	assert.NilError(t, err)
	of := func(standing Standing, value float64, scenario string) Outcome {
		return Outcome{Limit: l, Standing: standing, Value: value, Scenario: scenario}
	}
	near, far := of(Met, 0.9, "near"), of(Met, 0.2, "far")
	open, lost, never := of(NotShown, 0.1, "open"), of(Missed, 2, "lost"),
		of(Missed, math.Inf(1), "never")
	none := of(Unmeasured, 0, "none")
	for _, tc := range []struct {
		all          []Outcome
		worst, known string
	}{
		{[]Outcome{far, near}, "near", "near"},
		{[]Outcome{far, open, near}, "open", "near"},
		{[]Outcome{lost, open, near}, "lost", "lost"},
		{[]Outcome{lost, never, far}, "never", "never"},
		{[]Outcome{far, none, open}, "none", "far"},
		{[]Outcome{none, open}, "none", "open"},
	} {
		assert.Equal(t, Worst(tc.all).Scenario, tc.worst)
		assert.Equal(t, WorstKnown(tc.all).Scenario, tc.known)
	}
}

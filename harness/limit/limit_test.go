package limit

import (
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

const ms = time.Millisecond

func TestLimits(t *testing.T) {
	s := record.Summarize("x", []record.Record{{Outcome: record.OK, FirstContent: 100 * ms,
		End: 200 * ms}, {Outcome: record.Rejected}}, time.Second, -1)
	for text, want := range map[string]Standing{
		"p95-ttft < 150ms": NotShown, "p95-ttft<100ms": Missed, "p95-ttft <= 100ms": NotShown,
		"max-ttft <= 100ms": Met, "max-ttft < 1m": Met, "rejected > 0": Met,
		"rejected == 1": Met, "failed == 0": Met, "reject-ratio <= 50%": Met,
		"error-ratio <= 0": Met, "hit-ratio > 0": Unmeasured,
		"peak-pool-ratio < 1": Unmeasured, "req/s >= 1": Met, "req/s > 1": Missed,
		"p50-itl < 1s": Unmeasured, "error-ratio < 100%": Met, "error-ratio < 1%": Met, "hit-ratio >= 1": Unmeasured,
	} {
		l, err := Parse(text)
		assert.NilError(t, err)
		assert.Equal(t, l.Judge(&s).Standing, want, text)
	}
	for _, bad := range []string{"", "p95-ttft", "p95-tfft < 1s", "p95-ttft < 200", "ok = 3",
		"ok > many", "< 3", "hit-ratio >= 80", "good-ratio > 101%", "error-ratio < 1", "error-ratio <= 1",
		"ok > 5s", "requests >= 80%", "p95-ttft < 20%"} {
		_, err := Parse(bad)
		assert.Assert(t, err != nil, "%q is taken for a limit", bad)
	}
}

// A percentile within a limit is met from as many requests on as bound it, and one beyond it is
// missed with any number.
func TestPercentilesOfFew(t *testing.T) {
	for text, wanted := range map[string]int{"p50-e2e < 1s": 6, "p90-e2e < 1s": 39,
		"p95-e2e < 1s": 76, "p99-e2e < 1s": 441, "p999-e2e < 1s": 4394} {
		l, err := Parse(text)
		assert.NilError(t, err)
		for n, want := range map[int]Standing{1: NotShown, wanted - 1: NotShown, wanted: Met} {
			records := make([]record.Record, n)
			for i := range records {
				records[i] = record.Record{Outcome: record.OK, End: 200 * ms}
			}
			s := record.Summarize("x", records, time.Second, -1)
			o := l.Judge(&s)
			assert.Equal(t, o.Standing, want, "%s of %d", text, n)
			assert.Equal(t, o.Value, 0.2)
			assert.Equal(t, o.Needs, map[Standing]int{NotShown: wanted}[want])
			for i := range records {
				records[i].Outcome = record.Failed
			}
			s = record.Summarize("x", records, time.Second, -1)
			assert.Equal(t, l.Judge(&s).Standing, Missed, "%s of %d failures", text, n)
		}
	}
}

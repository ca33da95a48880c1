package limit

import (
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

const ms = time.Millisecond

func TestLimits(t *testing.T) {
	s := record.Summarize("x", []record.Record{{Outcome: record.OK, FirstContent: 100 * ms, End: 200 * ms}, {Outcome: record.Rejected}}, time.Second, -1)
	for text, want := range map[string]bool{
		"p95-ttft < 150ms": true, "p95-ttft<100ms": false, "p95-ttft <= 100ms": true, "rejected > 0": true, "rejected == 1": true,
		"failed == 0": true, "reject-ratio <= 50%": true, "error-ratio <= 0": true, "hit-ratio > 0": false, "peak-pool-ratio < 1": false, "req/s >= 1": true,
	} {
		l, err := Parse(text)
		assert.NilError(t, err)
		_, _, holds := l.Check(&s)
		assert.Equal(t, holds, want, text)
	}
	for _, bad := range []string{"", "p95-ttft", "p95-tfft < 1s", "p95-ttft < 200", "ok = 3", "ok > many", "< 3"} {
		_, err := Parse(bad)
		assert.Assert(t, err != nil, "%q is taken for a limit", bad)
	}
}

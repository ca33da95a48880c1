package limit

import (
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
)

func TestObjectives(t *testing.T) {
	o, err := ParseObjective(" e2e<5s, ttft < 300ms")
	assert.NilError(t, err)
	assert.DeepEqual(t, o, load.Objective{TTFT: 300 * time.Millisecond, E2E: 5 * time.Second})
	again, err := ParseObjective(o.String())
	assert.NilError(t, err)
	assert.DeepEqual(t, again, o)
	for _, bad := range []string{"", "ttft", "ttft > 1s", "ttft < 0s", "ttft < 300",
		"p95-ttft < 1s", "ttft < 1s, ttft < 2s", "tpot < 1s,", "ttft <= 1s", "itl < 1s",
		"ttft < -1s", "ttft < 50%"} {
		_, err := ParseObjective(bad)
		assert.Assert(t, err != nil, "%q is taken for an objective", bad)
	}
}

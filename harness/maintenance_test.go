package harness

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
)

// While a server is maintained nothing is in flight. Agents wait, and go on with their
// conversations afterwards; the wait is in the latency of what was due.
func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		calls := 0
		runs, _, asked := f.load(t, Plan{
			Loads: []load.Load{{Concurrency: 3, Duration: 10 * time.Second, Turns: load.Endless,
				Think: load.Fixed(0.05)}},
			MaintainEvery: 3 * time.Second,
			Maintain: func(context.Context) error {
				calls++
				f.mu.Lock()
				busy := f.busy
				f.mu.Unlock()
				assert.Equal(t, busy, 0, "maintained with requests in flight")
				time.Sleep(time.Second)
				return nil
			},
		})
		assert.Equal(t, calls, 2) // the third would come when the load ends
		waited := 0
		for _, r := range runs[0].Records {
			if r.Latency() > 900*ms {
				waited++
			}
		}
		assert.Equal(t, waited, 2*3, "every agent waits once a time, and is seen to")
		last := asked[len(asked)-1]
		assert.Assert(t, len(last.Messages) > 50, "conversations go on: %d messages", len(last.Messages))
		assert.Assert(t, runs[0].Counters == nil)
	})
}

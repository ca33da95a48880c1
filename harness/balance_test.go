package harness

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// The account does not balance when a load loses a record or makes one up.
func TestBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(100 * ms)
			fmt.Fprint(w, answered)
		})
		before := h.Client.Ledger()
		records, err := h.Send(t.Context(), load.Constant(50), make([]client.Prompt, 20))
		assert.NilError(t, err)
		after := h.Client.Ledger()
		assert.Equal(t, len(record.Balance(records, before, after)), 0)
		// 20 requests of 100 ms each within 480 ms: 4.17 in flight on average, 41.7 a second times
		// 0.1 s.
		assert.Assert(t, after.Seconds > 1.999 && after.Seconds < 2.001, "%g", after.Seconds)
		assert.Equal(t, record.Balance(records[1:], before, after)[0].String(), "count: 20 requests were begun, and there are records of 19")
		records[3].End += 50 * ms
		assert.Equal(t, record.Balance(records, before, after)[0].String(),
			"count: Little's law: by the client's count requests were in flight for 2.000000 s together, by the records for 2.050000 s")
		after.Ended--
		assert.Equal(t, record.Balance(records, before, after)[0].String(), "count: 20 requests were begun and 19 have ended")
	})
}

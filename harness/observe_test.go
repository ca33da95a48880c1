package harness

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
)

// A pool that is full between two looks, and empty at each, is known to have been full where the
// server counts it; what came before the run does not count.
func TestPeakBetweenLooks(t *testing.T) {
	for name, counts := range map[string]bool{"counted": true, "not counted": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/metrics" {
						asked.Add(1) // in no time: no look comes between
						fmt.Fprint(w, answered)
						return
					}
					fmt.Fprint(w, "loadstone_pool_utilization_ratio 0\n")
					if counts {
						const name = "loadstone_pool_step_utilization_ratio"
						n := 7 + asked.Load() // 7 above 95 % before
						fmt.Fprintf(w, "%[1]s_bucket{le=\"0.85\"} 0\n%[1]s_bucket{le=\"0.95\"} %[2]d\n"+
							"%[1]s_bucket{le=\"+Inf\"} %[3]d\n%[1]s_count %[3]d\n", name, n-7, n)
					}
				})
				l := load.Load{Name: "brief", Cache: load.Cold, Concurrency: 1, Requests: 3,
					Prompt: load.Fixed(20), Answer: load.Fixed(1)}
				runs, _, err := Plan{Loads: []load.Load{l}, Runs: 1}.Run(t.Context(), h.Client)
				assert.NilError(t, err)
				want := 0.0
				if counts {
					want = 0.85
				}
				assert.Equal(t, runs[0].PeakPool, want)
			})
		})
	}
}

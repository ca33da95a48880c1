package workers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/workers"
	"loadstone/internal/broker"
)

// BenchmarkGrowthWorkers measures a run of 1600 requests, 32 at a time, of so many workers in this
// process, 0 being none, on a server in this process that answers at once.
//
//	what=idle   the same of one request: what a run costs beside its requests
func BenchmarkGrowthWorkers(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(echoing))
	defer server.Close()
	for what, l := range map[string]load.Load{
		"run":  {Name: "load", Concurrency: 32, Requests: 1600},
		"idle": {Name: "load", Concurrency: 1, Requests: 1},
	} {
		for _, n := range []int{0, 1, 2, 4, 8} {
			b.Run(fmt.Sprintf("what=%s/workers=%d", what, n), func(b *testing.B) {
				url := ""
				if n > 0 {
					url, _ = natsWith(b, n)
				}
				requests := 0
				for b.Loop() {
					c := client.New(server.URL)
					plan := harness.Plan{Loads: []load.Load{l}}
					if n > 0 {
						nc, err := broker.Connect(url, broker.Access{}, "coordinator")
						assert.NilError(b, err)
						co, err := workers.Call(b.Context(), nc, n)
						assert.NilError(b, err)
						assert.NilError(b, co.Claim(b.Context(), workers.Target{URL: server.URL}, c.Since))
						plan.Crew = co
					}
					runs, _, err := plan.Run(b.Context(), c)
					assert.NilError(b, err)
					requests += len(runs[0].Records)
					if plan.Crew != nil {
						plan.Crew.(*workers.Coordinator).Close()
					}
					c.Close()
				}
				b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

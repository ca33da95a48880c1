package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// pool is a server with a KV pool of 1000 blocks, of which a request holds those it may need for
// 100 ms.
type pool struct {
	blockTokens        int64
	used, leaked, most atomic.Int64 // blocks in use, lost by each request, needed by the largest
}

func (p *pool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		used := p.used.Load()
		fmt.Fprintf(w, "loadstone_pool_blocks{state=\"used\"} %d\nloadstone_pool_blocks{state=\"free\"} %d\n", used, 1000-used)
		fmt.Fprintf(w, "loadstone_pool_block_tokens %d\nloadstone_pool_utilization_ratio %g\n", p.blockTokens, float64(used)/1000)
		return
	}
	var body struct {
		MaxTokens int `json:"max_tokens"`
		Messages  []client.Message
	}
	json.NewDecoder(r.Body).Decode(&body)
	prompt := 60 // the template's own, and two a word
	for _, m := range body.Messages {
		prompt += 2 * len(strings.Fields(m.Content))
	}
	blocks := (int64(prompt+body.MaxTokens) + p.blockTokens - 1) / p.blockTokens
	p.used.Add(blocks)
	p.most.Store(max(p.most.Load(), blocks))
	time.Sleep(100 * ms)
	p.used.Add(-blocks)
	p.used.Add(p.leaked.Load())
	fmt.Fprintf(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":1}}`, prompt)
}

func TestRunRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&pool{blockTokens: 32}).ServeHTTP)
		var last Progress
		plan := Plan{Loads: five(3, 300, 20), Runs: 2, Progress: func(p Progress) { last = p }}
		runs, _, err := plan.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		var order []string
		for _, r := range runs {
			order = append(order, fmt.Sprintf("%d %s %d", r.Index, r.Scenario, len(r.Records)))
			s := r.Summary()
			assert.Equal(t, s.Outcomes[record.OK], len(r.Records))
			assert.Equal(t, s.Reps, 3)
			if r.Scenario != "pool-pressure" {
				assert.Equal(t, s.E2E.Max, 100*ms)
				assert.Equal(t, s.Elapsed, 300*ms) // one after the other, without the first turns
			}
			for _, one := range r.Records {
				assert.Equal(t, one.Turn > 0, r.Scenario != "single-cold" && r.Scenario != "pool-pressure")
			}
		}
		assert.DeepEqual(t, order, []string{
			"0 single-cold 3", "0 single-cached 3", "0 concurrent-5 15", "0 concurrent-10 30", "0 pool-pressure 48",
			"1 single-cold 3", "1 single-cached 3", "1 concurrent-5 15", "1 concurrent-10 30", "1 pool-pressure 48",
		})
		pressed := runs[4].PeakPool
		assert.Equal(t, pressed, 0.89) // every block of it
		both := record.Pool([]record.Run{runs[4], runs[9]})
		assert.Equal(t, both.PeakPool, max(pressed, runs[9].PeakPool))
		assert.Equal(t, both.Reps, 6)
		assert.Equal(t, both.Elapsed, runs[4].Elapsed+runs[9].Elapsed)
		assert.Equal(t, last.Done, 30)
		assert.Equal(t, last.Total, 30)
		assert.Equal(t, last.Outcomes[record.OK], 2*(3+3+15+30+48))
	})
}

// Blocks that do not come back after a load end the measurement, and what was measured stays.
func TestRunFindsLostBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pool{blockTokens: 32}
		server.leaked.Store(1)
		h, _ := serve(t, server.ServeHTTP)
		runs, _, err := Plan{Loads: five(3, 300, 20, "pool-pressure"), Runs: 1}.Run(t.Context(), h.Client)
		assert.Error(t, err, "the server does not recover: 18 blocks in use 10s after the last answer, 2 blocks in use before")
		assert.Equal(t, len(runs[0].Records), 16)
	})
}

// A pool that 16 requests of a sane length cannot fill gets more of them.
func TestPressureOnALargePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pool{blockTokens: 512}
		h, _ := serve(t, server.ServeHTTP)
		runs, _, err := Plan{Loads: five(1, 300, 20, "pool-pressure"), Runs: 1}.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		assert.Equal(t, len(runs[0].Records), 19) // 0.89*512000/24576
		assert.Assert(t, server.most.Load()*512 <= 24<<10)
		assert.Assert(t, runs[0].PeakPool > 0.8, "%g of the pool", runs[0].PeakPool)
	})
}

// What ends a measurement early keeps it.
func TestRunInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			time.Sleep(100 * ms)
			fmt.Fprint(w, answered)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 550*ms)
		defer cancel()
		runs, _, err := Plan{Loads: five(2, 300, 20, "single-cold"), Runs: 10}.Run(ctx, h.Client)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		// The warm-up took the first 200 ms; the fourth request was on its way.
		assert.Equal(t, len(runs), 2)
		assert.Equal(t, runs[1].Records[0].Outcome, record.OK)
		assert.Equal(t, runs[1].Records[1].Outcome, record.Cancelled)
		assert.Equal(t, runs[1].PeakPool, -1.0)
	})
}

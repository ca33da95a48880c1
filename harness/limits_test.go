package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// A load that needs more open files than there may be is refused before anything is sent.
func TestFilesAreCounted(t *testing.T) {
	limit, open := proc.FileLimit()
	if limit == 0 || limit > 10_000_000 {
		t.Skip("this process may open any number of files")
	}
	assert.Assert(t, open > 0 && open < limit)
	asked := atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	for _, l := range []load.Load{
		{Concurrency: limit, Requests: 2 * limit},
		{Together: limit},
		{Burst: load.Burst{Size: limit}},
		{Burst: load.Burst{Size: limit, Every: time.Second}, Requests: 2 * limit},
		{Concurrency: limit/3 + 1, FanOut: load.Fixed(3), Requests: 9 * limit},
		{Trace: make([]load.TraceRequest, limit)},
	} {
		c := client.New(server.URL)
		_, _, err := Plan{Loads: []load.Load{l}}.Run(t.Context(), c)
		files, ok := errors.AsType[*FilesError](err)
		assert.Assert(t, ok && files.AtOnce >= limit && files.Limit == limit, "%v", err)
		_, err = (&StressTestHarness{Client: c}).Run(t.Context(), l)
		_, ok = errors.AsType[*FilesError](err)
		assert.Assert(t, ok, "%v", err)
	}
	c := client.New(server.URL)
	_, _, err := Plan{Loads: []load.Load{{Concurrency: 1, Requests: 2 * limit}}, Search: &scenario.Search{Kind: "concurrency", Low: 1, High: float64(limit), Within: 0.5}}.Run(t.Context(), c)
	assert.ErrorContains(t, err, "raise the limit, or ask for less at once")
	assert.Equal(t, asked.Load(), int64(0))
	// Fewer requests than agents are never in flight at once.
	assert.NilError(t, Plan{Loads: []load.Load{{Concurrency: limit, Requests: 3}}, Levels: []load.Level{{}}}.files())
}

// Where this machine keeps requests from being sent, the load ends with that, after what is in
// flight: the server is not gone, and has failed none.
func TestOwnLimitsEndALoad(t *testing.T) {
	for _, l := range []load.Load{
		{Rate: load.Constant(200), Requests: 400},
		{Concurrency: 50, Requests: 400},
		{Together: 50, Rounds: 4},
		{Burst: load.Burst{Size: 50, Every: 100 * ms}, Requests: 400},
	} {
		t.Run(l.Shape(), func(t *testing.T) {
			server := httptest.NewServer(&fake{took: func(int) time.Duration { return 500 * ms }})
			defer server.Close()
			var open atomic.Int64
			h := &StressTestHarness{Client: client.NewWithTransport(server.URL, &http.Transport{MaxIdleConnsPerHost: 100,
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					if open.Add(1) > 10 {
						return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", syscall.EMFILE)}
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}})}
			defer h.Client.Close()
			run, err := h.Run(t.Context(), l)
			local, ok := errors.AsType[*client.LocalError](err)
			assert.Assert(t, ok && errors.Is(local, syscall.EMFILE), "%v", err)
			assert.Assert(t, !errors.Is(err, ErrServerGone))
			s := run.Summary()
			assert.Assert(t, s.Outcomes[record.OK] >= 1, "%v", s.Outcomes)
			assert.Equal(t, s.Outcomes[record.OK]+s.Outcomes[record.Cancelled], s.Requests)
			assert.Equal(t, s.ErrorRatio, 0.0)
		})
	}
}

// Records reach the journal, and those of a long load its file, within a second of a request's end,
// and all of them by the end of the run; so do samples of the server.
func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				fmt.Fprint(w, "vllm:num_requests_running 3\n")
				return
			}
			f.ServeHTTP(w, r)
		})
		var mu sync.Mutex
		got := map[string]int{}
		late := time.Duration(0)
		take := func(records []record.Record) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range records {
				got[r.Agent]++
				late = max(late, h.Client.Since()-r.End)
			}
		}
		var samples []record.Sample
		plan := Plan{Loads: []load.Load{{Concurrency: 3, Requests: 300}}, Runs: 2, Keep: 40, Journal: take,
			JournalSamples: func(more []record.Sample) { samples = append(samples, more...) },
			Write:          func(records []record.Record) error { take(records); return nil }}
		runs, _, err := plan.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		assert.Equal(t, runs[0].Rest.Requests, 260)
		assert.Equal(t, len(got), 600)
		for agent, n := range got {
			assert.Equal(t, n, 1, agent)
		}
		assert.Assert(t, late <= time.Second, "%v", late)
		assert.Assert(t, len(runs[0].Samples) > 0)
		assert.DeepEqual(t, samples, slices.Concat(runs[0].Samples, runs[1].Samples))
	})
}

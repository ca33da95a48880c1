package harness

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A server's own count of a run is the client's, first turns and the one after the last byte
// included; one who counts wrong, or serves somebody else meanwhile, is found out.
func TestRunIsCountedTwice(t *testing.T) {
	for _, tc := range []struct {
		name, bug, invalid string
		stranger           bool
	}{
		{"sound", "", "", false},
		{"forgets", "counters that forget", "the server counted 85 output tokens, and the client has 90", false},
		{"shared", "", "the server counted 16 answered requests, and the client has 15: somebody else uses it", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &clienttest.Liar{Bug: tc.bug}
				h, _ := serve(t, server.ServeHTTP)
				plan := Plan{Loads: five(2, 100, 6, "concurrent-5"), Runs: 2}
				if tc.stranger {
					stranger, _ := clienttest.Serve(t, server)
					go func() {
						// after the warm-up questions, while the first turns are answered
						time.Sleep(100 * ms)
						stranger.Ask(t.Context(), stranger.Since(), client.Prompt{Messages: []client.Message{{Role: "user", Content: "who are you?"}}, MaxTokens: 6})
					}()
				}
				runs, _, err := plan.Run(t.Context(), h.Client)
				assert.NilError(t, err)
				assert.Equal(t, len(runs), 2)
				c := runs[0].Counters
				assert.Assert(t, c != nil)
				got := strings.Join(c.WhyInvalid(), "; ")
				if (tc.invalid == "") != (got == "") || !strings.Contains(got, tc.invalid) {
					t.Errorf("%q, want %q", got, tc.invalid)
				}
				if tc.invalid == "" {
					// five first turns, two repetitions
					assert.Equal(t, c.Client["answered_requests"], 15.0)
					for _, name := range []record.Count{"answered_requests", "prompt_tokens", "output_tokens"} {
						assert.Equal(t, c.Server[name], c.Client[name], name)
					}
					both := record.Pool(runs).Counters
					assert.Equal(t, both.Server["requests_200"], 30.0)
					assert.Equal(t, len(both.WhyInvalid()), 0)
				}
			})
		})
	}
}

// A load's requests that are cancelled are open on both sides; those that are not kept are counted
// all the same.
func TestLoadIsCountedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&clienttest.Liar{}).ServeHTTP)
		l := load.Load{Name: "x", Cache: "cold", Concurrency: 3, Requests: 30, Prompt: load.Fixed(20), Answer: load.Fixed(8), Cancel: load.Cancel{Share: 0.5, Pieces: load.Fixed(3)}}
		runs, _, err := Plan{Loads: []load.Load{l}, Runs: 1, Keep: 10, Write: func([]record.Record) error { return nil }}.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		c := runs[0].Counters
		s := runs[0].Summary()
		assert.Assert(t, s.Outcomes[record.Cancelled] > 0 && s.Outcomes[record.OK] > 0, "%v", s.Outcomes)
		assert.Equal(t, c.Client["answered_requests"], float64(s.Outcomes[record.OK]))
		assert.Equal(t, c.Client["unfinished_requests"], float64(s.Outcomes[record.Cancelled]))
		assert.Equal(t, c.Server["answered_requests"], float64(s.Outcomes[record.OK]))
		assert.Equal(t, len(c.WhyInvalid()), 0, "%v", c.WhyInvalid())
	})
}

// Only a server that counts requests or tokens, from before a run to after it, is set beside the
// client.
func TestCountersOfServers(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after string
		want          record.Account
	}{
		"loadstone": {
			"loadstone_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 3\nloadstone_requests_total{route=\"/metrics\",status=\"200\"} 9\n" +
				"loadstone_rejects_total{reason=\"pool_exhausted\"} 1\nloadstone_rejects_total{reason=\"queue_full\"} 1\nprocess_cpu_seconds_total 1.5\nloadstone_evictions_total 2\n",
			"loadstone_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 5\nloadstone_requests_total{route=\"/v1/chat/completions\",status=\"429\"} 4\n" +
				"loadstone_requests_total{route=\"/metrics\",status=\"200\"} 12\nloadstone_rejects_total{reason=\"pool_exhausted\"} 5\nloadstone_rejects_total{reason=\"queue_full\"} 1\n" +
				"process_cpu_seconds_total 2\nloadstone_evictions_total 2\n",
			record.Account{"answered_requests": 2, "requests_200": 2, "requests_429": 4, "rejects_pool_exhausted": 4, "cpu_seconds": 0.5, "evictions": 0},
		},
		"vllm": {"vllm:request_success_total{finished_reason=\"stop\"} 1\nvllm:generation_tokens_total 10\n",
			"vllm:request_success_total{finished_reason=\"stop\"} 1\nvllm:request_success_total{finished_reason=\"length\"} 2\nvllm:generation_tokens_total 30\n",
			record.Account{"answered_requests": 2, "output_tokens": 20}},
		"restarted":  {"llamacpp:tokens_predicted_total 10\n", "llamacpp:tokens_predicted_total 4\n", nil},
		"a stranger": {"process_cpu_seconds_total 1\n", "process_cpu_seconds_total 2\n", nil},
		"silent":     {"", "", nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			text := tc.before
			h, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
			counted := count(t.Context(), h.Client)
			text = tc.after
			c := counted(nil, nil)
			if tc.want == nil {
				assert.Assert(t, c == nil, "%s: %v", name, c)
				return
			}
			assert.DeepEqual(t, c.Server, tc.want)
		})
	}
}

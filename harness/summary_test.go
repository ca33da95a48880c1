package harness

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"
)

func TestDescribe(t *testing.T) {
	var sample []time.Duration
	for i := 100; i >= 1; i-- {
		sample = append(sample, time.Duration(i)*ms)
	}
	assert.DeepEqual(t, Describe(sample), Dist{N: 100, P50: 50 * ms, P95: 95 * ms, P99: 99 * ms,
		Min: ms, Max: 100 * ms, Mean: 50500 * time.Microsecond})
	assert.DeepEqual(t, Describe([]time.Duration{7}), Dist{N: 1, P50: 7, P95: 7, P99: 7, Min: 7, Max: 7, Mean: 7})
	assert.DeepEqual(t, Describe(nil), Dist{})
	// 5 of 100 failed: the 95th percentile still is a real latency, the 96th and above are not.
	for i := range 5 {
		sample[99-i] = Never
	}
	d := Describe(sample)
	assert.Equal(t, d.P95, 95*ms)
	assert.Equal(t, d.P99, Never)
	assert.Equal(t, d.Mean, 48*ms)
}

func TestSummarize(t *testing.T) {
	unknown := ServerTiming{-1, -1, -1, -1, -1}
	records := []Record{
		{Run: 0, Rep: 0, Outcome: OK, Due: 0, Sent: 1 * ms, FirstContent: 10 * ms, Chunks: []time.Duration{10 * ms, 14 * ms, 16 * ms}, End: 20 * ms,
			PromptTokens: 100, CachedTokens: 90, OutputTokens: 3,
			Server: ServerTiming{FirstByte: 8 * ms, Total: 17 * ms, Queue: 1 * ms, Prefill: 6 * ms, Decode: 10 * ms}},
		{Run: 0, Rep: 1, Outcome: OK, Due: 100 * ms, Sent: 100 * ms, FirstContent: 130 * ms, Chunks: []time.Duration{130 * ms}, End: 140 * ms,
			PromptTokens: 100, CachedTokens: -1, OutputTokens: 1, Server: unknown}, // says nothing of its cache or its time
		{Run: 1, Rep: 0, Outcome: Rejected, Status: 429, Due: 0, Sent: 0, FirstContent: -1, End: 1 * ms, PromptTokens: -1, Server: unknown},
		{Run: 1, Rep: 1, Outcome: Truncated, Due: 0, Sent: 0, FirstContent: 5 * ms, Chunks: []time.Duration{5 * ms}, End: 6 * ms, PromptTokens: -1, Server: unknown},
	}
	want := Summary{
		Scenario: "x", Runs: 2, Reps: 4, Requests: 4,
		Outcomes: map[Outcome]int{OK: 2, Rejected: 1, Truncated: 1},
		TTFT:     Dist{N: 3, P50: 30 * ms, P95: Never, P99: Never, Min: 10 * ms, Max: Never, Mean: 20 * ms},
		ITL:      Dist{N: 2, P50: 2 * ms, P95: 4 * ms, P99: 4 * ms, Min: 2 * ms, Max: 4 * ms, Mean: 3 * ms},
		E2E:      Dist{N: 3, P50: 40 * ms, P95: Never, P99: Never, Min: 20 * ms, Max: Never, Mean: 30 * ms},
		Lag:      Dist{N: 4, P50: 0, P95: 1 * ms, P99: 1 * ms, Min: 0, Max: 1 * ms, Mean: ms / 4},
		Server:   one(17 * ms), Queue: one(1 * ms), Prefill: one(6 * ms), Decode: one(10 * ms), Network: one(2 * ms),
		Elapsed: 2 * time.Second, RequestsPerSec: 1, TokensPerSec: 2,
		PromptTokens: 200, CachedTokens: 90, OutputTokens: 4,
		HitRate: 0.45, ErrorRate: 0.25, PeakPool: -1,
	}
	assert.Assert(t, cmp.Equal(Summarize("x", records, 2*time.Second, -1), want), cmp.Diff(want, Summarize("x", records, 2*time.Second, -1)))
}

func one(v time.Duration) Dist { return Dist{N: 1, P50: v, P95: v, P99: v, Min: v, Max: v, Mean: v} }

package record

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/stats"
)

const ms = time.Millisecond

func TestSummarize(t *testing.T) {
	unknown := ServerTiming{-1, -1, -1, -1, -1}
	records := []Record{
		{Place: Place{Run: 0, Rep: 0}, Outcome: OK, Due: 0, Sent: 1 * ms, FirstContent: 10 * ms, Chunks: []time.Duration{10 * ms, 14 * ms, 16 * ms}, End: 20 * ms,
			PromptTokens: 100, CachedTokens: 90, OutputTokens: 3,
			Server: ServerTiming{FirstByte: 8 * ms, Total: 17 * ms, Queue: 1 * ms, Prefill: 6 * ms, Decode: 10 * ms}},
		{Place: Place{Run: 0, Rep: 1}, Outcome: OK, Due: 100 * ms, Sent: 100 * ms, FirstContent: 130 * ms, Chunks: []time.Duration{130 * ms}, End: 140 * ms,
			PromptTokens: 100, CachedTokens: -1, OutputTokens: 1, Server: unknown}, // says nothing of its cache or its time
		{Place: Place{Run: 1, Rep: 0}, Outcome: Rejected, Status: 429, Due: 0, Sent: 0, FirstContent: -1, End: 1 * ms, PromptTokens: -1, Server: unknown},
		{Place: Place{Run: 1, Rep: 1}, Outcome: Truncated, Due: 0, Sent: 0, FirstContent: 5 * ms, Chunks: []time.Duration{5 * ms}, End: 6 * ms, PromptTokens: -1, Server: unknown},
	}
	want := Summary{
		Scenario: "x", Runs: 2, Reps: 4, Requests: 4,
		Outcomes: map[Outcome]int{OK: 2, Rejected: 1, Truncated: 1},
		TTFT:     tailed(3, 30*ms, stats.Never, 10*ms, 20*ms),
		ITL:      tailed(2, 2*ms, 4*ms, 2*ms, 3*ms),
		TPOT:     one(3 * ms),
		E2E:      tailed(3, 40*ms, stats.Never, 20*ms, 30*ms),
		Lag:      tailed(4, 0, ms, 0, ms/4),
		Server:   one(17 * ms), Queue: one(1 * ms), Prefill: one(6 * ms), Decode: one(10 * ms), Network: one(2 * ms),
		Elapsed: 2 * time.Second, RequestsPerSec: 1, TokensPerSec: 2,
		PromptTokens: 200, CachedTokens: 90, OutputTokens: 4,
		TokensPerPiece: 1, AcceptRatio: -1, TokensPerStep: -1,
		HitRatio: 0.45, ErrorRatio: 0.25, PeakPool: -1,
		CeilingRatio: -1, CeilingShare: -1, Jobs: Jobs{GoodRatio: -1},
	}
	assert.Assert(t, cmp.Equal(Summarize("x", records, 2*time.Second, -1), want), cmp.Diff(want, Summarize("x", records, 2*time.Second, -1)))
}

// tailed is a distribution of so few values that all percentiles above the median are the largest.
func tailed(n int, median, largest, least, mean time.Duration) stats.Dist {
	return stats.Dist{N: n, P50: median, P90: largest, P95: largest, P99: largest, P999: largest, Min: least, Max: largest, Mean: mean}
}

func one(v time.Duration) stats.Dist { return tailed(1, v, v, v, v) }

// A piece of several tokens is one gap of the stream, as its reader sees it; the time per token is
// from first to last piece by the tokens after the first. Reasoning is the first token but not yet
// the answer.
func TestSummarizeSeveralTokensAPiece(t *testing.T) {
	r := Record{Outcome: OK, FirstContent: 30 * ms, Chunks: []time.Duration{10 * ms, 22 * ms, 30 * ms, 42 * ms}, Reasoning: 2, End: 50 * ms,
		PromptTokens: 9, OutputTokens: 16, Server: ServerTiming{-1, -1, -1, -1, -1}}
	s := Summarize("x", []Record{r}, time.Second, -1)
	assert.Equal(t, s.TTFT.P50, 10*ms)
	assert.Equal(t, s.Content.P50, 30*ms)
	assert.DeepEqual(t, s.ITL, tailed(3, 12*ms, 12*ms, 8*ms, 32*ms/3))
	assert.DeepEqual(t, s.TPOT, one(32*ms/15))
	assert.Equal(t, s.TokensPerPiece, 4.0)
	r.OutputTokens = 5 // four pieces and an end-of-turn token without text
	assert.Equal(t, Summarize("x", []Record{r}, time.Second, -1).ITL.P50, 12*ms)
}

// A tally of parts is the tally of the whole.
func TestTallyMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var whole, first, second Tally
	for i := range 1000 {
		at := time.Duration(rng.IntN(1000)) * ms
		r := Record{Place: Place{Run: i / 100, Rep: i / 10}, Outcome: OK, FirstContent: at, Chunks: []time.Duration{at, at + 7*ms}, End: at + 9*ms, PromptTokens: i, OutputTokens: 2}
		if i%50 == 0 {
			r.Outcome = Truncated
		}
		whole.Add(&r)
		if i < 300 {
			first.Add(&r)
		} else {
			second.Add(&r)
		}
	}
	first.Merge(&second)
	assert.DeepEqual(t, first.Summary("x", time.Second, -1), whole.Summary("x", time.Second, -1))
}

// Every bound is on what the client saw of the one request. A request that was refused or failed
// met nothing; one that the load cancelled or read slowly on purpose is not judged.
func TestGoodput(t *testing.T) {
	answer := Record{Outcome: OK, Due: 0, Sent: 1 * ms, FirstContent: 30 * ms, Chunks: []time.Duration{30 * ms, 40 * ms, 52 * ms}, OutputTokens: 3, End: 60 * ms}
	for _, tc := range []struct {
		objective load.Objective
		want      SLO
	}{
		{load.Objective{}, Unjudged},
		{load.Objective{TTFT: 30 * ms}, Missed}, {load.Objective{TTFT: 31 * ms}, Met},
		{load.Objective{TPOT: 11 * ms}, Missed}, {load.Objective{TPOT: 12 * ms}, Met},
		{load.Objective{E2E: 60 * ms}, Missed}, {load.Objective{E2E: 61 * ms}, Met},
		{load.Objective{TTFT: 31 * ms, TPOT: 12 * ms, E2E: 50 * ms}, Missed},
	} {
		assert.Equal(t, answer.Judge(tc.objective), tc.want, "%v", tc.objective)
	}
	slow := answer
	slow.Slow = true
	late := answer
	late.FirstContent = 500 * ms
	records := []Record{answer, answer, late, {Outcome: Rejected}, {Outcome: Failed}, {Outcome: Cancelled}, slow}
	run := Run{Records: records, Elapsed: 4 * time.Second, PeakPool: -1, Goodput: load.Objective{TTFT: 100 * ms}}
	s := run.Summary()
	assert.Equal(t, s.Judged, 5)
	assert.Equal(t, s.GoodRatio, 0.4)
	assert.Equal(t, s.Goodput, 0.5)
}

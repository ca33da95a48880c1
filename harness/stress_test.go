package harness_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// The eight stress tests. Each starts a server process of its own.

func TestStressOver100ConcurrentRequests(t *testing.T) {
	h := start(t)
	const n, tokens = 150, 8
	run, err := h.Run(t.Context(), load.Load{Together: n, Prompt: load.Fixed(30), Answer: load.Fixed(tokens)})
	assert.NilError(t, err)
	assert.Equal(t, outcomes(run.Records)[record.OK], n, firstError(run.Records, record.OK))
	for _, r := range run.Records {
		assert.Equal(t, r.OutputTokens, tokens, "agent %s", r.Agent)
	}
	// Conservation, by the server's own count, which has the questions in it that warmed it up.
	served := metric(t, h, "loadstone_requests_total", "route", "/v1/chat/completions", "status", "200")
	assert.Equal(t, served, float64(n+len(run.Warmup)))
}

func TestStressGraceful429WhenThePoolIsExhausted(t *testing.T) {
	// Room for some ten requests at a time, and ten more may wait.
	h := start(t, smallPool(64)...)
	const n = 100
	records, err := h.Send(t.Context(), load.Burst{Size: n}, prompts(n, 2, 20, 64))
	assert.NilError(t, err)
	got := outcomes(records)
	assert.Equal(t, got[record.OK]+got[record.Rejected], n, firstError(records, record.OK, record.Rejected))
	assert.Assert(t, got[record.OK] > 0, "nobody was served")
	assert.Assert(t, got[record.Rejected] > 0, "nobody was refused, so the pool was never full")
	for _, r := range records {
		if r.Outcome != record.Rejected {
			assert.Equal(t, r.OutputTokens, 64, "an admitted request was cut short")
			continue
		}
		assert.Equal(t, r.Status, http.StatusTooManyRequests)
		assert.Assert(t, r.RetryAfter >= time.Second && r.RetryAfter <= time.Minute, "Retry-After %v", r.RetryAfter)
	}
	recovered(t, h)
	again, err := h.Send(t.Context(), load.Burst{Size: 4}, prompts(4, 3, 20, 64))
	assert.NilError(t, err)
	assert.Equal(t, outcomes(again)[record.OK], 4, firstError(again, record.OK))
}

func TestStressNoCrashesUnderLoad(t *testing.T) {
	h := start(t, smallPool(96)...)
	h.Client.Timeout = 5 * time.Minute
	all := prompts(200, 4, 30, 16)
	// Every fourth request is one that a server must survive, not serve.
	bad := []client.Prompt{
		{},
		{Messages: []client.Message{{Role: "wizard", Content: "hi"}}},
		{Messages: []client.Message{{Role: "user", Content: strings.Repeat("much ", 100_000)}}, MaxTokens: 8},
		{Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: 1 << 40},
		{Messages: []client.Message{{Role: "user", Content: "\x00\xff<end_of_turn><bos>"}}, MaxTokens: 8, Temperature: 1e300},
	}
	for i := 3; i < len(all); i += 4 {
		all[i] = bad[i/4%len(bad)]
	}
	records, err := h.Send(t.Context(), load.Burst{Size: 20, Every: 50 * time.Millisecond}, all)
	assert.NilError(t, err)
	for i, r := range records {
		assert.Assert(t, r.Status != 0 && (r.Status < 500 || r.Outcome == record.Rejected), "request %d: %s %s", i, r.Outcome, r.Error)
		if i%4 != 3 {
			assert.Assert(t, r.Outcome == record.OK || r.Outcome == record.Rejected, "request %d: %s %s", i, r.Outcome, r.Error)
		}
	}
	select {
	case <-h.Process.Exited():
		t.Fatal("the server died")
	default:
		assert.Assert(t, h.Client.Alive(t.Context()))
	}
}

func TestStressPoolRecoversAfterLoad(t *testing.T) {
	h := start(t)
	goroutines := metric(t, h, "go_goroutines")
	// Clients that lose patience leave requests behind in every state: queued, in prefill, in
	// decode.
	run, err := h.Run(t.Context(), load.Load{Rate: load.Constant(400), Requests: 200, Timeout: 30 * time.Millisecond,
		Prompt: load.Fixed(90), Answer: load.Fixed(200)})
	assert.NilError(t, err)
	assert.Assert(t, outcomes(run.Records)[record.Timeout] > 0, "no client lost patience: %v", outcomes(run.Records))
	h.Client.Close()
	recovered(t, h)
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		// A scrape's own connection takes up to three.
		if now := metric(t, h, "go_goroutines"); now > goroutines+3 {
			return poll.Continue("%g goroutines, %g before the load", now, goroutines)
		}
		return poll.Success()
	}, poll.WithTimeout(time.Minute))
	after, err := h.Send(t.Context(), load.Burst{Size: 5}, prompts(5, 5, 20, 8))
	assert.NilError(t, err)
	assert.Equal(t, outcomes(after)[record.OK], 5, firstError(after, record.OK))
}

func TestStress10Agents50RapidRequests(t *testing.T) {
	h := start(t)
	run, err := h.Run(t.Context(), load.Load{Burst: load.Burst{Size: 10}, Turns: load.Fixed(50),
		Prompt: load.Fixed(8), FollowUp: load.Fixed(6), Answer: load.Fixed(4)})
	assert.NilError(t, err)
	assert.Equal(t, outcomes(run.Records)[record.OK], 500, firstError(run.Records, record.OK))
	agents := map[string]int{}
	for _, r := range run.Records {
		agents[r.Agent]++
		if r.Turn > 0 {
			assert.Assert(t, r.CachedTokens > 0, "agent %s has lost its memory at turn %d", r.Agent, r.Turn)
		}
	}
	assert.Equal(t, len(agents), 10)
}

func TestStressCacheIsolationUnderLoad(t *testing.T) {
	const n, turns = 8, 6
	crowd := load.Load{Burst: load.Burst{Size: n}, Turns: load.Fixed(turns), Seeds: load.OneSeed(7),
		Prompt: load.Fixed(18), FollowUp: load.Fixed(16), Answer: load.Fixed(12)}
	under, err := start(t, "-block-tokens", "8").Run(t.Context(), crowd)
	assert.NilError(t, err)
	assert.Equal(t, outcomes(under.Records)[record.OK], n*turns, firstError(under.Records, record.OK))

	solo := crowd
	solo.Burst, solo.Concurrency, solo.Requests = load.Burst{}, 1, n*turns
	alone, err := start(t).Run(t.Context(), solo)
	assert.NilError(t, err)
	// An agent is known by its secret: it is a function of the seed, as all that the agent asks.
	type place struct {
		secret string
		turn   int
	}
	want := map[place]record.Record{}
	for _, r := range alone.Records {
		want[place{r.Canary, r.Turn}] = r
	}
	assert.Equal(t, len(want), n*turns)
	for _, got := range under.Records {
		r := want[place{got.Canary, got.Turn}]
		assert.Equal(t, got.Answer, r.Answer, "agent %s, turn %d: another answer under load than alone", got.Agent, got.Turn)
		assert.Equal(t, got.PromptTokens, r.PromptTokens)
		for other := range want {
			assert.Assert(t, other.secret == got.Canary || !strings.Contains(got.Answer, other.secret),
				"agent %s was told the secret of another", got.Agent)
		}
		if got.Turn == 0 {
			// All that strangers share is the chat template's first words.
			assert.Assert(t, got.CachedTokens <= 16, "a new agent found %d of its %d tokens in the cache", got.CachedTokens, got.PromptTokens)
		}
	}
}

func TestStressLatencyRemainsAcceptable(t *testing.T) {
	h := start(t)
	alone := func() time.Duration {
		t.Helper()
		run, err := h.Run(t.Context(), load.Load{Concurrency: 1, Requests: 10, Prompt: load.Fixed(45), Answer: load.Fixed(8)})
		assert.NilError(t, err)
		return run.Summary().E2E.P50
	}
	const n = 130
	// A machine that stands still for five seconds makes all wait who are on their way, so there are
	// three tries.
	for tries := 3; ; tries-- {
		before := alone()
		run, err := h.Run(t.Context(), load.Load{Rate: load.Ramp(5, 60, 4*time.Second), Requests: n,
			Prompt: load.Fixed(45), Answer: load.Fixed(8)})
		assert.NilError(t, err)
		sum := run.Summary()
		assert.Equal(t, sum.Outcomes[record.OK], n, firstError(run.Records, record.OK))
		// The product's target, some ten times what this takes; on a machine on which that many
		// requests take longer one after the other, the last of them waits no longer than that.
		limit := max(5*time.Second, n*max(before, alone()))
		t.Logf("p99 is %v, limit %v", sum.E2E.P99, limit)
		// With the race detector in the model it says nothing.
		if raceDetector || sum.E2E.P99 < limit {
			return
		}
		assert.Assert(t, tries > 1, "p99 is %v, limit %v", sum.E2E.P99, limit)
	}
}

func TestStressCacheHitRateIsHigh(t *testing.T) {
	h := start(t)
	run, err := h.Run(t.Context(), load.Load{Concurrency: 5, Turns: load.Endless, Requests: 50, Cache: load.Hot,
		Prompt: load.Fixed(80), FollowUp: load.Fixed(11), Answer: load.Fixed(8)})
	assert.NilError(t, err)
	sum := run.Summary()
	assert.Equal(t, sum.Outcomes[record.OK], 50, firstError(run.Records, record.OK))
	assert.Assert(t, sum.HitRatio > 0.8, "hit rate %.3f", sum.HitRatio)
}

// smallPool is a pool of so many blocks of 16 tokens, and a short queue.
func smallPool(blocks int) []string {
	// The embedded model takes 1536 bytes a token: 6 layers, one key and one value head of 32
	// float32 each.
	return []string{"-block-tokens", "16", "-kv-bytes", fmt.Sprint(blocks * 16 * 1536), "-max-queue", "10"}
}

// recovered waits until nothing is in flight and every block is free or evictable.
func recovered(t *testing.T, h *harness.StressTestHarness) {
	t.Helper()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		used := metric(t, h, "loadstone_pool_blocks", "state", "used")
		running, queued := metric(t, h, "loadstone_running"), metric(t, h, "loadstone_queue_depth")
		if used+running+queued > 0 {
			return poll.Continue("%g blocks in use, %g requests running, %g queued", used, running, queued)
		}
		return poll.Success()
	}, poll.WithTimeout(time.Minute))
}

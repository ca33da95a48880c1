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
	"loadstone/harness/record"
)

// The eight stress tests. Each starts a server process of its own.

func TestStressOver100ConcurrentRequests(t *testing.T) {
	s := startSubject(t)
	const n, tokens = 150, 8
	records, err := s.RunConcurrent(t.Context(), prompts(n, 1, 20, tokens))
	assert.NilError(t, err)
	assert.Equal(t, outcomes(records)[record.OK], n, firstError(records, record.OK))
	for _, r := range records {
		assert.Equal(t, r.OutputTokens, tokens, "agent %s", r.Agent)
	}
	// Conservation, by the server's own count.
	assert.Equal(t, s.metric(t, "loadstone_requests_total", "route", "/v1/chat/completions", "status", "200"), float64(n))
}

func TestStressGraceful429WhenThePoolIsExhausted(t *testing.T) {
	// Room for some ten requests at a time, and ten more may wait.
	s := startSubject(t, smallPool(64)...)
	const n = 100
	records, err := s.RunConcurrent(t.Context(), prompts(n, 2, 20, 64))
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
	recovered(t, s)
	again, err := s.RunConcurrent(t.Context(), prompts(4, 3, 20, 64))
	assert.NilError(t, err)
	assert.Equal(t, outcomes(again)[record.OK], 4, firstError(again, record.OK))
}

func TestStressNoCrashesUnderLoad(t *testing.T) {
	s := startSubject(t, smallPool(96)...)
	s.Timeout = 20 * time.Second
	good := prompts(200, 4, 30, 16)
	// Every fourth request is one that a server must survive, not serve.
	bad := []client.Prompt{
		{},
		{Messages: []client.Message{{Role: "wizard", Content: "hi"}}},
		{Messages: []client.Message{{Role: "user", Content: strings.Repeat("much ", 100_000)}}, MaxTokens: 8},
		{Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: 1 << 40},
		{Messages: []client.Message{{Role: "user", Content: "\x00\xff<end_of_turn><bos>"}}, MaxTokens: 8, Temperature: 1e300},
	}
	records, err := s.RunBursty(t.Context(), 20, 50*time.Millisecond, 10, func(i int) client.Prompt {
		if i%4 == 3 {
			return bad[i/4%len(bad)]
		}
		return good[i]
	})
	assert.NilError(t, err)
	for i, r := range records {
		assert.Assert(t, r.Status != 0 && (r.Status < 500 || r.Outcome == record.Rejected), "request %d: %s %s", i, r.Outcome, r.Error)
		if i%4 != 3 {
			assert.Assert(t, r.Outcome == record.OK || r.Outcome == record.Rejected, "request %d: %s %s", i, r.Outcome, r.Error)
		}
	}
	select {
	case <-s.Exited():
		t.Fatal("the server died")
	default:
		assert.Assert(t, s.Alive(t.Context()))
	}
}

func TestStressPoolRecoversAfterLoad(t *testing.T) {
	s := startSubject(t)
	goroutines := s.metric(t, "go_goroutines")
	// Clients that lose patience leave requests behind in every state: queued, in prefill, in decode.
	s.Timeout = 30 * time.Millisecond
	records, err := s.RunSustained(t.Context(), 400, 200, func(i int) client.Prompt { return prompts(1, uint64(100+i), 60, 200)[0] })
	assert.NilError(t, err)
	assert.Assert(t, outcomes(records)[record.Timeout] > 0, "no client lost patience: %v", outcomes(records))
	s.Client.Close()
	recovered(t, s)
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		// A scrape's own connection takes up to three.
		if now := s.metric(t, "go_goroutines"); now > goroutines+3 {
			return poll.Continue("%g goroutines, %g before the load", now, goroutines)
		}
		return poll.Success()
	}, poll.WithTimeout(10*time.Second))
	s.Timeout = 0
	after, err := s.RunConcurrent(t.Context(), prompts(5, 5, 20, 8))
	assert.NilError(t, err)
	assert.Equal(t, outcomes(after)[record.OK], 5, firstError(after, record.OK))
}

func TestStress10Agents50RapidRequests(t *testing.T) {
	s := startSubject(t)
	records, err := s.RunAgents(t.Context(), agents(10, 6), 50, 4, 4)
	assert.NilError(t, err)
	assert.Equal(t, outcomes(records)[record.OK], 500, firstError(records, record.OK))
	for _, r := range records {
		if r.Turn > 0 {
			assert.Assert(t, r.CachedTokens > 0, "agent %s has lost its memory at turn %d", r.Agent, r.Turn)
		}
	}
}

func TestStressCacheIsolationUnderLoad(t *testing.T) {
	const n, turns = 8, 6
	crowd := agents(n, 7)
	under, err := startSubject(t, "-block-tokens", "8").RunAgents(t.Context(), crowd, turns, 12, 12)
	assert.NilError(t, err)
	assert.Equal(t, outcomes(under)[record.OK], n*turns, firstError(under, record.OK))

	alone := startSubject(t)
	for i, agent := range agents(n, 7) {
		solo, err := alone.RunAgents(t.Context(), []*harness.Conversation{agent}, turns, 12, 12)
		assert.NilError(t, err)
		for turn, r := range solo {
			got := under[i*turns+turn]
			assert.Equal(t, got.Answer, r.Answer, "agent %s, turn %d: another answer under load than alone", r.Agent, turn)
			assert.Equal(t, got.PromptTokens, r.PromptTokens)
			for j, other := range crowd {
				assert.Assert(t, i == j || !strings.Contains(got.Answer, other.Canary), "agent %d was told the secret of agent %d", i, j)
			}
			if turn == 0 {
				// All that strangers share is the chat template's first words.
				assert.Assert(t, got.CachedTokens <= 16, "a new agent found %d of its %d tokens in the cache", got.CachedTokens, got.PromptTokens)
			}
		}
	}
}

func TestStressLatencyRemainsAcceptable(t *testing.T) {
	s := startSubject(t)
	records, err := s.RunRamp(t.Context(), 5, 60, 4*time.Second, 130, func(i int) client.Prompt {
		return prompts(1, uint64(1000+i), 30, 8)[0]
	})
	assert.NilError(t, err)
	sum := record.Summarize("ramp", records, time.Second, -1)
	assert.Equal(t, sum.Outcomes[record.OK], 130, firstError(records, record.OK))
	// The product's target, some ten times what this takes. With the race detector in the model it says nothing.
	assert.Assert(t, raceDetector || sum.E2E.P99 < 5*time.Second, "p99 is %v", sum.E2E.P99)
}

func TestStressCacheHitRateIsHigh(t *testing.T) {
	s := startSubject(t)
	team := agents(5, 8)
	_, err := s.RunAgents(t.Context(), team, 1, 60, 8)
	assert.NilError(t, err)
	records, err := s.RunAgents(t.Context(), team, 10, 8, 8)
	assert.NilError(t, err)
	sum := record.Summarize("hits", records, time.Second, -1)
	assert.Equal(t, sum.Outcomes[record.OK], 50, firstError(records, record.OK))
	assert.Assert(t, sum.HitRatio > 0.8, "hit rate %.3f", sum.HitRatio)
}

// smallPool is a pool of so many blocks of 16 tokens, and a short queue.
func smallPool(blocks int) []string {
	// The embedded model takes 1536 bytes a token: 6 layers, one key and one value head of 32 float32 each.
	return []string{"-block-tokens", "16", "-kv-bytes", fmt.Sprint(blocks * 16 * 1536), "-max-queue", "10"}
}

// recovered waits until nothing is in flight and every block is free or evictable.
func recovered(t *testing.T, s *subject) {
	t.Helper()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		used := s.metric(t, "loadstone_pool_blocks", "state", "used")
		running, queued := s.metric(t, "loadstone_running"), s.metric(t, "loadstone_queue_depth")
		if used+running+queued > 0 {
			return poll.Continue("%g blocks in use, %g requests running, %g queued", used, running, queued)
		}
		return poll.Success()
	}, poll.WithTimeout(20*time.Second))
}

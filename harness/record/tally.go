package record

import (
	"maps"
	"time"

	"loadstone/harness/stats"
)

// A Tally is what a Summary is made of: it takes records one by one and keeps none of them, in memory that does not grow
// with their number. The zero Tally is ready.
type Tally struct {
	ttft, content, itl, gap, tpot, e2e, lag stats.Durations
	server, queue, prefill, decode, network stats.Durations

	reps     map[int]int // repetitions by run; in a run they are numbered from 0
	outcomes map[Outcome]int
	requests int
	reasoned bool

	resent       int
	judged, good int

	promptTokens, cachedTokens, outputTokens int

	told   bool // some answer said what was cached
	pieces int  // of answers whose usage is unknown
}

// Add takes a record into account.
func (t *Tally) Add(r *Record) {
	if t.reps == nil {
		t.reps, t.outcomes = map[int]int{}, map[Outcome]int{}
	}
	t.reps[r.Run] = max(t.reps[r.Run], r.Rep+1)
	t.requests++
	t.outcomes[r.Outcome]++
	t.resent += r.Resent
	if r.SLO != Unjudged {
		t.judged++
	}
	if r.SLO == Met {
		t.good++
	}
	if r.Sent >= 0 {
		t.lag.Add(r.Sent - r.Due)
	}
	switch r.Outcome {
	case OK:
		t.answered(r)
	case Rejected, Cancelled:
	default:
		t.ttft.Add(stats.Never)
		t.e2e.Add(stats.Never)
	}
}

func (t *Tally) answered(r *Record) {
	if r.PromptTokens >= 0 {
		t.promptTokens += r.PromptTokens
		t.told = t.told || r.CachedTokens >= 0
		t.cachedTokens += max(r.CachedTokens, 0)
		t.outputTokens += max(r.OutputTokens, 0)
	}
	if r.OutputTokens < 0 {
		t.pieces += len(r.Chunks)
	}
	if r.Slow {
		return
	}
	t.e2e.Add(r.Latency())
	if v := r.TTFT(); v >= 0 { // an answer of no tokens has none
		t.ttft.Add(v)
	}
	t.reasoned = t.reasoned || r.Reasoning > 0
	if r.FirstContent >= 0 {
		t.content.Add(r.FirstContent - r.Due)
	}
	tokens := r.perChunk()
	for j := 1; j < len(r.Chunks); j++ {
		gap := r.Chunks[j] - r.Chunks[j-1]
		t.gap.Add(gap)
		t.itl.Add(time.Duration(float64(gap) / tokens))
	}
	if v := r.TPOT(); v >= 0 {
		t.tpot.Add(v)
	}
	for _, part := range []struct {
		sample *stats.Durations
		v      time.Duration
	}{{&t.server, r.Server.Total}, {&t.queue, r.Server.Queue}, {&t.prefill, r.Server.Prefill}, {&t.decode, r.Server.Decode}} {
		if part.v >= 0 {
			part.sample.Add(part.v)
		}
	}
	if r.Server.Total >= 0 {
		t.network.Add(r.End - r.Sent - r.Server.Total)
	}
}

// Merge takes another tally's records into account.
func (t *Tally) Merge(o *Tally) {
	if t.reps == nil {
		t.reps, t.outcomes = map[int]int{}, map[Outcome]int{}
	}
	for run, n := range o.reps {
		t.reps[run] = max(t.reps[run], n)
	}
	for outcome, n := range o.outcomes {
		t.outcomes[outcome] += n
	}
	t.requests += o.requests
	t.resent += o.resent
	t.judged += o.judged
	t.good += o.good
	t.reasoned = t.reasoned || o.reasoned
	for _, pair := range [][2]*stats.Durations{{&t.ttft, &o.ttft}, {&t.content, &o.content}, {&t.itl, &o.itl}, {&t.gap, &o.gap}, {&t.tpot, &o.tpot},
		{&t.e2e, &o.e2e}, {&t.lag, &o.lag}, {&t.server, &o.server}, {&t.queue, &o.queue}, {&t.prefill, &o.prefill}, {&t.decode, &o.decode},
		{&t.network, &o.network}} {
		pair[0].Merge(pair[1])
	}
	t.promptTokens += o.promptTokens
	t.cachedTokens += o.cachedTokens
	t.outputTokens += o.outputTokens
	t.told = t.told || o.told
	t.pieces += o.pieces
}

// Summary describes the records so far. elapsed is how long their load ran and peakPool the highest pool utilisation seen
// meanwhile, or -1.
func (t *Tally) Summary(scenario string, elapsed time.Duration, peakPool float64) Summary {
	reps := 0
	for _, n := range t.reps {
		reps += n
	}
	s := Summary{Scenario: scenario, Runs: len(t.reps), Reps: reps, Requests: t.requests, Outcomes: map[Outcome]int{},
		TTFT: t.ttft.Dist(), ITL: t.itl.Dist(), Gap: t.gap.Dist(), TPOT: t.tpot.Dist(), E2E: t.e2e.Dist(), Lag: t.lag.Dist(),
		Server: t.server.Dist(), Queue: t.queue.Dist(), Prefill: t.prefill.Dist(), Decode: t.decode.Dist(), Network: t.network.Dist(),
		Elapsed: elapsed, PeakPool: peakPool, Resent: t.resent, Judged: t.judged,
		PromptTokens: t.promptTokens, CachedTokens: t.cachedTokens, OutputTokens: t.outputTokens, Pieces: t.pieces}
	maps.Copy(s.Outcomes, t.outcomes)
	if t.reasoned {
		s.Content = t.content.Dist()
	}
	if elapsed > 0 {
		s.RequestsPerSec = float64(s.Outcomes[OK]) / elapsed.Seconds()
		s.TokensPerSec = float64(s.OutputTokens+s.Pieces) / elapsed.Seconds()
		s.Goodput = float64(t.good) / elapsed.Seconds()
	}
	s.HitRate = -1
	if t.told && s.PromptTokens > 0 {
		s.HitRate = float64(s.CachedTokens) / float64(s.PromptTokens)
	}
	if t.judged > 0 {
		s.GoodRate = float64(t.good) / float64(t.judged)
	}
	if s.Requests > 0 {
		failed := s.Requests - s.Outcomes[OK] - s.Outcomes[Rejected] - s.Outcomes[Cancelled]
		s.ErrorRate = float64(failed) / float64(s.Requests)
	}
	return s
}

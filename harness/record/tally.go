package record

import (
	"maps"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/stats"
)

// A Tally is what a Summary is made of: it takes records one by one and keeps none of them, in
// memory that does not grow with their number. The zero Tally is ready for use.
type Tally struct {
	Goodput load.Objective // what a good answer must hold; the zero Objective: none is judged

	ttft, content, itl, gap, tpot, e2e, lag stats.Durations
	server, queue, prefill, decode, network stats.Durations

	reps     map[int]int // repetitions by run; in a run they are numbered from 0
	outcomes map[Outcome]int
	requests int
	reasoned bool

	resent       int
	judged, good int

	promptTokens, cachedTokens, outputTokens int

	cacheKnown bool // some answer said how many of its tokens were cached
	pieces     int  // of answers whose usage is unknown
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
	switch r.Judge(t.Goodput) {
	case Met:
		t.judged++
		t.good++
	case Missed:
		t.judged++
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

// answered takes what an answer says of tokens and times.
func (t *Tally) answered(r *Record) {
	if r.PromptTokens >= 0 {
		t.promptTokens += r.PromptTokens
		t.cacheKnown = t.cacheKnown || r.CachedTokens >= 0
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
	t.serverTimes(r)
}

// serverTimes takes what the server says of its own part of an answer.
func (t *Tally) serverTimes(r *Record) {
	for _, part := range []struct {
		sample *stats.Durations
		v      time.Duration
	}{
		{&t.server, r.Server.Total}, {&t.queue, r.Server.Queue},
		{&t.prefill, r.Server.Prefill}, {&t.decode, r.Server.Decode},
	} {
		if part.v >= 0 {
			part.sample.Add(part.v)
		}
	}
	if r.Server.Total >= 0 {
		t.network.Add(r.End - r.Sent - r.Server.Total)
	}
}

// Merge takes another tally's records into account, as that one judged them.
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
	for _, pair := range [][2]*stats.Durations{{&t.ttft, &o.ttft}, {&t.content, &o.content},
		{&t.itl, &o.itl}, {&t.gap, &o.gap}, {&t.tpot, &o.tpot},
		{&t.e2e, &o.e2e}, {&t.lag, &o.lag}, {&t.server, &o.server}, {&t.queue, &o.queue},
		{&t.prefill, &o.prefill}, {&t.decode, &o.decode},
		{&t.network, &o.network}} {
		pair[0].Merge(pair[1])
	}
	t.promptTokens += o.promptTokens
	t.cachedTokens += o.cachedTokens
	t.outputTokens += o.outputTokens
	t.cacheKnown = t.cacheKnown || o.cacheKnown
	t.pieces += o.pieces
}

// Summary describes the records so far. elapsed is how long their load ran and peakPool the highest
// utilisation of the pool meanwhile, or -1.
func (t *Tally) Summary(scenario string, elapsed time.Duration, peakPool float64) Summary {
	reps := 0
	for _, n := range t.reps {
		reps += n
	}
	s := Summary{Scenario: scenario, Runs: len(t.reps), Reps: reps, Requests: t.requests,
		Outcomes: map[Outcome]int{},
		TTFT:     t.ttft.Dist(), ITL: t.itl.Dist(), Gap: t.gap.Dist(), TPOT: t.tpot.Dist(),
		E2E: t.e2e.Dist(), Lag: t.lag.Dist(),
		Server: t.server.Dist(), Queue: t.queue.Dist(), Prefill: t.prefill.Dist(),
		Decode: t.decode.Dist(), Network: t.network.Dist(),
		Elapsed: elapsed, PeakPool: peakPool, Resent: t.resent, Judged: t.judged,
		PromptTokens: t.promptTokens, CachedTokens: t.cachedTokens, OutputTokens: t.outputTokens,
		Pieces: t.pieces}
	maps.Copy(s.Outcomes, t.outcomes)
	if t.reasoned {
		s.Content = t.content.Dist()
	}
	if elapsed > 0 {
		s.RequestsPerSec = float64(s.Outcomes[OK]) / elapsed.Seconds()
		s.TokensPerSec = float64(s.OutputTokens+s.Pieces) / elapsed.Seconds()
		s.Goodput = float64(t.good) / elapsed.Seconds()
	}
	s.HitRatio = -1
	if t.cacheKnown && s.PromptTokens > 0 {
		s.HitRatio = float64(s.CachedTokens) / float64(s.PromptTokens)
	}
	if t.judged > 0 {
		s.GoodRatio = float64(t.good) / float64(t.judged)
	}
	if s.Requests > 0 {
		s.ErrorRatio = float64(s.Errors()) / float64(s.Requests)
	}
	return s
}

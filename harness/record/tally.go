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

	ttft, content, itl, tpot, e2e, lag      stats.Durations
	server, queue, prefill, decode, network stats.Durations

	reps     map[int]int // repetitions by run; in a run they are numbered from 0
	outcomes map[Outcome]int
	requests int
	reasoned bool

	resent       int
	judged, good int

	promptTokens, cachedTokens, outputTokens int

	cacheKnown bool // some answer said how many of its tokens were cached
	hitPrompt  int  // prompt tokens of the answers whose cached tokens are believed
	pieces     int  // of answers whose usage is unknown

	counted, countedPieces int           // tokens and pieces of answers that have both
	drafted, accepted      int           // tokens of drafts
	steps                  int           // that the counted tokens of answers took
	gaps, stalls           time.Duration // all gaps together, and those above StallBound
	spans                  time.Duration // first to last piece of all answers that have a TPOT
	spanTokens             int           // their tokens, without the first ones

	jobs jobs

	ceiling int // tokens of the same prompts that a cache without an end would have had

	empty accounted // what the usage of empty answers says
	notes map[Note]int

	replayed Replayed
}

// accounted are tokens that a server has counted.
type accounted struct{ prompt, cached, output int }

// StallBound is how long a gap between two pieces of an answer may be before it counts as a stall:
// about the time in which a reader's eyes rest on a word, so that a longer one is seen.
const StallBound = 200 * time.Millisecond

// Add takes a record into account.
func (t *Tally) Add(r *Record) {
	if t.reps == nil {
		t.reps, t.outcomes, t.notes = map[int]int{}, map[Outcome]int{}, map[Note]int{}
	}
	for _, n := range r.Notes {
		t.notes[n.Kind()]++
	}
	t.reps[r.Run] = max(t.reps[r.Run], r.Rep+1)
	t.jobs.add(r, t.Goodput.Job)
	t.requests++
	t.outcomes[r.Outcome]++
	t.resent += r.Resent
	t.replayed.add(r)
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
	case Empty: // whatever its usage says is in no figure, and in the account alone
		t.empty.prompt += max(r.PromptTokens, 0)
		t.empty.cached += max(r.CachedTokens, 0)
		t.empty.output += max(r.OutputTokens, 0)
		t.failed()
	default:
		t.failed()
	}
}

// failed takes a request that got no answer.
func (t *Tally) failed() {
	t.ttft.Add(stats.Never)
	t.e2e.Add(stats.Never)
}

// answered takes what an answer says of tokens and times.
func (t *Tally) answered(r *Record) {
	t.promptTokens += max(r.PromptTokens, 0)
	t.outputTokens += max(r.OutputTokens, 0)
	if r.PromptTokens >= 0 && r.CachedTokens <= r.PromptTokens { // more cannot be true
		t.cacheKnown = t.cacheKnown || r.CachedTokens >= 0
		t.cachedTokens += max(r.CachedTokens, 0)
		t.hitPrompt += r.PromptTokens
		t.ceiling += r.CeilingTokens
	}
	t.drafted, t.accepted = t.drafted+r.DraftedTokens, t.accepted+r.AcceptedTokens
	t.steps += max(r.OutputTokens-r.AcceptedTokens, 0)
	switch {
	case r.OutputTokens < 0:
		t.pieces += len(r.Chunks)
	case len(r.Chunks) > 0:
		t.counted, t.countedPieces = t.counted+r.OutputTokens, t.countedPieces+len(r.Chunks)
	}
	if r.Slow {
		return
	}
	t.e2e.Add(r.Latency())
	if v := r.TTFT(); v >= 0 {
		t.ttft.Add(v)
	} else {
		t.ttft.Add(stats.Never) // an absent time is not a good one
	}
	t.reasoned = t.reasoned || r.Reasoning > 0
	if r.FirstContent >= 0 {
		t.content.Add(r.FirstContent - r.Due)
	}
	for j := 1; j < len(r.Chunks); j++ {
		gap := r.Chunks[j] - r.Chunks[j-1]
		t.itl.Add(gap)
		if t.gaps += gap; gap > StallBound {
			t.stalls += gap
		}
	}
	if v := r.TPOT(); v >= 0 {
		t.tpot.Add(v)
		t.spans += r.Chunks[len(r.Chunks)-1] - r.Chunks[0]
		t.spanTokens += r.Tokens() - 1
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
		t.reps, t.outcomes, t.notes = map[int]int{}, map[Outcome]int{}, map[Note]int{}
	}
	for kind, n := range o.notes {
		t.notes[kind] += n
	}
	for run, n := range o.reps {
		t.reps[run] = max(t.reps[run], n)
	}
	for outcome, n := range o.outcomes {
		t.outcomes[outcome] += n
	}
	t.requests += o.requests
	t.resent += o.resent
	t.replayed = t.replayed.Add(o.replayed)
	t.judged += o.judged
	t.good += o.good
	t.reasoned = t.reasoned || o.reasoned
	for _, pair := range [][2]*stats.Durations{{&t.ttft, &o.ttft}, {&t.content, &o.content},
		{&t.itl, &o.itl}, {&t.tpot, &o.tpot},
		{&t.e2e, &o.e2e}, {&t.lag, &o.lag}, {&t.server, &o.server}, {&t.queue, &o.queue},
		{&t.prefill, &o.prefill}, {&t.decode, &o.decode},
		{&t.network, &o.network}} {
		pair[0].Merge(pair[1])
	}
	t.promptTokens += o.promptTokens
	t.cachedTokens += o.cachedTokens
	t.outputTokens += o.outputTokens
	t.cacheKnown = t.cacheKnown || o.cacheKnown
	t.hitPrompt += o.hitPrompt
	t.ceiling += o.ceiling
	t.jobs.merge(&o.jobs)
	t.pieces += o.pieces
	t.counted += o.counted
	t.countedPieces += o.countedPieces
	t.drafted += o.drafted
	t.accepted += o.accepted
	t.steps += o.steps
	t.gaps += o.gaps
	t.stalls += o.stalls
	t.spans += o.spans
	t.spanTokens += o.spanTokens
	t.empty.prompt += o.empty.prompt
	t.empty.cached += o.empty.cached
	t.empty.output += o.empty.output
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
		TTFT:     t.ttft.Dist(), ITL: t.itl.Dist(), TPOT: t.tpot.Dist(),
		E2E: t.e2e.Dist(), Lag: t.lag.Dist(),
		Server: t.server.Dist(), Queue: t.queue.Dist(), Prefill: t.prefill.Dist(),
		Decode: t.decode.Dist(), Network: t.network.Dist(),
		Elapsed: elapsed, PeakPool: peakPool, Resent: t.resent, Replayed: t.replayed, Judged: t.judged,
		PromptTokens: t.promptTokens, CachedTokens: t.cachedTokens, OutputTokens: t.outputTokens,
		Pieces: t.pieces, StallRatio: -1, TokensPerPiece: -1,
		DraftedTokens: t.drafted, AcceptedTokens: t.accepted, AcceptRatio: -1, TokensPerStep: -1,
		Jobs: t.jobs.summary(elapsed, t.Goodput.Job)}
	maps.Copy(s.Outcomes, t.outcomes)
	if len(t.notes) > 0 {
		s.Notes = maps.Clone(t.notes)
	}
	if t.reasoned {
		s.Content = t.content.Dist()
	}
	if elapsed > 0 {
		s.RequestsPerSec = float64(s.Outcomes[OK]) / elapsed.Seconds()
		s.TokensPerSec = float64(s.OutputTokens+s.Pieces) / elapsed.Seconds()
		s.Goodput = float64(t.good) / elapsed.Seconds()
	}
	if t.judged > 0 {
		s.GoodRatio = float64(t.good) / float64(t.judged)
	}
	if s.Requests > 0 {
		s.ErrorRatio = float64(s.Errors()) / float64(s.Requests)
	}
	t.setTokens(&s)
	t.setHits(&s)
	return s
}

// setTokens sets how the tokens came: their mean time, stalls, pieces and drafts.
func (t *Tally) setTokens(s *Summary) {
	if t.spanTokens > 0 { // of all their tokens, not of their means
		s.TPOT.Mean = t.spans / time.Duration(t.spanTokens)
	}
	if t.gaps > 0 {
		s.StallRatio = float64(t.stalls) / float64(t.gaps)
	}
	if t.countedPieces > 0 {
		s.TokensPerPiece = float64(t.counted) / float64(t.countedPieces)
	}
	if t.drafted > 0 {
		s.AcceptRatio = float64(t.accepted) / float64(t.drafted)
	}
	if t.drafted > 0 && t.steps > 0 {
		s.TokensPerStep = float64(t.outputTokens) / float64(t.steps)
	}
}

// setHits sets how much of the prompts the cache had, and how much one without an end would have
// had.
func (t *Tally) setHits(s *Summary) {
	s.HitRatio = -1
	if t.cacheKnown && t.hitPrompt > 0 {
		s.HitRatio = float64(s.CachedTokens) / float64(t.hitPrompt)
	}
	s.CeilingRatio, s.CeilingShare = -1, -1
	if t.ceiling > 0 {
		s.CeilingRatio = float64(t.ceiling) / float64(t.hitPrompt)
		if t.cacheKnown {
			s.CeilingShare = float64(t.cachedTokens) / float64(t.ceiling)
		}
	}
}

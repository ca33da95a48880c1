package engine

import (
	"log/slog"
	"runtime/debug"
	"time"

	"loadstone/engine/internal/sample"
)

// A job is a request on its way through the engine.
type job struct {
	seq     *sequence
	stream  *Stream
	sampler sample.Sampler
	unwatch func() bool // ends the watch on the request's context
	restore *restore    // nil: there was none
	durable bool
	leased  bool // it holds its agent's lease, where others share the directory

	ahead func(answer []int32, n int) (tokens []int32, sure int) // of the request; nil: none

	submitted, admitted, first time.Time
}

// cancel ends the job with an id unless it has ended already.
func (e *Engine) cancel(id uint64, cause error, now time.Time) {
	ev, ok := e.sched.Cancel(id)
	if !ok {
		return
	}
	if e.jobs[id].admitted.IsZero() {
		e.mailbox.waiting.Add(-1)
	}
	e.finish(ev, now, cause)
}

// deliver passes on what a step did to a request. err is the step's.
func (e *Engine) deliver(ev event, now time.Time, err error) {
	j := e.jobs[ev.seq.id]
	if ev.token != noToken {
		t := Token{ID: ev.token}
		if ev.row != noRow {
			t.Logprobs = e.out.logprobs[ev.row]
		}
		if j.first.IsZero() {
			j.first = now
			start := j.start(now)
			t.Start = &start
		}
		j.stream.push(t)
	} else if j.first.IsZero() && ev.finish == FinishStop {
		j.first = now // an empty answer has its prefill too
	}
	if ev.finish == FinishError && err == nil {
		err = sample.ErrNoToken
	}
	if ev.finish != "" {
		e.finish(ev, now, err)
	}
}

// finish writes a request's result. Its stream is closed by settle.
func (e *Engine) finish(ev event, now time.Time, err error) {
	q, j := ev.seq, e.jobs[ev.seq.id]
	if j.restore != nil && q.restoring {
		e.endRestore(j.restore)
	}
	r := Result{
		Start:        j.start(now),
		Finish:       ev.finish,
		PromptTokens: q.prompt,
		OutputTokens: len(q.tokens) - q.prompt,
		Drafted:      q.drafted,
		Accepted:     q.accepted,
	}
	if !j.first.IsZero() {
		r.Decode = now.Sub(j.first)
	}
	if ev.finish == FinishCancelled || ev.finish == FinishError {
		r.Err = err
	}
	e.served.count(&r)
	if c := e.sched.store.Agent(q.who.Agent); c != nil {
		c.Used = now
		if c.Created.IsZero() {
			c.Created = now
		}
	}
	j.stream.result = r
	e.saveTurn(j, ev.finish)
	e.endLease(j)
	j.unwatch()
	e.mailbox.ended(q.who.Agent)
	delete(e.jobs, q.id)
	e.ended = append(e.ended, j)
}

// mustFollow returns what the job's mask lets follow an answer, see Request.Ahead; nothing if that
// panics.
func (j *job) mustFollow(answer []int32) (tokens []int32, sure int) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("looking ahead panicked", "panic", r, "stack", string(debug.Stack()))
			tokens, sure, j.ahead = nil, 0, nil
		}
	}()
	return j.ahead(answer, maxDraft)
}

// saveTurn begins to save the memory that a durable request has left.
func (e *Engine) saveTurn(j *job, why Finish) {
	if why == FinishError && e.disk != nil {
		e.disk.failed(j.seq.who.Agent)
	}
	if !j.durable {
		return
	}
	if e.sched.store.Agent(j.seq.who.Agent) == nil || why == FinishError {
		j.stream.lost = errLeftNothing
		return
	}
	j.stream.saving = e.disk.urge(j.seq.who.Agent)
}

// start returns what is known of a job's prompt now.
func (j *job) start(now time.Time) Start {
	s := Start{CachedTokens: j.seq.cached, Miss: j.seq.miss}
	if j.admitted.IsZero() {
		s.Queue = now.Sub(j.submitted)
		return s
	}
	s.Queue = j.admitted.Sub(j.submitted)
	if s.Prefill = now.Sub(j.admitted); !j.first.IsZero() {
		s.Prefill = j.first.Sub(j.admitted)
	}
	switch {
	case j.seq.restored > 0:
		s.Tier = TierDisk
	case j.seq.cached > 0:
		s.Tier = TierHot
	default:
		s.Tier = TierCold
	}
	if r := j.restore; r != nil {
		s.RestoredBytes, s.Restore = r.bytes, r.took
	}
	return s
}

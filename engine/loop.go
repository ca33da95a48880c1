package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"loadstone/engine/internal/kv"
)

// run is the engine's goroutine. writer is the goroutine that writes memories to disk.
func (e *Engine) run(writer *sync.WaitGroup) {
	defer close(e.done)
	for e.iterate() || e.mailbox.wait(len(e.jobs) > 0) {
	}
	// A request that changes the store may wait for a call to this goroutine, and the store, when it
	// is closed, for that request: so calls are refused first.
	close(e.deaf)
	if e.disk != nil {
		e.disk.close(func() { <-e.mailbox.wake })
		e.awaitWriter(writer)
		e.disk.store.Close()
	}
}

// awaitWriter waits until all memories are written, and gives up the lease of each once it is.
func (e *Engine) awaitWriter(writer *sync.WaitGroup) {
	written := make(chan struct{})
	go func() {
		writer.Wait()
		close(written)
	}()
	for {
		select {
		case <-e.mailbox.wake:
			e.disk.settle()
		case <-written:
			e.disk.settle()
			return
		}
	}
}

// call has the engine's goroutine call f between two steps.
func (e *Engine) call(f func()) error {
	ran := make(chan struct{})
	e.mailbox.call(func() {
		f()
		close(ran)
	})
	select {
	case <-ran:
		return nil
	case <-e.deaf:
		return ErrDraining
	}
}

// iterate takes the mail, makes one step, and moves a portion of KV from or to the disk. It returns
// false when there was nothing to do.
func (e *Engine) iterate() bool {
	e.takeMail()
	worked := e.copyIn()
	wanted := e.sched.demand()
	prompts, rows, spare := e.pace.limits(wanted)
	b := e.sched.Plan(prompts, rows, e.drafting(wanted, rows, spare))
	if e.disk != nil {
		e.disk.rescue()
	}
	e.noteAdmitted(b)
	e.settle()
	if b == nil || len(b.seqs) == 0 {
		return e.copyOut() || worked
	}
	e.served.step(len(b.seqs), e.published.load().Utilization())
	start := e.pace.clock()
	var events []event
	err := e.compute(b)
	if err != nil {
		events = e.sched.Fail()
		err = &ModelError{len(events), err}
	} else {
		e.draw(b)
		events = e.sched.Commit(e.out.tokens)
	}
	if err == nil {
		e.notePace(b, e.pace.clock().Sub(start))
	}
	now := time.Now()
	for _, ev := range events {
		e.deliver(ev, now, err)
	}
	for i, ev := range events {
		last := i+1 == len(events) || events[i+1].seq != ev.seq
		if j := e.jobs[ev.seq.id]; last && j != nil && j.ahead != nil {
			e.lookAhead(j, now)
		}
	}
	e.settle()
	e.copyOut()
	return true
}

// drafting returns what drafts the next step may have, in which so many sequences decode and which
// has so much time to spare. Prompts get time for the rows of drafts as they do for the streams.
func (e *Engine) drafting(wanted demand, streams int, spare time.Duration) drafting {
	streams = min(streams, wanted.decoding)
	alone := e.pace.decode[streams]
	d := e.drafts.limits(streams, alone, e.cfg.StepTokens, spare)
	if wanted.prefilling > 0 && d.rows > 0 {
		row := e.drafts.cost(streams, alone)
		d.prompts = float64(besideOf(row, wanted.prefilling)) / float64(max(e.pace.token, 1))
	}
	return d
}

// notePace notes how long a step took.
func (e *Engine) notePace(b *batch, d time.Duration) {
	alone := e.pace.decode[b.decoding]
	switch {
	case b.prompts == 0 && b.ahead > 0:
		e.drafts.took(b.ahead, d, alone)
		e.pace.tookStep(d)
		return
	case b.prompts == 0:
		e.drafts.took(0, d, alone)
	case b.ahead > 0:
		d = max(d-time.Duration(b.ahead)*e.drafts.cost(b.decoding, alone), 1)
	}
	e.pace.took(b.decoding, b.prompts, d)
}

// copyOut copies a portion of the memories that are to be saved. It reports whether there were any.
func (e *Engine) copyOut() bool { return e.disk != nil && e.disk.copyOut() }

// takeMail brings new requests in, and ends cancelled ones.
func (e *Engine) takeMail() {
	m := e.mailbox.take()
	for _, j := range m.submitted {
		e.jobs[j.seq.id] = j
		e.sched.Add(j.seq)
	}
	now := time.Now()
	for _, c := range m.cancelled {
		e.cancel(c.id, c.cause, now)
	}
	if m.cancelAll {
		for _, id := range slices.Sorted(maps.Keys(e.jobs)) {
			e.cancel(id, ErrDraining, now)
		}
	}
	for _, f := range m.calls {
		f()
	}
}

// noteAdmitted notes which requests have left the queue, and starts their restores.
func (e *Engine) noteAdmitted(b *batch) {
	if b == nil || len(b.admitted) == 0 {
		return
	}
	now := time.Now()
	for _, q := range b.admitted {
		j := e.jobs[q.id]
		j.admitted = now
		if q.restoring {
			j.restore = e.disk.restore(q)
			e.restores = append(e.restores, j.restore)
		} else if e.disk != nil && (q.miss == kv.MissNewAgent || q.miss == kv.MissEvicted) {
			q.miss = e.disk.miss(&q.who, q.miss)
		}
	}
	e.mailbox.waiting.Add(int64(-len(b.admitted)))
}

// lookAhead gives a job the tokens that it can only get, and notes which are likely. Those that
// need log-probabilities are drawn as all others.
func (e *Engine) lookAhead(j *job, now time.Time) {
	q := j.seq
	tokens, sure := j.mustFollow(q.tokens[q.prompt:])
	if j.sampler.Notes() {
		sure = 0
	}
	for _, token := range tokens[:sure] {
		j.sampler.Take(token)
		ev := e.sched.Force(q, token)
		if e.deliver(ev, now, nil); ev.finish != "" {
			return
		}
	}
	q.likely = append(q.likely[:0], tokens[sure:]...)
}

// settle publishes Stats and then closes the streams of the requests that have ended, so that
// a caller that sees a request end finds its blocks in the pool.
func (e *Engine) settle() {
	if invariants {
		e.sched.check()
	}
	e.publish()
	for i, j := range e.ended {
		j.stream.end()
		e.ended[i] = nil
	}
	e.ended = e.ended[:0]
}

func (e *Engine) publish() {
	st := e.sched.Stats()
	e.served.publish(&st)
	st.WeightBytes = e.weightBytes
	if d := e.disk; d != nil {
		st.Restores, st.RestoreFailures = d.restores, d.failures
	}
	e.published.store(&st)
	e.retry.Store(int64(e.sched.stepsToNextEnd()) * int64(e.pace.step))
}

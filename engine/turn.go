package engine

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// run is the engine's goroutine. wrote is the writer's.
func (e *Engine) run(wrote *sync.WaitGroup) {
	defer close(e.done)
	for e.turn() || e.door.wait(len(e.jobs) > 0) {
	}
	if e.warm != nil {
		e.warm.close(func() { <-e.door.wake })
		wrote.Wait()
		e.warm.shelf.close()
	}
}

// turn takes what is in the door, makes one step, and moves a portion of KV from or to the warm tier. It reports false
// when there was nothing to do.
func (e *Engine) turn() bool {
	e.intake()
	worked := e.copyIn()
	b := e.sched.Plan(e.pace.prompts(e.sched.load()))
	if e.warm != nil {
		e.warm.rescue()
	}
	e.admit(b)
	e.settle()
	if b == nil || len(b.seqs) == 0 {
		return e.copyOut() || worked
	}
	e.served.step(len(b.seqs))
	start := e.pace.clock()
	var events []event
	err := e.step(b)
	if err != nil {
		events = e.sched.Fail()
	} else {
		e.draw(b)
		events = e.sched.Commit(e.next)
	}
	if err == nil {
		e.pace.took(b.decoding, b.prompts, e.pace.clock().Sub(start))
	}
	now := time.Now()
	for _, ev := range events {
		e.deliver(ev, now, err)
	}
	e.settle()
	e.copyOut()
	return true
}

// copyOut saves a portion of what is to be saved. It reports whether there was any.
func (e *Engine) copyOut() bool { return e.warm != nil && e.warm.copyOut() }

// intake brings in who came and takes out who left.
func (e *Engine) intake() {
	in := e.door.empty()
	for _, j := range in.came {
		e.jobs[j.seq.id] = j
		e.sched.Add(j.seq)
	}
	now := time.Now()
	for _, l := range in.left {
		e.cancel(l.id, l.cause, now)
	}
	if in.all {
		for _, id := range slices.Sorted(maps.Keys(e.jobs)) {
			e.cancel(id, ErrDraining, now)
		}
	}
	for _, f := range in.asks {
		f()
	}
}

// admit notes who left the queue, and starts the restores.
func (e *Engine) admit(b *batch) {
	if b == nil || len(b.admitted) == 0 {
		return
	}
	now := time.Now()
	for _, q := range b.admitted {
		j := e.jobs[q.id]
		j.admitted = now
		if q.restoring {
			j.restore = e.warm.restore(q)
			e.restores = append(e.restores, j.restore)
		} else if q.miss == "new_agent" && e.warm != nil && e.warm.shelf.wasEvicted(q.agent) {
			q.miss = "evicted"
		}
	}
	e.door.waiting.Add(int64(-len(b.admitted)))
}

// guard calls the model. A panic in there becomes an error: it costs the requests concerned, not the server.
func (e *Engine) guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("model panicked: %v", r)
			slog.Error("model panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	return call()
}

// step runs the model on a batch.
func (e *Engine) step(b *batch) error {
	return e.guard(func() error { return e.compute(b) })
}

func (e *Engine) compute(b *batch) error {
	for _, c := range b.copies {
		if err := e.cfg.Model.CopyKV(int(c.dst), int(c.src), int(c.dstLocal), int(c.srcLocal), int(c.tokens)); err != nil {
			return fmt.Errorf("model failed to copy KV block %d to %d: %w", c.src, c.dst, err)
		}
	}
	e.rows, e.picks = e.rows[:0], e.picks[:0]
	for i, q := range b.askers {
		if e.jobs[q.id].sampler.Greedy() {
			e.picks = append(e.picks, b.rows[i])
		} else {
			e.rows = append(e.rows, b.rows[i])
		}
	}
	n := len(e.rows) * e.vocab
	e.logits = slices.Grow(e.logits[:0], n)[:n]
	e.best = slices.Grow(e.best[:0], len(e.picks))[:len(e.picks)]
	if err := e.cfg.Model.Step(b.tokens, b.lens, b.starts, b.tables, b.locals, e.rows, e.logits, e.picks, e.best); err != nil {
		return fmt.Errorf("model failed in a step of %d sequences: %w", len(b.seqs), err)
	}
	return nil
}

// draw finds the token of each sequence that is to have one: the model's pick, or one drawn from its row of logits.
func (e *Engine) draw(b *batch) {
	e.next = e.next[:0]
	logits, best := e.logits, e.best
	for _, q := range b.askers {
		j, token := e.jobs[q.id], noToken
		if j.sampler.Greedy() {
			token, best = best[0], best[1:]
		} else {
			token, logits = e.drawFor(j, logits[:e.vocab]), logits[e.vocab:]
		}
		e.next = append(e.next, token)
	}
}

// drawFor picks a job's token from its row, noToken when there is none. A mask that panics costs its own request.
func (e *Engine) drawFor(j *job, logits []float32) (token int32) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("drawing a token panicked", "panic", r, "stack", string(debug.Stack()))
			token = noToken
		}
	}()
	token, ok := j.sampler.Draw(logits, &e.row)
	if !ok {
		return noToken
	}
	return token
}

// settle publishes a snapshot and then closes the streams of those who ended, so that whoever saw a request end finds
// its blocks in the pool.
func (e *Engine) settle() {
	if invariants {
		e.sched.check()
	}
	e.publish()
	for i, j := range e.ended {
		close(j.stream.tokens)
		e.ended[i] = nil
	}
	e.ended = e.ended[:0]
}

func (e *Engine) publish() {
	st := e.sched.Stats()
	e.served.publish(&st)
	st.WeightBytes = e.weightBytes
	if w := e.warm; w != nil {
		st.Restores, st.RestoreFailures = w.restores, w.failures
	}
	e.snapshot.store(&st)
	e.retry.Store(int64(e.sched.soonest()) * int64(e.pace.step))
}

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what an engine runs and how much it may take. The zero value of each number is its default.
type Config struct {
	Model       Model
	KVBytes     int64 // budget of the pool in bytes, of which whole blocks and locals are made. 0: 256 MiB
	BlockTokens int   // tokens in a block, the unit of allocation and of sharing. 0: 32
	MaxBatch    int   // requests that run at once. 0: 32
	StepTokens  int   // most tokens in one step: decoding requests first, prompts may fill the rest (see pace). 0: 256
	MaxQueue    int   // requests that wait. 0: 512
	MaxPerAgent int   // requests of one agent that wait or run; anonymous ones are not counted. 0: no limit

	// The warm tier: agents' memories on disk.
	Dir         string        // where they are, 0700, of this engine alone. Empty: there is none
	Fingerprint string        // of all that the KV depends on: weights, tokenizer, template, KV format. Others' memories are not used
	DiskBytes   int64         // most that the files may take; the longest unused go first. 0: 16 GiB
	TTL         time.Duration // after which an unused memory is deleted. 0: never
	SaveAfter   time.Duration // how long a memory rests before it is saved. 0: a second
}

// fullAbove is the utilization, in tenths, above which Submit refuses. What is left is for those in the queue.
const fullAbove = 9

// An Engine answers requests with one model. Its methods may be called from any goroutine.
type Engine struct {
	cfg    Config
	layout layout
	door   door
	close  func() error

	// What the model says of itself, asked once: the model may be called from one goroutine at a time only.
	vocab, context int
	weightBytes    int64

	snapshot snapshot
	retry    atomic.Int64  // nanoseconds until room is likely
	done     chan struct{} // closed when the goroutine has ended

	rejectedPool, rejectedQueue, rejectedAgent, rejectedContext, rejectedDraining atomic.Uint64

	// The goroutine's own.
	sched    *sched
	warm     *warm // nil: there is none
	restores []*restore
	jobs     map[uint64]*job
	ended    []*job // their streams are to be closed after the next snapshot
	pace     pace
	logits   []float32
	next     []int32  // tokens drawn in this step
	choices  []choice // scratch of the samplers
	served   served
}

// A job is a request on its way through the engine.
type job struct {
	seq     *sequence
	stream  *Stream
	sampler sampler
	forget  func() bool // undoes the watch on the request's context
	restore *restore    // nil: there was none

	submitted, admitted, first time.Time
}

// New allocates the pool and starts the engine. Close must be called to free both, and closes the model too; after an
// error the model is still the caller's to close.
func New(cfg Config) (*Engine, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, err
	}
	var wrote sync.WaitGroup
	if e.warm != nil {
		wrote.Go(e.warm.writer.run)
	}
	go e.run(&wrote)
	return e, nil
}

// newEngine is New without the goroutine: who calls turn runs it.
func newEngine(cfg Config) (*Engine, error) {
	l, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := cfg.Model.AllocKV(l.blocks, l.locals, l.blockTokens); err != nil {
		return nil, fmt.Errorf("allocating %d KV blocks of %d tokens and %d locals, %d bytes: %w", l.blocks, l.blockTokens, l.locals, cfg.KVBytes, err)
	}
	e := &Engine{
		cfg:     cfg,
		layout:  l,
		vocab:   cfg.Model.Vocab(),
		context: cfg.Model.Context(),
		done:    make(chan struct{}),
		sched:   newSched(l, cfg.MaxBatch, cfg.StepTokens),
		pace:    newPace(cfg.MaxBatch, cfg.StepTokens),
		jobs:    make(map[uint64]*job),
	}
	if m, ok := cfg.Model.(interface{ WeightBytes() int64 }); ok {
		e.weightBytes = m.WeightBytes()
	}
	e.door.wake = make(chan struct{}, 1)
	e.door.inside = make(map[string]int)
	if err := e.openWarm(); err != nil {
		return nil, err
	}
	e.close = sync.OnceValue(func() error {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		e.Drain(now) // its error says that requests were cancelled, which is what Close is for
		return e.cfg.Model.Close()
	})
	e.publish()
	return e, nil
}

// complete puts the defaults in and returns what the budget has room for.
func (c *Config) complete() (layout, error) {
	if c.Model == nil {
		return layout{}, errors.New("engine: Config.Model is nil")
	}
	for _, n := range []struct {
		name   string
		at     *int
		preset int
	}{
		{"BlockTokens", &c.BlockTokens, 32},
		{"MaxBatch", &c.MaxBatch, 32},
		{"StepTokens", &c.StepTokens, 256},
		{"MaxQueue", &c.MaxQueue, 512},
	} {
		if *n.at < 0 {
			return layout{}, fmt.Errorf("engine: Config.%s is %d: it must be positive, or 0 for %d", n.name, *n.at, n.preset)
		}
		if *n.at == 0 {
			*n.at = n.preset
		}
	}
	if c.DiskBytes < 0 || c.TTL < 0 || c.SaveAfter < 0 || c.MaxPerAgent < 0 {
		return layout{}, errors.New("engine: Config's DiskBytes, TTL, SaveAfter and MaxPerAgent must not be negative")
	}
	c.DiskBytes = cmp.Or(c.DiskBytes, 16<<30)
	c.SaveAfter = cmp.Or(c.SaveAfter, time.Second)
	if c.KVBytes == 0 {
		c.KVBytes = 256 << 20
	}
	return newLayout(c.Model, c.KVBytes, c.BlockTokens, c.StepTokens)
}

// Submit hands a request in. It never waits for the model: either the request is accepted, and its Stream ends with a
// Result in any case, or it is refused at once with an error that says why: *PoolError, *QueueError, *AgentError, *ContextError,
// ErrDraining, the context's error, or that the request is malformed.
//
// When ctx is done the request ends, and its blocks are back before the step after the running one. The prompt is copied.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) {
	if err := r.validate(ctx, e.vocab, e.context); err != nil {
		if _, ok := errors.AsType[*ContextError](err); ok {
			e.rejectedContext.Add(1)
		}
		return nil, err
	}
	if err := e.room(need(len(r.Prompt), r.MaxTokens, e.cfg.BlockTokens), len(r.Prompt)); err != nil {
		e.rejectedPool.Add(1)
		return nil, err
	}
	draws := newSampler(r.Sampling)
	draws.mask, draws.top = r.Mask, r.Logprobs
	j := &job{
		seq: &sequence{
			agent:  r.Agent,
			prompt: len(r.Prompt),
			most:   r.MaxTokens,
			stop:   slices.Clone(r.Stop),
			tokens: slices.Clone(r.Prompt),
		},
		stream:    &Stream{tokens: make(chan Token, r.MaxTokens)},
		sampler:   draws,
		submitted: time.Now(),
	}
	if err := e.door.enter(ctx, j, e.cfg.MaxQueue, e.cfg.MaxPerAgent); err != nil {
		if full, ok := errors.AsType[*QueueError](err); ok {
			full.RetryAfter = e.retryAfter()
			e.rejectedQueue.Add(1)
		} else if busy, ok := errors.AsType[*AgentError](err); ok {
			busy.RetryAfter = e.retryAfter()
			e.rejectedAgent.Add(1)
		} else {
			e.rejectedDraining.Add(1)
		}
		return nil, err
	}
	return j.stream, nil
}

// room refuses a request for n blocks, prompt tokens of them to be computed, when it can never fit, or when either part of
// the pool is too full to queue for it.
func (e *Engine) room(n, prompt int) error {
	st := e.snapshot.load()
	blocks := PoolError{Need: n, Free: st.Blocks - st.Used, Total: st.Blocks}
	locals := PoolError{Need: min(n, e.layout.atOnce(min(prompt, e.cfg.StepTokens))), Free: st.Locals - st.LocalUsed, Total: st.Locals, Sliding: true}
	full := &blocks
	switch {
	case n > st.Blocks:
		return full
	case st.Used*10 > st.Blocks*fullAbove:
	case st.LocalUsed*10 > st.Locals*fullAbove:
		full = &locals
	default:
		return nil
	}
	full.RetryAfter = e.retryAfter()
	return full
}

// retryAfter is when one of the running requests will have ended at the latest, at the pace of the last steps, within
// what a client will honour.
func (e *Engine) retryAfter() time.Duration {
	return min(max(time.Duration(e.retry.Load()), time.Second), time.Minute)
}

// Fingerprint is Config's.
func (e *Engine) Fingerprint() string { return e.cfg.Fingerprint }

// Vocab is how many tokens the model knows: their ids are 0..Vocab-1.
func (e *Engine) Vocab() int { return e.vocab }

// Stats is the latest snapshot. It never waits for a step or a disk.
func (e *Engine) Stats() Stats {
	st := e.snapshot.load()
	st.Queued = int(e.door.waiting.Load())
	st.Draining = e.door.closed.Load()
	if w := e.warm; w != nil {
		st.Warm, st.WarmBytes = w.shelf.size()
		st.UnsavedBytes = w.writer.unsaved.Load()
		st.Saves, st.SaveFailures = w.writer.saves.Load(), w.writer.failures.Load()
		st.SavedBytes, st.SaveTime = w.writer.bytes.Load(), time.Duration(w.writer.took.Load())
	}
	st.RejectedPool = e.rejectedPool.Load()
	st.RejectedQueue = e.rejectedQueue.Load()
	st.RejectedAgent = e.rejectedAgent.Load()
	st.RejectedContext = e.rejectedContext.Load()
	st.RejectedDraining = e.rejectedDraining.Load()
	return st
}

// Drain stops admission for good, Submit returning ErrDraining, and waits until every accepted request has ended. When
// ctx is done first, the rest is cancelled, which takes no longer than a step, and ctx's error returned.
func (e *Engine) Drain(ctx context.Context) error {
	e.door.shut(false)
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.door.shut(true)
	<-e.done
	return ctx.Err()
}

// Close drains with no patience and closes the model.
func (e *Engine) Close() error { return e.close() }

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

// cancel ends the job with an id unless it has ended by itself.
func (e *Engine) cancel(id uint64, cause error, now time.Time) {
	ev, ok := e.sched.Cancel(id)
	if !ok {
		return
	}
	if e.jobs[id].admitted.IsZero() {
		e.door.waiting.Add(-1)
	}
	e.finish(ev, now, cause)
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
	n := len(b.rows) * e.vocab
	e.logits = slices.Grow(e.logits[:0], n)[:n]
	if err := e.cfg.Model.Step(b.tokens, b.lens, b.starts, b.tables, b.locals, b.rows, e.logits); err != nil {
		return fmt.Errorf("model failed in a step of %d sequences: %w", len(b.seqs), err)
	}
	return nil
}

// draw picks the token of each row of logits.
func (e *Engine) draw(b *batch) {
	e.next = e.next[:0]
	for i, q := range b.askers {
		e.next = append(e.next, e.drawFor(e.jobs[q.id], e.logits[i*e.vocab:(i+1)*e.vocab]))
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
	token, ok := j.sampler.draw(logits, &e.choices)
	if !ok {
		return noToken
	}
	return token
}

// deliver passes on what a step did to a request. err is the step's.
func (e *Engine) deliver(ev event, now time.Time, err error) {
	j := e.jobs[ev.seq.id]
	if ev.token != noToken {
		t := Token{ID: ev.token, Logprobs: j.sampler.logprobs}
		if j.first.IsZero() {
			j.first = now
			start := j.start(now)
			t.Start = &start
		}
		j.stream.tokens <- t // never blocks: there is room for most tokens
	} else if j.first.IsZero() && ev.finish == FinishStop {
		j.first = now // an empty answer has its prefill too
	}
	if ev.finish == FinishError && err == nil {
		err = errLogits
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
	}
	if !j.first.IsZero() {
		r.Decode = now.Sub(j.first)
	}
	if ev.finish == FinishCancelled || ev.finish == FinishError {
		r.Err = err
	}
	e.served.count(&r)
	if m := e.sched.store.agents[q.agent]; m != nil {
		m.kept = now
		if m.made.IsZero() {
			m.made = now
		}
	}
	j.stream.result = r
	j.forget()
	e.door.exit(q.agent)
	delete(e.jobs, q.id)
	e.ended = append(e.ended, j)
}

// start is what is known of a job's prompt now.
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
		s.Tier = "warm"
	case j.seq.cached > 0:
		s.Tier = "hot"
	default:
		s.Tier = "cold"
	}
	if r := j.restore; r != nil {
		s.RestoredBytes, s.Restore = r.bytes, r.took
	}
	return s
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

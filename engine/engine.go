package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/sample"
)

// AdmitBelow is the share of the pool up to which Submit takes new requests. When running
// requests have more of the blocks, or of the window slots, it refuses with a *PoolError. The
// rest is for the requests that wait already.
const AdmitBelow = 0.9

// An Engine answers requests with one model. Its methods may be called from any goroutine.
type Engine struct {
	cfg     Config
	layout  kv.Layout
	mailbox mailbox
	close   func() error

	// What the model says of itself, asked once: the model may be called from one goroutine only.
	vocab, context int
	weightBytes    int64

	published published
	retry     atomic.Int64  // nanoseconds until room is likely
	calling   atomic.Int64  // when the model's running call began, in Unix nanoseconds; 0: none runs
	done      chan struct{} // closed when the goroutine has ended
	deaf      chan struct{} // closed when it takes no more calls
	refusals  refusals

	// Only the engine's goroutine uses what follows.
	sched    *sched
	disk     *disk // nil: memories are not kept on disk
	restores []*restore
	jobs     map[uint64]*job
	ended    []*job // their streams are closed after the next Stats are published
	pace     pace
	drafts   draftPace
	out      outputs
	served   served
}

// New allocates the pool and starts the engine. Close must be called to free both, and closes the
// model too; after an error the model is still the caller's to close.
func New(cfg Config) (*Engine, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, err
	}
	e.start()
	return e, nil
}

// newEngine is New without the goroutines. A test may call iterate instead.
func newEngine(cfg Config) (*Engine, error) {
	l, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := cfg.Model.AllocKV(l.Blocks, l.WindowSlots, l.BlockTokens); err != nil {
		return nil, fmt.Errorf("allocating %d KV blocks of %d tokens and %d window slots, "+
			"%d bytes: %w", l.Blocks, l.BlockTokens, l.WindowSlots, cfg.KVBytes, err)
	}
	e := &Engine{
		cfg:     cfg,
		layout:  l,
		mailbox: newMailbox(&cfg),
		vocab:   cfg.Model.Vocab(),
		context: cfg.Model.Context(),
		done:    make(chan struct{}),
		deaf:    make(chan struct{}),
		sched:   newSched(l, cfg.MaxBatch, cfg.StepTokens),
		pace:    newPace(cfg.MaxBatch, cfg.StepTokens),
		jobs:    make(map[uint64]*job),
	}
	e.sched.noDrafts = cfg.NoDrafts
	if m, ok := cfg.Model.(interface{ WeightBytes() int64 }); ok {
		e.weightBytes = m.WeightBytes()
	}
	if err := e.openDisk(); err != nil {
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

// start starts the engine's goroutine, and the one that writes memories to disk.
func (e *Engine) start() {
	var writer sync.WaitGroup
	if e.disk != nil {
		writer.Go(e.disk.writer.Run)
	}
	go e.run(&writer)
}

// Submit hands a request in. It never waits for the model; with Config.Shared it waits for another
// engine to save what that has of the agent. Either the request is accepted, and its Stream ends
// with a Result in any case, or it is refused at once with an error that says why: *PoolError,
// *QueueError, *AgentError, *ShareError, *ContextError, ErrDraining, ErrNoDir, the context's error,
// or one that says how the request is malformed.
//
// When ctx is done the request ends, and its blocks are free before the step after the running one.
// The prompt is copied.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) {
	if err := r.validate(ctx, e.vocab, e.context); err != nil {
		return nil, e.refuse(err)
	}
	if r.Durable && e.disk == nil {
		return nil, ErrNoDir
	}
	who := e.identity(&r)
	x := extentOf(len(r.Prompt), r.MaxTokens, r.SureTokens, e.cfg.StepTokens)
	if err := e.checkRoom(x, who.Agent.Principal); err != nil {
		return nil, e.refuse(err)
	}
	j := &job{
		seq: &sequence{
			who:    who,
			prompt: len(r.Prompt),
			max:    r.MaxTokens,
			sure:   r.SureTokens,
			stop:   slices.Clone(r.Stop),
			tokens: slices.Clone(r.Prompt),
		},
		stream:    newStream(&r, ctx.Done()),
		sampler:   sample.New(r.Sampling, r.Prompt, r.Mask, r.Logprobs),
		submitted: time.Now(),
	}
	if !e.cfg.NoDrafts {
		j.ahead = r.Ahead
	}
	if e.mailbox.closed.Load() { // whose agents are others' from now on
		return nil, e.refuse(ErrDraining)
	}
	release, _ := e.lease(ctx, who.Agent) // refused, it goes on with what the disk has
	j.leased = e.cfg.Shared && e.disk != nil
	j.durable = r.Durable || e.isDurable(who.Agent)
	if err := e.mailbox.submit(ctx, j); err != nil {
		release()
		return nil, e.refuse(err)
	}
	return j.stream, nil
}

// refuse counts a refusal and returns it. To one of the mailbox, which does not know the pace, it
// adds when to try again.
func (e *Engine) refuse(err error) error {
	e.refusals.count(err)
	switch refusal := err.(type) {
	case *ShareError:
		if refusal.What == inFlightShare {
			refusal.RetryAfter = e.retryAfter()
		}
	case *QueueError:
		refusal.RetryAfter = e.retryAfter()
	case *AgentError:
		refusal.RetryAfter = e.retryAfter()
	}
	return err
}

// checkRoom refuses a request when it can never fit, or when the blocks or the window slots are too
// full to queue for them. A principal that has less than its part in flight may queue all the same:
// it does not pay for others that have filled the pool.
func (e *Engine) checkRoom(x kv.Extent, principal string) error {
	st, n := e.published.load(), x.SureBlocks(&e.layout.Shape)
	share, slots := e.mailbox.limitOf(principal), x.MaxSlots(&e.layout.Shape, 0)
	if share.Blocks > 0 && n > share.Blocks {
		return &ShareError{What: "KV blocks", Need: n, Limit: share.Blocks}
	}
	if share.Slots > 0 && slots > share.Slots {
		return &ShareError{What: "window slots", Need: slots, Limit: share.Slots}
	}
	full := &PoolError{Need: n, Free: st.Blocks - st.Used, Total: st.Blocks}
	switch {
	case n > st.Blocks:
		return full
	case !st.NearlyFull(), e.mailbox.hasLess(principal):
		return nil
	case !nearlyFull(st.Used, st.Blocks): // then the window slots are
		full = &PoolError{
			Need:    slots,
			Free:    st.WindowSlots - st.WindowSlotsUsed,
			Total:   st.WindowSlots,
			Sliding: true,
		}
	}
	full.RetryAfter = e.retryAfter()
	return full
}

// retryAfter returns how long it takes at most until one of the running requests has ended, at the
// pace of the last steps, within what a client will honour.
func (e *Engine) retryAfter() time.Duration {
	return min(max(time.Duration(e.retry.Load()), time.Second), time.Minute)
}

// Fingerprint returns Config.Fingerprint.
func (e *Engine) Fingerprint() string { return e.cfg.Fingerprint }

// Vocab returns how many tokens the model knows: their ids are 0..Vocab-1.
func (e *Engine) Vocab() int { return e.vocab }

// Context returns the most tokens, prompt and answer together, that the model can have.
func (e *Engine) Context() int { return e.context }

// Longest returns the most tokens, prompt and answer together, that a request can have here: the
// model's context, or less where the pool has no room for that.
func (e *Engine) Longest() int {
	// The KV of the very last token is never computed.
	return min(e.context, e.layout.Blocks*e.layout.BlockTokens+1)
}

// Stats returns the latest state. It never waits for a step or a disk.
func (e *Engine) Stats() Stats {
	st := e.published.load()
	st.Queued = int(e.mailbox.waiting.Load())
	st.Draining = e.mailbox.closed.Load()
	if e.disk != nil {
		e.disk.stats(&st)
	}
	e.refusals.publish(&st)
	return st
}

// Stuck returns how long the model has been at the call that it is in, 0 between calls. A step
// takes seconds at most, so one of a minute will hardly end: no other request gets on meanwhile,
// and nothing can interrupt a model. It may be called from any goroutine.
func (e *Engine) Stuck() time.Duration {
	if at := e.calling.Load(); at != 0 {
		return time.Since(time.Unix(0, at))
	}
	return 0
}

// Lost returns why the model will compute nothing any more, nil while it may compute. Only a model
// with a method Lost can tell. It may be called from any goroutine.
func (e *Engine) Lost() error {
	if m, ok := e.cfg.Model.(interface{ Lost() error }); ok {
		return m.Lost()
	}
	return nil
}

// Disk returns Stats.Disk alone, "" where memories are not kept on disk.
func (e *Engine) Disk() string {
	if e.disk == nil {
		return ""
	}
	return e.disk.state()
}

// Drain stops admission for good, so that Submit returns ErrDraining, and waits until every
// accepted request has ended. If ctx is done first, the requests that are left are cancelled,
// which takes no longer than a step, and Drain returns ctx's error.
func (e *Engine) Drain(ctx context.Context) error {
	e.mailbox.close(false)
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.mailbox.close(true)
	<-e.done
	return ctx.Err()
}

// Close cancels all requests, as Drain does when its context is done, and closes the model.
func (e *Engine) Close() error { return e.close() }

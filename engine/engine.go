package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine/internal/sample"
)

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
	rows     []int32 // of the step, whose logits samplers want
	logits   []float32
	picks    []int32 // rows of which nothing but the likeliest token is wanted
	best     []int32
	next     []int32 // tokens drawn in this step
	row      sample.Distribution
	served   served
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
	j := &job{
		seq: &sequence{
			agent:  r.Agent,
			prompt: len(r.Prompt),
			most:   r.MaxTokens,
			stop:   slices.Clone(r.Stop),
			tokens: slices.Clone(r.Prompt),
		},
		stream:    &Stream{tokens: make(chan Token, r.MaxTokens)},
		sampler:   sample.New(r.Sampling, r.Mask, r.Logprobs),
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

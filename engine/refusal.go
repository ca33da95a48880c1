package engine

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrDraining refuses work because the engine is shutting down. It is also the Err of requests that
// Drain cancelled.
var ErrDraining = errors.New("engine is draining: it takes no new work and does not come back; " +
	"ask another replica")

// A PoolError refuses a request for lack of KV blocks, or of window slots: now, or, when Need >
// Total, for good.
type PoolError struct {
	Need    int  // blocks that the prompt and MaxTokens can take, or window slots at once
	Free    int  // those that no running request has or may still take
	Total   int  // those there are
	Sliding bool // the numbers are of window slots

	RetryAfter time.Duration // when to try again; 0 when the request can never fit
}

func (e *PoolError) Error() string {
	if e.Need > e.Total {
		return fmt.Sprintf("request can never fit: it needs %d KV blocks and the pool has %d; "+
			"shorten the prompt or max_tokens, or give the server more KV memory", e.Need, e.Total)
	}
	of := "blocks"
	if e.Sliding {
		of = "window slots"
	}
	return fmt.Sprintf("pool exhausted: need %d %s, %d of %d free; retry in %v",
		e.Need, of, e.Free, e.Total, e.RetryAfter.Round(time.Second))
}

// A QueueError refuses a request because too many wait already.
type QueueError struct {
	Queued, Limit int
	RetryAfter    time.Duration
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("queue is full: %d of %d requests wait; retry in %v",
		e.Queued, e.Limit, e.RetryAfter.Round(time.Second))
}

// An AgentError refuses a request because too many of its agent wait or run already.
type AgentError struct {
	InFlight, Limit int
	RetryAfter      time.Duration
}

func (e *AgentError) Error() string {
	return fmt.Sprintf("agent has %d of %d requests in flight; retry in %v",
		e.InFlight, e.Limit, e.RetryAfter.Round(time.Second))
}

// A ContextError refuses a request that is longer than the model's context.
type ContextError struct{ Prompt, MaxTokens, Limit int }

func (e *ContextError) Error() string {
	return fmt.Sprintf("prompt of %d tokens and max_tokens of %d exceed the model's context of %d "+
		"by %d; shorten one of them", e.Prompt, e.MaxTokens, e.Limit, e.Prompt+e.MaxTokens-e.Limit)
}

// A ShareError refuses a request because of its principal's Share.
type ShareError struct {
	What       string // "requests in flight", "KV blocks" or "window slots"
	Need       int    // how many it would then have
	Limit      int
	RetryAfter time.Duration // 0 when the request can never fit
}

func (e *ShareError) Error() string {
	if e.RetryAfter == 0 {
		return fmt.Sprintf("the request alone needs %d %s, and this principal's share is %d; shorten "+
			"the prompt or max_tokens", e.Need, e.What, e.Limit)
	}
	return fmt.Sprintf("this principal would have %d %s, and its share is %d; retry in %v",
		e.Need, e.What, e.Limit, e.RetryAfter.Round(time.Second))
}

const inFlightShare = "requests in flight"

// refusals counts the requests that Submit has refused, by kind.
type refusals struct {
	share, pool, queue, agent, context, draining atomic.Uint64
}

// count counts a refusal. A request that is malformed is none.
func (r *refusals) count(err error) {
	switch err.(type) {
	case *ShareError:
		r.share.Add(1)
	case *PoolError:
		r.pool.Add(1)
	case *QueueError:
		r.queue.Add(1)
	case *AgentError:
		r.agent.Add(1)
	case *ContextError:
		r.context.Add(1)
	default:
		if err == ErrDraining {
			r.draining.Add(1)
		}
	}
}

// publish fills in the counts.
func (r *refusals) publish(st *Stats) {
	st.RejectedShare, st.RejectedPool = r.share.Load(), r.pool.Load()
	st.RejectedQueue, st.RejectedAgent = r.queue.Load(), r.agent.Load()
	st.RejectedContext, st.RejectedDraining = r.context.Load(), r.draining.Load()
}

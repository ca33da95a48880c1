package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"loadstone/engine/internal/sample"
)

// A Request asks for one answer.
type Request struct {
	// Agent names the long-lived memory that the request continues and leaves behind. Requests with the empty name are
	// anonymous: they use and leave prefixes that anybody shares, and keep no memory of their own.
	Agent string

	// Prompt is the whole conversation so far, at least one token. What of it is already in the cache is found by
	// comparing tokens, so a caller who wants a cheap next turn repeats the ids of the last one, answer included.
	Prompt []int32

	MaxTokens int     // most tokens of the answer, at least 1
	Stop      []int32 // ids that end the answer; they are not delivered
	Sampling  Sampling

	// Mask, where not nil, says what the next token may be: it gets the answer so far and the row of logits, and sets
	// those of the tokens it rules out to -Inf. It runs on the engine's goroutine, where every request waits for it, and
	// must not keep the slices. When it leaves nothing, or panics, the request fails.
	Mask func(answer []int32, logits []float32)

	// Logprobs asks for this many of the likeliest tokens' log-probabilities with every token, and the token's own. 0: none.
	Logprobs int
}

// Sampling says how a token is drawn from logits. The zero value is greedy.
type Sampling = sample.Sampling

// A Token is one token of an answer.
type Token struct {
	ID int32

	*Start // with the first token only, nil afterwards

	// Logprobs is the token's own and then the likeliest ones, likeliest first, where Request.Logprobs asks for them.
	Logprobs []Logprob
}

// A Logprob says how likely a token was for the model.
type Logprob = sample.Logprob

// A Finish says why an answer ended.
type Finish string

const (
	FinishStop      Finish = "stop"      // one of Request.Stop
	FinishLength    Finish = "length"    // MaxTokens
	FinishCancelled Finish = "cancelled" // the request's context, or the end of Drain's patience
	FinishError     Finish = "error"     // the model failed
)

// A Start is what is known of a request when its prompt is done.
type Start struct {
	Queue, Prefill time.Duration // from Submit to admission, from there to the first token. A part that was not reached is 0

	CachedTokens int // how many of the prompt's were not computed because their KV was in the cache

	// Miss says why the rest of the prompt was not cached: "" when only what was new had to be computed, "new_agent",
	// "diverged_at=K" when the agent's memory and the prompt part at token K, "evicted", and of what was on disk
	// "model_changed" and "corrupt".
	Miss string

	// Tier is the slowest that the cached tokens came from: "hot", the pool; "warm", the disk or what was on its way
	// there; "cold" when there were none; "" for a request that never ran.
	Tier          string
	RestoredBytes int64         // of KV, brought back from the warm tier
	Restore       time.Duration // what that took, a part of Prefill
}

// A Result is what is known of a request when it has ended.
type Result struct {
	Start

	Finish Finish
	Err    error // why, when Finish is FinishCancelled or FinishError

	PromptTokens int           // length of the prompt
	OutputTokens int           // tokens delivered
	Decode       time.Duration // from the first token to the end
}

// A Stream is the answer to one request while it is being made.
type Stream struct {
	tokens chan Token
	result Result
}

// Tokens has every token of the answer, and is closed after the last. It is buffered for the whole answer: a reader who
// is slow, or gone, never holds up the engine.
func (s *Stream) Tokens() <-chan Token { return s.tokens }

// Result is valid once Tokens is closed.
func (s *Stream) Result() Result { return s.result }

// ErrDraining refuses work because the engine is shutting down. It is also the Err of requests that Drain cancelled.
var ErrDraining = errors.New("engine is draining: it takes no new work and does not come back; ask another replica")

// A PoolError refuses a request for lack of KV blocks, or of the locals of sliding layers: now, or, when Need > Total, for good.
type PoolError struct {
	Need    int  // blocks the prompt and MaxTokens can take, or locals at once
	Free    int  // those no running request has or may claim
	Total   int  // those there are
	Sliding bool // it is locals that are lacking

	RetryAfter time.Duration // when to try again; 0 when it can never fit
}

func (e *PoolError) Error() string {
	if e.Need > e.Total {
		return fmt.Sprintf("request can never fit: it needs %d KV blocks and the pool has %d; shorten the prompt or max_tokens, or give the server more KV memory", e.Need, e.Total)
	}
	of := ""
	if e.Sliding {
		of = " of sliding layers"
	}
	return fmt.Sprintf("pool exhausted: need %d blocks%s, %d of %d free; retry in %v", e.Need, of, e.Free, e.Total, e.RetryAfter.Round(time.Second))
}

// A QueueError refuses a request because too many wait already.
type QueueError struct {
	Queued, Limit int
	RetryAfter    time.Duration
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("queue is full: %d of %d requests wait; retry in %v", e.Queued, e.Limit, e.RetryAfter.Round(time.Second))
}

// An AgentError refuses a request because too many of its agent wait or run already.
type AgentError struct {
	InFlight, Limit int
	RetryAfter      time.Duration
}

func (e *AgentError) Error() string {
	return fmt.Sprintf("agent has %d of %d requests in flight; retry in %v", e.InFlight, e.Limit, e.RetryAfter.Round(time.Second))
}

// A ContextError refuses a request that is longer than the model's context.
type ContextError struct{ Prompt, MaxTokens, Limit int }

func (e *ContextError) Error() string {
	return fmt.Sprintf("prompt of %d tokens and max_tokens of %d exceed the model's context of %d by %d; shorten one of them",
		e.Prompt, e.MaxTokens, e.Limit, e.Prompt+e.MaxTokens-e.Limit)
}

// validate checks what needs no knowledge of the engine's state. vocab and limit are the model's.
func (r *Request) validate(ctx context.Context, vocab, limit int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(r.Prompt) == 0 {
		return errors.New("prompt is empty: it needs at least one token")
	}
	if r.MaxTokens < 1 {
		return fmt.Errorf("max tokens is %d: it must be at least 1", r.MaxTokens)
	}
	if len(r.Prompt) > limit || r.MaxTokens > limit-len(r.Prompt) {
		return &ContextError{Prompt: len(r.Prompt), MaxTokens: r.MaxTokens, Limit: limit}
	}
	for i, t := range r.Prompt {
		if t < 0 || int(t) >= vocab {
			return fmt.Errorf("prompt token %d is %d: the model's vocabulary is 0..%d", i, t, vocab-1)
		}
	}
	if r.Logprobs < 0 || r.Logprobs > vocab {
		return fmt.Errorf("logprobs is %d: it must lie in 0..%d", r.Logprobs, vocab)
	}
	return r.Sampling.Validate(vocab)
}

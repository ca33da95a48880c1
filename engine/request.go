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
	// Principal names whose request it is; see Principal.
	Principal string

	// Salt divides what a principal has in the cache: requests with different salts share no
	// prefix, and find no memory that an agent has left with another one. "": none
	Salt string

	// Agent names the long-lived memory that the request continues and leaves behind. Requests
	// with the empty name are anonymous: they use and leave prefixes that requests share (see
	// Sharing), and keep no memory of their own.
	Agent string

	// Prompt is the whole conversation so far, at least one token. The engine compares tokens to
	// find what is already in the cache, so a caller that wants a cheap next turn repeats the ids
	// of the last one, answer included.
	Prompt []int32

	MaxTokens int // most tokens of the answer, at least 1

	// SureTokens is how many tokens of the answer the pool must have room for before the request
	// starts. A longer answer goes on as long as there is room, and ends with FinishLength where
	// there is none. 0: all of MaxTokens
	SureTokens int

	Stop     []int32 // ids that end the answer; they are not delivered
	Sampling Sampling

	// Mask, where not nil, says what the next token may be: it gets the answer so far and the row
	// of logits, and sets the logits of the tokens it rules out to -Inf. It runs on the engine's
	// goroutine, where every request waits for it, and must not keep the slices. If it leaves no
	// token, or panics, the request fails.
	Mask func(answer []int32, logits []float32)

	// Ahead, where not nil, says what Mask lets follow the answer so far: at most n tokens. Each of
	// the first sure ones is the only one that Mask leaves in its place, or one of several that all
	// end the answer: they are taken without being drawn, and their KV is computed along with the
	// next token. The others are likely, and are computed as a draft is. It is called where Mask is,
	// with answers that only grow, and must not keep the slice.
	Ahead func(answer []int32, n int) (tokens []int32, sure int)

	// Durable has the agent's memory saved as soon as the request has ended. See Stream.Saved.
	Durable bool

	// Logprobs asks for the log-probability of each token of the answer, and those of this many
	// of the likeliest tokens in its place. 0: none.
	Logprobs int
}

// Sampling says how a token is drawn from logits. The zero value is greedy. Its fields are
// Temperature (0: greedy), TopP, TopK and MinP (which keep only likely tokens; 0: off), Presence
// and Frequency (penalties for tokens of the answer so far), Repetition (the same for those of the
// prompt and the answer; 0 or 1: off), Bias (added to logits, by token id) and Seed (equal requests
// with equal seeds get equal answers).
type Sampling = sample.Sampling

// A Token is one token of an answer.
type Token struct {
	ID int32

	*Start // with the first token only, nil afterwards

	// Logprobs is the token's own and then the likeliest ones, likeliest first, if Request.Logprobs
	// asks for them.
	Logprobs []Logprob
}

// A Logprob says how likely a token was for the model. Its fields are ID and Logprob, the natural
// logarithm of the token's share in the softmax of the logits, as they were before Mask and
// Sampling changed them.
type Logprob = sample.Logprob

// A Finish says why an answer ended.
type Finish string

const (
	FinishStop      Finish = "stop"      // one of Request.Stop
	FinishLength    Finish = "length"    // MaxTokens
	FinishCancelled Finish = "cancelled" // the request's context, or that of Drain, was done
	FinishError     Finish = "error"     // the model failed
)

// The tiers of an agent's memory; see Start.Tier and Memory.Tier.
const (
	TierHot  = "hot"  // in the pool
	TierDisk = "disk" // on disk, or on its way there
	TierCold = "cold" // nowhere
)

// A Start says what is known of a request when its prompt is done.
type Start struct {
	Queue   time.Duration // from Submit to admission
	Prefill time.Duration // from admission to the first token; 0 if the request was not admitted

	CachedTokens int // how many of the prompt were not computed because their KV was in the cache

	// Miss says why the rest of the prompt was not cached: "" when everything else was new,
	// "new_agent", "diverged_at=K" when the agent's memory and the prompt differ from token K on,
	// "evicted", "other_salt" when the agent's memory was left with another salt, and of a memory
	// on disk "model_changed", "corrupt" and, where the disk has failed, "unreadable".
	Miss string

	// Tier is the slowest one that the cached tokens came from: TierHot, TierDisk, or TierCold when
	// there were none; "" for a request that never ran.
	Tier          string
	RestoredBytes int64         // of KV, restored from disk
	Restore       time.Duration // time that the restore took, a part of Prefill
}

// A Result says what is known of a request when it has ended.
type Result struct {
	Start

	Finish Finish
	Err    error // why, if Finish is FinishCancelled or FinishError: see ModelError

	PromptTokens int           // length of the prompt
	OutputTokens int           // tokens delivered
	Drafted      int           // tokens computed or taken before their turn; see Config.NoDrafts
	Accepted     int           // those that are in the answer: so many steps it did not take
	Decode       time.Duration // from the first token to the end
}

// A ModelError says that the model has failed, with an error or a panic, in a call that was made
// for a request. It costs the requests that the call was for: all that were in a step, one that was
// being restored. What the model has written for them is unknown and given up; their memories are
// as they were before.
type ModelError struct {
	Requests int // that the call was for
	Err      error
}

func (e *ModelError) Error() string { return e.Err.Error() }

func (e *ModelError) Unwrap() error { return e.Err }

// validate checks everything that does not depend on the engine's state. vocab and limit, the
// context, are the model's.
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
			return fmt.Errorf("prompt token %d is %d: the model's vocabulary is 0..%d",
				i, t, vocab-1)
		}
	}
	if r.Logprobs < 0 || r.Logprobs > vocab {
		return fmt.Errorf("logprobs is %d: it must lie in 0..%d", r.Logprobs, vocab)
	}
	if r.Durable && r.Agent == "" {
		return errNoAgent
	}
	return r.Sampling.Validate(vocab)
}

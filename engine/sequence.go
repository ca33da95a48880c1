package engine

import "loadstone/engine/internal/kv"

// A sequence is a request as the scheduler sees it.
type sequence struct {
	id     uint64
	who    kv.Identity
	prompt int     // tokens of the prompt
	max    int     // most tokens of the answer
	sure   int     // tokens of the answer that room is promised for at the start; 0: all of max
	stop   []int32 // ids that end it

	tokens   []int32  // the prompt, then the answer so far
	claim    kv.Claim // its blocks, and what it is promised
	computed int      // tokens whose KV is in its blocks
	chunk    int      // tokens in the planned step, without those of the draft

	drafter *drafter // nil: it has needed none yet
	draft   []int32  // in the planned step, after the chunk
	likely  []int32  // what its mask will probably let follow; see Request.Ahead

	branch int // full blocks it shares with others, to be kept as a prefix once computed; 0: none

	restoring bool // it computes nothing until Resume
	claimed   int  // tokens behind the computed ones that blocks were claimed for while it restores
	restored  int  // tokens whose KV was restored

	waitsForOwn bool // it is queued, and waits for others of its principal, not for room
	passed      int  // how many started before it although it was first in line

	waited int    // steps in which it decoded nothing although it could
	cached int    // tokens of the prompt that were never computed
	miss   string // see Start.Miss

	drafted, accepted int // tokens of its drafts, and those that were right
}

// extentOf says how large a sequence can become. The KV of its very last token is never computed.
func extentOf(prompt, maxTokens, sureTokens, stepTokens int) kv.Extent {
	x := kv.Extent{Prompt: prompt, Tokens: prompt + maxTokens - 1, Step: stepTokens}
	if sureTokens > 0 {
		x.Sure = min(prompt+sureTokens-1, x.Tokens)
	}
	return x
}

// principal returns the id of the principal whose request it is.
func (q *sequence) principal() string { return q.who.Agent.Principal }

// decoding reports whether the prompt is computed.
func (q *sequence) decoding() bool { return q.computed >= q.prompt }

// decodesNow reports whether it decodes in the planned step.
func (q *sequence) decodesNow() bool { return q.decoding() && q.chunk > 0 }

// prefilling reports whether it is computing its prompt.
func (q *sequence) prefilling() bool { return !q.restoring && !q.decoding() }

// rest returns how many known tokens are not computed yet.
func (q *sequence) rest() int { return len(q.tokens) - q.computed }

// Package record holds what is known of requests and runs: the record of each request, the summary
// of many, and what must be true of them whatever their latencies. It sends nothing. All that
// reports, checks and gates say is made from it.
package record

import (
	"slices"
	"time"

	"loadstone/harness/load"
)

// A Place is where a request stands in a measurement. It is decided before the request is sent and
// does not change afterwards.
type Place struct {
	Scenario string `json:"scenario"`
	Run      int    `json:"run"` // 0-based; one run is one benchmark line
	// Rep is the round of a load whose agents ask together, 0-based; otherwise 0.
	Rep   int    `json:"rep"`
	Agent string `json:"agent"`
	Turn  int    `json:"turn"` // 0-based turn of the agent's conversation
	// Warmup says that the request is not measured: it filled a cache or was asked again
	// afterwards.
	Warmup bool       `json:"warmup,omitempty"`
	Level  load.Level `json:"level,omitzero"` // of a load that is tried at several
	// Cache is what the agents' caches held when the clock started.
	Cache load.Cache `json:"cache,omitempty"`

	// Begins says that the request is its session's first, Ends that none of the session's comes
	// after it. A job is whole that has both.
	Begins bool `json:"begins,omitempty"`
	Ends   bool `json:"ends,omitempty"`

	// Call is the call that the request is of a session that was recorded or written; elsewhere the
	// zero Call.
	Call Call `json:"call,omitzero"`
}

// A Call is where a request stands in its session, and what was recorded of it. A count that was
// not recorded is -1, a time 0.
type Call struct {
	Session string        `json:"session,omitempty"` // name of the recorded session
	ID      int           `json:"id"`
	From    int           `json:"from"`          // the call before it; -1: it begins a conversation
	Sub     int           `json:"sub,omitempty"` // of a sub-agent: its number in the session, from 1
	Pause   time.Duration `json:"pause_ns,omitempty"`
	Person  bool          `json:"person,omitempty"` // a person took the pause; otherwise tools did

	WasPrompt int           `json:"was_prompt"` // tokens, as the source's server counted them
	WasCached int           `json:"was_cached"`
	WasOutput int           `json:"was_output"`
	WasTook   time.Duration `json:"was_took_ns,omitempty"`

	// Forced says that the server was told to answer in WasOutput tokens, no more and no fewer.
	Forced bool `json:"forced,omitempty"`
	// Fitted is what was done for the prompt to fit into the server's context, such as "cut"; ""
	// nothing.
	Fitted string `json:"fitted,omitempty"`
}

// OtherLength reports whether an answer has another length than the recorded one.
func (r *Record) OtherLength() bool {
	was := r.Call.WasOutput
	return r.Outcome == OK && was > 0 && r.Call != (Call{}) && r.OutputTokens >= 0 &&
		r.OutputTokens != was
}

// A Record is what the client saw of one request. Reports, checks and gates are made from records
// alone, so that whatever they say can be made again from the file of raw records.
//
// Times are offsets on the client's monotonic clock. The time of an event that did not happen is
// -1.
type Record struct {
	Place
	// Slow says that the load read the answer slowly on purpose: its times are not the server's.
	Slow bool `json:"slow,omitempty"`

	// What the load meant to do to the request, such as "cancel after 3 pieces"; it may have ended
	// before that.
	Intent string `json:"plan,omitempty"`

	// Due is when the load wanted the request sent: latency counts from here.
	Due time.Duration `json:"due_ns"`
	// Sent is when the client began to send it. Sent-Due is the client's lag.
	Sent      time.Duration `json:"sent_ns"`
	FirstByte time.Duration `json:"first_byte_ns"` // of the response's head
	// FirstContent is the first delta of the answer itself in which there is something to see; of an
	// answer that a stop string ended before that (see Stopped), its end.
	FirstContent time.Duration `json:"first_content_ns"`
	// Chunks are the arrivals of the non-empty deltas, of reasoning as well: the first ones, as
	// many as Reasoning says. Blank deltas that the answer begins with are left out.
	Chunks    []time.Duration `json:"chunks_ns"`
	Reasoning int             `json:"reasoning_chunks,omitempty"`
	End       time.Duration   `json:"end_ns"` // of the stream, or when the request failed

	Outcome Outcome `json:"outcome"`
	Status  int     `json:"status"` // of HTTP; 0: no response came
	Error   string  `json:"error,omitempty"`

	// Resent is how often the request went out on a connection that the server had closed without
	// saying so, and was sent again. The time this took is in its latency.
	Resent int `json:"resent,omitempty"`

	// RetryAfter is how long a refusal asked the client to wait; 0: it did not say.
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`

	// The tokens, as the server's usage says; -1: it does not say.
	PromptTokens int `json:"prompt_tokens"`
	CachedTokens int `json:"cached_tokens"`
	// CeilingTokens are those of the prompt that a cache without an end would have had: see package
	// ceiling. 0: none, or it is not known.
	CeilingTokens int `json:"ceiling_tokens,omitempty"`
	OutputTokens  int `json:"output_tokens"`
	// ReasoningTokens are those of OutputTokens that are reasoning, where the usage counts them
	// apart; 0: none, or it does not say.
	ReasoningTokens int `json:"reasoning_tokens,omitempty"`
	// DraftedTokens are those that the server computed ahead of the answer's, and AcceptedTokens those
	// of them that are in the answer, as the server says; 0: none, or it does not say.
	DraftedTokens  int    `json:"drafted_tokens,omitempty"`
	AcceptedTokens int    `json:"accepted_tokens,omitempty"`
	Finish         string `json:"finish,omitempty"` // finish_reason

	MaxTokens int `json:"max_tokens,omitempty"` // of the answer, as it was asked for; 0: no bound
	// Claimed is an output count of the usage that cannot be true, beside an OutputTokens of -1.
	// See Bound.
	Claimed int `json:"claimed_tokens,omitempty"`
	// Repeats are the pieces whose event has the very bytes of the one before. A model may repeat a
	// token; Doubled are those that also have its event id, so that they came twice for certain.
	Repeats int `json:"repeats,omitempty"`
	Doubled int `json:"doubled,omitempty"`

	// Schema says that the answer was to hold to a JSON schema.
	Schema bool `json:"schema,omitempty"`

	// What the model said, for the checks on answers: the text, the reasoning before it, and the
	// names and arguments of its tool calls.
	Answer  string `json:"answer,omitempty"`
	Thought string `json:"thought,omitempty"`
	Calls   string `json:"calls,omitempty"`

	// AskedDigest is of what was asked, as client.Prompt.Digest makes it: the answers that a
	// prompt repeats are in it by their own digests, so that it can be made again from a load's
	// seeds. AnswerDigest is of the answer's texts, which are left out of most files; "": nothing was
	// said. Both are "" in files of earlier versions.
	AskedDigest  Digest `json:"asked_digest,omitempty"`
	AnswerDigest Digest `json:"answer_digest,omitempty"`

	// Canary is the secret word in the prompt, for the checks on answers. It is in no file.
	Canary string `json:"-"`
	// Leak is the canary of another agent that the response contains; "": it contains none. LeakIn
	// says where, such as "the reasoning"; "" is the answer.
	Leak   string `json:"leak,omitempty"`
	LeakIn string `json:"leak_in,omitempty"`

	// Notes are what the client did not understand, or did not believe, at most a few.
	Notes []Note `json:"notes,omitempty"`

	Server ServerTiming `json:"server"`
}

// Shift puts the record on a clock that was at 0 earlier by so much. What it changes is its own.
func (r *Record) Shift(by time.Duration) {
	r.Chunks = slices.Clone(r.Chunks)
	for i := range r.Chunks {
		r.Chunks[i] += by
	}
	for _, t := range []*time.Duration{&r.Due, &r.Sent, &r.FirstByte, &r.FirstContent, &r.End} {
		if *t >= 0 {
			*t += by
		}
	}
}

// ServerTiming is what the server reports of its own part of a request. A part that it does not
// report is -1.
type ServerTiming struct {
	FirstByte time.Duration `json:"first_byte_ns"` // header X-Request-Latency-Ms
	// Total is from the trailer X-Total-Latency-Ms, or the header where nothing was streamed.
	Total   time.Duration `json:"total_ns"`
	Queue   time.Duration `json:"queue_ns"` // this and the next two are from Server-Timing
	Prefill time.Duration `json:"prefill_ns"`
	Decode  time.Duration `json:"decode_ns"`
}

// Untimed is the timing of a server that reports none.
var Untimed = ServerTiming{-1, -1, -1, -1, -1}

// Unsent is the record of a request before it is sent: nothing has happened and nothing is known.
func Unsent(p Place) Record {
	return Record{Place: p, FirstByte: -1, FirstContent: -1,
		PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, Server: Untimed}
}

// Outcome is how a request ended. Every request has exactly one.
type Outcome string

// The outcomes.
const (
	OK        Outcome = "ok"
	Empty     Outcome = "empty"     // it ended as an answer does, and the client saw no token of it
	Rejected  Outcome = "rejected"  // 429, or 503 with Retry-After: the server refused cleanly
	Failed    Outcome = "failed"    // any other status, or an error event in the stream
	Truncated Outcome = "truncated" // the stream ended without its finish_reason or its [DONE]
	Timeout   Outcome = "timeout"
	Refused   Outcome = "refused"   // no connection, or it broke before the response's head
	Cancelled Outcome = "cancelled" // by the load itself
)

// Outcomes are all there are.
var Outcomes = [...]Outcome{OK, Rejected, Empty, Failed, Truncated, Timeout, Refused, Cancelled}

// Ended reports whether the server ended the answer as it should: it is there, or it is empty.
func (r *Record) Ended() bool { return r.Outcome == OK || r.Outcome == Empty }

// SLO reports whether a request met an objective.
type SLO string

// The verdicts on a request.
const (
	Unjudged SLO = "" // there was no objective, or the load cancelled the request or read it slowly
	Met      SLO = "met"
	Missed   SLO = "missed" // too late, refused or failed
)

// Judge holds the request to an objective.
func (r *Record) Judge(o load.Objective) SLO {
	switch {
	case !o.OfAnswers() || r.Outcome == Cancelled || r.Slow:
		return Unjudged
	case r.Outcome == OK && within(r.TTFT(), o.TTFT) && within(r.TPOT(), o.TPOT) &&
		within(r.Latency(), o.E2E):
		return Met
	}
	return Missed
}

// within reports whether a time is below a bound; a bound of 0 is none. A time that never came is
// below no bound: an answer of one piece shows no time per token, and a server that sends each
// answer at once would meet any bound on it. To count such answers, bound e2e.
func within(d, bound time.Duration) bool { return bound == 0 || 0 <= d && d < bound }

// TTFT is the time from due to the first token, of reasoning or of the answer. It is -1 where none
// came.
func (r *Record) TTFT() time.Duration {
	switch {
	case r.Reasoning > 0 && len(r.Chunks) > 0:
		return r.Chunks[0] - r.Due
	case r.FirstContent < 0:
		return -1
	}
	return r.FirstContent - r.Due
}

// Gaps are the times between the pieces of the answer, as they came: what its reader waits. They
// are not divided by the tokens of a piece, which only the server knows.
func (r *Record) Gaps() []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(r.Chunks); i++ {
		gaps = append(gaps, r.Chunks[i]-r.Chunks[i-1])
	}
	return gaps
}

// Tokens are those of the answer: as the server counts them, but no fewer than its pieces.
func (r *Record) Tokens() int { return max(r.OutputTokens, len(r.Chunks)) }

// TPOT is the time per token after the first: (last - first)/(tokens - 1), from the first piece to
// the last. It is -1 where the answer has fewer than two pieces.
func (r *Record) TPOT() time.Duration {
	n := len(r.Chunks)
	if n < 2 {
		return -1
	}
	return (r.Chunks[n-1] - r.Chunks[0]) / time.Duration(r.Tokens()-1)
}

// Latency is the time from due to the end.
func (r *Record) Latency() time.Duration { return r.End - r.Due }

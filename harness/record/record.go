// Package record is what is known of requests and runs: the record of each request, what a run of them comes to, and what must
// be true of them whatever their latencies. It sends nothing; all that reports, checks and gates say is made from it.
package record

import (
	"time"

	"loadstone/harness/load"
)

// A Place is where a request stands in a measurement. It is decided before the request is sent and
// does not change afterwards.
type Place struct {
	Scenario string     `json:"scenario"`
	Run      int        `json:"run"` // 0-based; one run is one benchmark line
	Rep      int        `json:"rep"` // round of a load whose agents ask together, 0-based; otherwise 0
	Agent    string     `json:"agent"`
	Turn     int        `json:"turn"`             // 0-based turn of the agent's conversation
	Warmup   bool       `json:"warmup,omitempty"` // not measured: it filled a cache or was asked again after the load
	Level    load.Level `json:"level,omitzero"`   // of a load that is tried at several
	Cache    load.Cache `json:"cache,omitempty"`  // what the agents' caches held when the clock started
}

// A Record is what the client has seen of one request. Reports, checks and gates are made from records alone, so that
// whatever they say can be made again from the file of raw records.
//
// Times are offsets from the start of the run on the monotonic clock. A time that never came is -1.
type Record struct {
	Place
	Slow bool `json:"slow,omitempty"` // the load read the answer slowly on purpose: its times are not the server's

	// What the load meant to do to the request, such as "cancel after 3 pieces"; it may have ended
	// before that.
	Intent string `json:"plan,omitempty"`

	Due          time.Duration   `json:"due_ns"`                     // when the load plan wanted it sent: latency counts from here
	Sent         time.Duration   `json:"sent_ns"`                    // when the client began to send; Sent-Due is the client's lag
	FirstByte    time.Duration   `json:"first_byte_ns"`              // first byte of the response's head
	FirstContent time.Duration   `json:"first_content_ns"`           // first non-empty delta of the answer itself
	Chunks       []time.Duration `json:"chunks_ns"`                  // arrival of each non-empty delta, of reasoning as well
	Reasoning    int             `json:"reasoning_chunks,omitempty"` // how many of the Chunks, the first, are reasoning
	End          time.Duration   `json:"end_ns"`                     // end of the stream, or of the failure

	Outcome Outcome `json:"outcome"`
	Status  int     `json:"status"` // HTTP status, 0 when none arrived
	Error   string  `json:"error,omitempty"`

	// How often it met a connection that the server had closed without saying so and was sent again; the time is in its latency.
	Resent int `json:"resent,omitempty"`

	RetryAfter time.Duration `json:"retry_after_ns,omitempty"` // what a refusal asked for; 0 nothing

	PromptTokens int    `json:"prompt_tokens"` // as the server's usage says; -1 unknown
	CachedTokens int    `json:"cached_tokens"`
	OutputTokens int    `json:"output_tokens"`
	Finish       string `json:"finish,omitempty"` // finish_reason
	Answer       string `json:"answer,omitempty"` // the text, for the checks on answers

	Canary string       `json:"-"`              // the secret word in the prompt, for the checks on answers; kept in no file
	Leak   string       `json:"leak,omitempty"` // the secret of another that the answer has in it, or what came of it
	Server ServerTiming `json:"server"`
}

// ServerTiming is what the server says of its own part of a request. A part it does not report is -1.
type ServerTiming struct {
	FirstByte time.Duration `json:"first_byte_ns"` // header X-Request-Latency-Ms
	Total     time.Duration `json:"total_ns"`      // trailer X-Total-Latency-Ms; the header where nothing was streamed
	Queue     time.Duration `json:"queue_ns"`      // Server-Timing: queue, prefill, decode
	Prefill   time.Duration `json:"prefill_ns"`
	Decode    time.Duration `json:"decode_ns"`
}

// Untimed is the timing of a server that reports none.
var Untimed = ServerTiming{-1, -1, -1, -1, -1}

// Outcome is how a request ended. Every request has exactly one.
type Outcome string

const (
	OK        Outcome = "ok"
	Rejected  Outcome = "rejected"  // 429, or 503 with Retry-After: the server said no, cleanly
	Failed    Outcome = "failed"    // any other status, or an error event in the stream
	Truncated Outcome = "truncated" // the stream ended without its finish or its [DONE]
	Timeout   Outcome = "timeout"
	Refused   Outcome = "refused"   // no connection, or it broke before the response's head
	Cancelled Outcome = "cancelled" // by the load plan itself
)

// Outcomes are all there are.
var Outcomes = [...]Outcome{OK, Rejected, Failed, Truncated, Timeout, Refused, Cancelled}

// SLO says whether a request met an objective.
type SLO string

const (
	Unjudged SLO = "" // there was no objective, or the load cancelled the request or read it slowly
	Met      SLO = "met"
	Missed   SLO = "missed" // too late, refused or failed
)

// Judge holds the request to an objective.
func (r *Record) Judge(o load.Objective) SLO {
	switch {
	case o == (load.Objective{}) || r.Outcome == Cancelled || r.Slow:
		return Unjudged
	case r.Outcome == OK && within(r.TTFT(), o.TTFT) && within(r.TPOT(), o.TPOT) &&
		within(r.Latency(), o.E2E):
		return Met
	}
	return Missed
}

// within tells whether a time is below a bound; a bound of 0 is none.
func within(d, bound time.Duration) bool { return bound == 0 || d < bound }

// TTFT is the time from due to the first token, of reasoning or of the answer, or -1.
func (r *Record) TTFT() time.Duration {
	switch {
	case r.Reasoning > 0 && len(r.Chunks) > 0:
		return r.Chunks[0] - r.Due
	case r.FirstContent < 0:
		return -1
	}
	return r.FirstContent - r.Due
}

// perChunk is how many tokens a chunk of the answer has on average: a server that drafts tokens sends several at once.
// Where the server counts one token more than there are chunks, or none, that is 1: an end-of-turn token has no text.
func (r *Record) perChunk() float64 {
	if chunks := len(r.Chunks); chunks > 0 && r.OutputTokens > chunks+1 {
		return float64(r.OutputTokens) / float64(chunks)
	}
	return 1
}

// TokenGaps are the times between the tokens of the answer: a gap between chunks is shared by the tokens of the chunk that
// ends it.
func (r *Record) TokenGaps() []time.Duration {
	tokens := r.perChunk()
	var gaps []time.Duration
	for i := 1; i < len(r.Chunks); i++ {
		gaps = append(gaps, time.Duration(float64(r.Chunks[i]-r.Chunks[i-1])/tokens))
	}
	return gaps
}

// TPOT is the time per token after the first, from the first chunk of the answer to the last, or -1 where there is none.
func (r *Record) TPOT() time.Duration {
	n := len(r.Chunks)
	if n < 2 {
		return -1
	}
	return time.Duration(float64(r.Chunks[n-1]-r.Chunks[0]) / (float64(n-1) * r.perChunk()))
}

// Latency is the time from due to the end.
func (r *Record) Latency() time.Duration { return r.End - r.Due }

package record

import (
	"time"

	"loadstone/harness/stats"
)

// A Summary is what the records of one scenario come to.
type Summary struct {
	Scenario string
	Runs     int
	Reps     int // repetitions of the scenario, all runs together
	Requests int // sent; the sum of Outcomes
	Outcomes map[Outcome]int
	Resent   int // how often a request was sent again because the server had closed its connection

	// What the client saw. Rejected and cancelled requests, and answers that the load read slowly
	// on purpose, are counted above and are in none of these. All other failures are in TTFT and
	// E2E as Never, empty answers too.
	TTFT    stats.Dist // due to first token, of reasoning or of the answer
	Content stats.Dist // due to first token of the answer; N is 0 where no answer had reasoning
	ITL     stats.Dist // between consecutive pieces of an answer, as they came
	// TPOT is of an answer: from first to last piece, by tokens after the first. Its Mean is of all
	// tokens: the sum of the times by the sum of the tokens.
	TPOT stats.Dist
	E2E  stats.Dist // due to end
	Lag  stats.Dist // due to sent: the client's own share

	// The answered requests, as the server timed them. Network is the client's E2E less Lag and the
	// server's own total. N is 0 where the server reports nothing.
	Server  stats.Dist // total
	Queue   stats.Dist
	Prefill stats.Dist
	Decode  stats.Dist
	Network stats.Dist

	Elapsed        time.Duration // time under load, all runs together
	RequestsPerSec float64       // answered requests
	TokensPerSec   float64       // their output tokens

	// Requests that were held to an objective: all but those that were cancelled or read slowly on
	// purpose. Judged is 0 where the load has no objective.
	Judged    int
	GoodRatio float64 // those that met it / Judged
	Goodput   float64 // those that met it, a second

	PromptTokens int // of answered requests whose usage is known
	CachedTokens int
	OutputTokens int
	// Pieces are those of answers without a usage that can be believed; each stands for a token.
	Pieces         int
	TokensPerPiece float64 // of answers with usage; -1: there are none

	// DraftedTokens are those that the server says it computed ahead of the answers', AcceptedTokens
	// those of them that are in the answers. AcceptRatio is the latter by the former; TokensPerStep
	// are the tokens of answers by the steps of the model that each of them took, beside whatever
	// others. -1: the server says of no drafts.
	DraftedTokens, AcceptedTokens int
	AcceptRatio, TokensPerStep    float64

	// StallRatio is the part of the time between first and last pieces that was spent in gaps longer
	// than StallBound. -1: no answer has two pieces.
	StallRatio float64

	Replayed Replayed // of recorded sessions; zero where there are none

	Notes map[Note]int // how many requests have a note of each kind; nil: none has any

	// CachedTokens / PromptTokens. -1: no answer said how many of its tokens were cached. Some
	// servers leave the number out where it is 0.
	HitRatio float64
	// CeilingRatio is the HitRatio that a cache without an end would have reached, CeilingShare the
	// part of it that the server did. -1: not known.
	CeilingRatio, CeilingShare float64

	Jobs Jobs // of sessions of several calls

	ErrorRatio float64 // Errors / Requests
	PeakPool   float64 // highest utilisation of the server's KV pool, 0 to 1; -1 not measurable

	// Counters are the server's own count beside the client's; nil where the server does not count,
	// or its count is not known here.
	Counters *Counters

	// Window and Held are of one run; nil of several, or not known.
	Window *Window
	Held   *Held
}

// Errors are the requests that failed, were cut short, timed out, got no connection or an answer of
// nothing: all that were neither answered, nor cleanly refused, nor cancelled by the load.
//
// Empty answers are among them, and so in the error ratio, because the client has no answer. A
// ratio of their own would have no counterpart in results of before, and a gate would have to
// refuse the pair or forget the figure.
func (s *Summary) Errors() int {
	return s.Requests - s.Outcomes[OK] - s.Outcomes[Rejected] - s.Outcomes[Cancelled]
}

// RejectRatio is the share of the requests that the server refused.
func (s *Summary) RejectRatio() float64 {
	return float64(s.Outcomes[Rejected]) / float64(max(s.Requests, 1))
}

// Summarize makes the summary of one scenario's records, none of which is held to an objective.
// elapsed is how long its load ran and peakPool the highest utilisation of the pool meanwhile, or
// -1.
func Summarize(scenario string, records []Record, elapsed time.Duration, peakPool float64) Summary {
	return Run{Scenario: scenario, Records: records, Elapsed: elapsed, PeakPool: peakPool}.Summary()
}

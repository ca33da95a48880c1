package record

import (
	"time"

	"loadstone/harness/stats"
)

// Summary is what the records of one scenario come to.
type Summary struct {
	Scenario string
	Runs     int
	Reps     int // repetitions of the scenario, all runs together
	Requests int // sent; the sum of Outcomes
	Outcomes map[Outcome]int
	Resent   int // how often a request was sent again because the server had closed its connection

	// What the client saw. Rejected and cancelled requests, and answers that the load read slowly on purpose, are counted and
	// are in none of these; all other failures are in TTFT and E2E as Never.
	TTFT    stats.Dist // due to first token, of reasoning or of the answer
	Content stats.Dist // due to first token of the answer itself; N 0 where no answer had reasoning before it
	ITL     stats.Dist // between consecutive tokens: a gap is shared by the tokens of the chunk that ends it
	Gap     stats.Dist // between consecutive chunks, as they came
	TPOT    stats.Dist // of an answer: from first to last chunk, by tokens after the first
	E2E     stats.Dist // due to end
	Lag     stats.Dist // due to sent: the client's own share

	// The answered requests, as the server timed them; Network is the client's E2E less Lag and the server's own total.
	// N is 0 where the server says nothing.
	Server  stats.Dist // total
	Queue   stats.Dist
	Prefill stats.Dist
	Decode  stats.Dist
	Network stats.Dist

	Elapsed        time.Duration // time under load, all runs together
	RequestsPerSec float64       // answered requests
	TokensPerSec   float64       // their output tokens

	Judged   int     // requests held to an objective of their own, 0 where the load has none; all but those taken back or read slowly
	GoodRate float64 // those that met it / Judged
	Goodput  float64 // those that met it, a second

	PromptTokens int // of answered requests whose usage is known
	CachedTokens int
	OutputTokens int
	Pieces       int // of answered requests whose usage is unknown: their tokens, as near as the client can tell

	HitRate   float64 // CachedTokens / PromptTokens; -1: no answer tells what was cached, though some servers leave only a 0 out
	ErrorRate float64 // failed, truncated, timed out and refused requests / Requests
	PeakPool  float64 // highest utilisation of the server's KV pool seen, 0 to 1; -1 not measurable

	Counters *Counters // the server's own count beside the client's; nil: it does not count, or is not known here
}

// Summarize makes the summary of one scenario's records. elapsed is how long its load ran and peakPool the highest pool
// utilisation seen meanwhile, or -1.
func Summarize(scenario string, records []Record, elapsed time.Duration, peakPool float64) Summary {
	var t Tally
	for i := range records {
		t.Add(&records[i])
	}
	return t.Summary(scenario, elapsed, peakPool)
}

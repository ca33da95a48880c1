package harness

import (
	"math"
	"slices"
	"time"
)

// Never is the latency of a request that did not succeed: longer than any other, so that failures worsen percentiles
// instead of leaving them.
const Never = time.Duration(math.MaxInt64)

// Dist describes a sample of durations. Percentiles are exact, by nearest rank: the p-th percentile of N sorted values is
// value number ceil(p*N). A sample with failures in it has percentiles of Never from where they begin.
type Dist struct {
	N             int
	P50, P95, P99 time.Duration
	Min, Max      time.Duration
	Mean          time.Duration // of the values below Never
}

// Describe makes the Dist of a sample, which it sorts in place. An empty sample has N 0 and nothing else.
func Describe(sample []time.Duration) Dist {
	n := len(sample)
	if n == 0 {
		return Dist{}
	}
	slices.Sort(sample)
	d := Dist{N: n, P50: quantile(sample, 0.50), P95: quantile(sample, 0.95), P99: quantile(sample, 0.99),
		Min: sample[0], Max: sample[n-1]}
	var sum float64
	finite := 0
	for _, v := range sample {
		if v != Never {
			sum += float64(v)
			finite++
		}
	}
	if finite > 0 {
		d.Mean = time.Duration(sum / float64(finite))
	}
	return d
}

// quantile is the nearest-rank quantile of a sorted, non-empty sample.
func quantile(sorted []time.Duration, q float64) time.Duration {
	// The small subtraction keeps 0.95*20 = 19.000000000000004 from becoming rank 20.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[max(rank, 1)-1]
}

// Summary is what the records of one scenario come to.
type Summary struct {
	Scenario string
	Runs     int
	Reps     int // repetitions of the scenario, all runs together
	Requests int // sent; the sum of Outcomes
	Outcomes map[Outcome]int

	// What the client saw. Rejected and cancelled requests are counted apart and are in none of these; all other failures
	// are in TTFT and E2E as Never.
	TTFT Dist // due to first content
	ITL  Dist // between consecutive content deltas
	E2E  Dist // due to end
	Lag  Dist // due to sent: the client's own share

	// The answered requests, as the server timed them; Network is the client's E2E less Lag and the server's own total.
	// N is 0 where the server says nothing.
	Server  Dist // total
	Queue   Dist
	Prefill Dist
	Decode  Dist
	Network Dist

	Elapsed        time.Duration // time under load, all runs together
	RequestsPerSec float64       // answered requests
	TokensPerSec   float64       // their output tokens

	PromptTokens int // of answered requests whose usage is known
	CachedTokens int
	OutputTokens int

	HitRate   float64 // CachedTokens / PromptTokens
	ErrorRate float64 // failed, truncated, timed out and refused requests / Requests
	PeakPool  float64 // highest utilisation of the server's KV pool seen, 0 to 1; -1 not measurable
}

// Summarize makes the summary of one scenario's records. elapsed is how long its load ran and peakPool the highest pool
// utilisation seen meanwhile, or -1.
func Summarize(scenario string, records []Record, elapsed time.Duration, peakPool float64) Summary {
	s := Summary{Scenario: scenario, Requests: len(records), Outcomes: map[Outcome]int{}, Elapsed: elapsed, PeakPool: peakPool}
	var ttft, itl, e2e, lag, server, queue, prefill, decode, network []time.Duration
	runs, reps := map[int]bool{}, map[[2]int]bool{}
	failed := 0
	for i := range records {
		r := &records[i]
		runs[r.Run], reps[[2]int{r.Run, r.Rep}] = true, true
		s.Outcomes[r.Outcome]++
		if r.Sent >= 0 {
			lag = append(lag, r.Sent-r.Due)
		}
		switch r.Outcome {
		case Rejected, Cancelled:
			continue
		case OK:
		default:
			failed++
			ttft, e2e = append(ttft, Never), append(e2e, Never)
			continue
		}
		e2e = append(e2e, r.Latency())
		if t := r.TTFT(); t >= 0 { // an answer of no tokens has none
			ttft = append(ttft, t)
		}
		for j := 1; j < len(r.Chunks); j++ {
			itl = append(itl, r.Chunks[j]-r.Chunks[j-1])
		}
		for _, part := range []struct {
			sample *[]time.Duration
			v      time.Duration
		}{{&server, r.Server.Total}, {&queue, r.Server.Queue}, {&prefill, r.Server.Prefill}, {&decode, r.Server.Decode}} {
			if part.v >= 0 {
				*part.sample = append(*part.sample, part.v)
			}
		}
		if r.Server.Total >= 0 {
			network = append(network, r.End-r.Sent-r.Server.Total)
		}
		if r.PromptTokens >= 0 {
			s.PromptTokens += r.PromptTokens
			s.CachedTokens += max(r.CachedTokens, 0)
			s.OutputTokens += max(r.OutputTokens, 0)
		}
	}
	s.Runs, s.Reps = len(runs), len(reps)
	s.TTFT, s.ITL, s.E2E, s.Lag = Describe(ttft), Describe(itl), Describe(e2e), Describe(lag)
	s.Server, s.Queue, s.Prefill, s.Decode, s.Network = Describe(server), Describe(queue), Describe(prefill), Describe(decode), Describe(network)
	if elapsed > 0 {
		s.RequestsPerSec = float64(s.Outcomes[OK]) / elapsed.Seconds()
		s.TokensPerSec = float64(s.OutputTokens) / elapsed.Seconds()
	}
	if s.PromptTokens > 0 {
		s.HitRate = float64(s.CachedTokens) / float64(s.PromptTokens)
	}
	if s.Requests > 0 {
		s.ErrorRate = float64(failed) / float64(s.Requests)
	}
	return s
}

package figure

import (
	"slices"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// all is the table, in the order of a benchmark line; what is in no benchmark line comes after.
var all = build()

// A gated is a percentile that benchmark lines have, and how it is gated.
type gated struct {
	name string
	rule Rule
}

// answers are the percentiles that a benchmark line begins with. Tails differ more from run to run
// than medians do, so they are allowed more. Percentiles that say nearly the same as a neighbour
// are shown but not gated: every cell more costs all others some of their power.
var answers = []gated{
	{"p50-ttft", Rule{Gated: true, Effect: 0.05, Min: 200e-6}},
	{"p95-ttft", Rule{Effect: 0.10, Min: 200e-6}},
	{"p99-ttft", Rule{Gated: true, Effect: 0.15, Min: 500e-6}},
	{"p50-itl", Rule{Gated: true, Sparse: true, Effect: 0.05, Min: 50e-6}},
	{"p95-itl", Rule{Sparse: true, Effect: 0.10, Min: 100e-6}},
	// A stream that comes in bursts has a better median gap than an even one; its tail shows it.
	{"p99-itl", Rule{Gated: true, Sparse: true, Effect: 0.15, Min: 1e-3}},
	{"p50-e2e", Rule{Gated: true, Effect: 0.05, Min: 200e-6}},
	{"p95-e2e", Rule{Gated: true, Effect: 0.10, Min: 500e-6}},
	{"p99-e2e", Rule{Gated: true, Effect: 0.15, Min: 500e-6}},
}

// shown are those that a benchmark line has after the figures of all requests. Baselines of before
// do not have them, so none is gated.
var shown = []gated{
	{"p50-tpot", Rule{Sparse: true, Effect: 0.05, Min: 50e-6}},
	{"max-itl", Rule{Sparse: true, Effect: 0.25, Min: 5e-3}},
}

// generator is the load generator's own, which follows the figures of all requests; see
// gate.Client.
var generator = []gated{
	{"p99-lag", Rule{Effect: 0.15, Min: 500e-6}},
}

// jobs are the percentiles of jobs, which follow all that baselines of before have. Those of loads
// whose sessions are single calls have none. A run has few jobs, and a median of six is the least
// that can be told.
var jobs = []gated{
	{"p50-job", Rule{Gated: true, Sparse: true, Effect: 0.05, Min: 1e-3}},
	{"p90-job", Rule{Sparse: true, Effect: 0.10, Min: 1e-3}},
	{"p95-job", Rule{Sparse: true, Effect: 0.10, Min: 1e-3}},
	{"p50-calling", Rule{Gated: true, Sparse: true, Effect: 0.05, Min: 1e-3}},
	{"p90-calling", Rule{Sparse: true, Effect: 0.10, Min: 1e-3}},
	{"p50-tool-call", Rule{Sparse: true, Effect: 0.05, Min: 1e-3}},
	{"p90-tool-call", Rule{Sparse: true, Effect: 0.10, Min: 1e-3}},
}

func build() []Figure {
	rest := percentiles()
	// take moves percentiles to a benchmark line.
	take := func(line []gated) (taken []Figure) {
		for _, g := range line {
			i := slices.IndexFunc(rest, func(f Figure) bool { return f.Name == g.name })
			f := rest[i]
			f.Bench, f.Rule = true, g.rule
			taken, rest = append(taken, f), slices.Delete(rest, i, i+1)
		}
		return taken
	}
	first, pace, last := take(answers), take(shown), take(generator)
	work := take(jobs)
	return slices.Concat(first, measured, pace, stalls, last, sizes(), work, ofJobs, ceiling,
		drafts, rest, outcomes(), counted)
}

// percentiles are those of the limited times, and their maxima.
func percentiles() []Figure {
	var all []Figure
	for _, t := range AllTimes {
		if !slices.Contains(limited, t.Name) {
			continue
		}
		for i, p := range []string{"p50", "p90", "p95", "p99", "p999"} {
			q := stats.Quantiles[i]
			all = append(all, Figure{
				Name: p + "-" + t.Name, Unit: Seconds, Better: Lower, Of: t.Name, Quantile: q,
				dist: t.Of,
				time: func(s *record.Summary) (time.Duration, bool) {
					return t.Of(s).At(q), t.Of(s).N > 0
				},
			})
		}
		all = append(all, Figure{
			Name: "max-" + t.Name, Unit: Seconds, Better: Lower, Of: t.Name,
			time: func(s *record.Summary) (time.Duration, bool) {
				return t.Of(s).Max, t.Of(s).N > 0
			},
		})
	}
	return all
}

// value reads a figure of a summary, false where it was not measured.
type value func(s *record.Summary) (v float64, measured bool)

// measured are the figures of a benchmark line that are of all requests together. The pool is
// sampled, so where a server does not count its peaks, the peak is a lower bound, and chance
// decides by how much.
var measured = []Figure{
	inLine("req/s", PerSecond, Higher, Rule{Effect: 0.05}, requestRate, "req_per_s"),
	inLine("tok/s", PerSecond, Higher, Rule{Gated: true, Effect: 0.05}, tokenRate, "tok_per_s"),
	inLine("goodput-req/s", PerSecond, Higher, Rule{Effect: 0.05}, goodput,
		"goodput", "goodput_req_per_s"),
	inLine("good-ratio", Ratio, Higher, Rule{Gated: true, Points: true, Effect: 0.02}, goodRatio,
		"good_ratio", "good_rate"),
	inLine("hit-ratio", Ratio, Higher, Rule{Gated: true, Points: true, Effect: 0.01}, hitRatio,
		"hit_ratio", "hit_rate"),
	inLine("peak-pool-ratio", Ratio, Lower, Rule{Points: true, Effect: 0.05}, peakPool,
		"peak_pool_ratio", "peak_pool"),
	inLine("error-ratio", Ratio, Lower, Rule{Gated: true, Exact: true, Points: true}, errorRatio,
		"error_ratio", "error_rate"),
	inLine("reject-ratio", Ratio, Lower, Rule{Gated: true, Points: true, Effect: 0.02},
		rejectRatio),
}

// stalls say how evenly the pieces of answers came. tokens-per-piece is what tells gaps between
// pieces from times between tokens: neither way is better.
var stalls = []Figure{
	inLine("stall-ratio", Ratio, Lower, Rule{Sparse: true, Points: true, Effect: 0.02}, stallRatio),
	{Name: "tokens-per-piece", Unit: Tokens, value: tokensPerPiece},
}

// ofJobs are the figures of jobs that are no times.
var ofJobs = []Figure{
	inLine("jobs/h", PerHour, Higher, Rule{Gated: true, Sparse: true, Effect: 0.05},
		func(s *record.Summary) (float64, bool) { return s.Jobs.PerHour, s.Jobs.N > 0 }),
	inLine("good-job-ratio", Ratio, Higher,
		Rule{Gated: true, Sparse: true, Points: true, Effect: 0.02},
		func(s *record.Summary) (float64, bool) { return s.Jobs.GoodRatio, s.Jobs.GoodRatio >= 0 }),
	inLine("failed-job-ratio", Ratio, Lower,
		Rule{Gated: true, Sparse: true, Exact: true, Points: true},
		func(s *record.Summary) (float64, bool) {
			return float64(s.Jobs.Failed) / float64(max(s.Jobs.N, 1)), s.Jobs.N > 0
		}),
	{Name: "calls/job", Unit: Calls,
		value: func(s *record.Summary) (float64, bool) { return s.Jobs.Calls, s.Jobs.Calls > 0 }},
	{Name: "tokens/job", Unit: Tokens,
		value: func(s *record.Summary) (float64, bool) { return s.Jobs.Tokens, s.Jobs.Tokens > 0 }},
	{Name: "jobs", Unit: Jobs,
		value: func(s *record.Summary) (float64, bool) { return float64(s.Jobs.N), s.Jobs.N > 0 }},
	{Name: "cut-jobs", Unit: Jobs,
		value: func(s *record.Summary) (float64, bool) { return float64(s.Jobs.Cut), s.Jobs.N > 0 }},
}

// ceiling are the figures of a cache without an end. What it would have reached is the load's, so
// neither way is better; the server's share of it is the server's.
var ceiling = []Figure{
	{Name: "ceiling-ratio", Unit: Ratio, value: func(s *record.Summary) (float64, bool) {
		return s.CeilingRatio, s.CeilingRatio >= 0
	}},
	inLine("ceiling-share", Ratio, Higher, Rule{Gated: true, Sparse: true, Points: true, Effect: 0.01},
		func(s *record.Summary) (float64, bool) { return s.CeilingShare, s.CeilingShare >= 0 }),
}

// drafts are of servers that compute tokens ahead and say so.
var drafts = []Figure{
	inLine("accept-ratio", Ratio, Higher, Rule{Sparse: true, Points: true, Effect: 0.02},
		func(s *record.Summary) (float64, bool) { return s.AcceptRatio, s.AcceptRatio >= 0 }),
	inLine("tokens-per-step", Tokens, Higher, Rule{Sparse: true, Effect: 0.05},
		func(s *record.Summary) (float64, bool) { return s.TokensPerStep, s.TokensPerStep >= 0 }),
}

func stallRatio(s *record.Summary) (float64, bool) { return s.StallRatio, s.StallRatio >= 0 }

func tokensPerPiece(s *record.Summary) (float64, bool) {
	return s.TokensPerPiece, s.TokensPerPiece >= 0
}

// inLine is a figure of a benchmark line.
func inLine(name, unit string, better Better, rule Rule, of value, aliases ...string) Figure {
	return Figure{Name: name, Unit: unit, Better: better, Bench: true, Rule: rule, value: of,
		aliases: aliases}
}

func requestRate(s *record.Summary) (float64, bool) { return s.RequestsPerSec, s.Elapsed > 0 }

// tokenRate is 0 where nothing was answered, which is as bad as can be and no missing figure. It is
// not measured where answers came in one piece and without usage.
func tokenRate(s *record.Summary) (float64, bool) {
	none := s.Requests > 0 && s.Outcomes[record.OK] == 0
	return s.TokensPerSec, none || s.OutputTokens+s.Pieces > 0
}

func goodput(s *record.Summary) (float64, bool) {
	return s.Goodput, s.Judged > 0 && s.Elapsed > 0
}

func goodRatio(s *record.Summary) (float64, bool) { return s.GoodRatio, s.Judged > 0 }

func hitRatio(s *record.Summary) (float64, bool) { return s.HitRatio, s.HitRatio >= 0 }

func peakPool(s *record.Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }

func errorRatio(s *record.Summary) (float64, bool) { return s.ErrorRatio, s.Requests > 0 }

func rejectRatio(s *record.Summary) (float64, bool) { return s.RejectRatio(), s.Requests > 0 }

// sizes say how many values a line's percentiles are of. Without them a p99 of 20 requests would be
// as good as one of 2000.
func sizes() []Figure {
	var all []Figure
	for _, t := range AllTimes {
		if t.Name == "tpot" || t.Name == "tool-call" || !slices.Contains(limited, t.Name) {
			continue
		}
		all = append(all, Figure{
			Name: SizeName(t.Name), Unit: Values, Better: Higher, Bench: true,
			value: func(s *record.Summary) (float64, bool) {
				return float64(t.Of(s).N), t.Of(s).N > 0
			},
		})
	}
	return all
}

// outcomes are how many requests ended in each way.
func outcomes() []Figure {
	var all []Figure
	for _, o := range record.Outcomes {
		better := Lower
		if o == record.OK {
			better = Higher
		}
		of := func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[o]), true }
		all = append(all, Figure{Name: string(o), Unit: Requests, Better: better, value: of})
	}
	return all
}

// counted are the other figures that are counted. Tokens are those of answers with a usage; a piece
// stands for a token of an answer without one.
var counted = []Figure{
	{Name: "errors", Unit: Requests, Better: Lower, value: always((*record.Summary).Errors)},
	{Name: "requests", Unit: Requests,
		value: always(func(s *record.Summary) int { return s.Requests })},
	{Name: "resent", Unit: Requests, Better: Lower,
		value: always(func(s *record.Summary) int { return s.Resent })},
	{Name: "elapsed", Unit: Seconds, time: elapsed},
	{Name: "prompt-tokens", Unit: Tokens, value: promptTokens, aliases: []string{"prompt_tokens"}},
	{Name: "cached-tokens", Unit: Tokens, value: cachedTokens, aliases: []string{"cached_tokens"}},
	{Name: "output-tokens", Unit: Tokens, value: outputTokens, aliases: []string{"output_tokens"}},
	{Name: "pieces", Unit: Tokens, value: pieces},
	{Name: "drafted-tokens", Unit: Tokens, value: draftedTokens},
	{Name: "accepted-tokens", Unit: Tokens, value: acceptedTokens},
}

// always reads a count that every summary has.
func always(of func(*record.Summary) int) value {
	return func(s *record.Summary) (float64, bool) { return float64(of(s)), true }
}

func elapsed(s *record.Summary) (time.Duration, bool) { return s.Elapsed, true }

func promptTokens(s *record.Summary) (float64, bool) {
	return float64(s.PromptTokens), s.PromptTokens > 0
}

func cachedTokens(s *record.Summary) (float64, bool) {
	return float64(s.CachedTokens), s.PromptTokens > 0
}

func outputTokens(s *record.Summary) (float64, bool) {
	return float64(s.OutputTokens), s.OutputTokens > 0
}

func pieces(s *record.Summary) (float64, bool) { return float64(s.Pieces), s.Pieces > 0 }

func draftedTokens(s *record.Summary) (float64, bool) {
	return float64(s.DraftedTokens), s.DraftedTokens > 0
}

func acceptedTokens(s *record.Summary) (float64, bool) {
	return float64(s.AcceptedTokens), s.DraftedTokens > 0
}

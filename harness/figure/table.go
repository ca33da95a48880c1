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
// than medians do, so they are allowed more. Percentiles that say nearly the same as a neighbour are
// shown but not gated: every cell more costs all others some of their power.
var answers = []gated{
	{"p50-ttft", Rule{Gated: true, Effect: 0.05, Min: 200e-6}},
	{"p95-ttft", Rule{Effect: 0.10, Min: 200e-6}},
	{"p99-ttft", Rule{Gated: true, Effect: 0.15, Min: 500e-6}},
	{"p50-itl", Rule{Gated: true, Sparse: true, Effect: 0.05, Min: 50e-6}},
	{"p95-itl", Rule{Sparse: true, Effect: 0.10, Min: 100e-6}},
	{"p99-itl", Rule{Sparse: true, Effect: 0.15, Min: 200e-6}},
	{"p50-e2e", Rule{Gated: true, Effect: 0.05, Min: 200e-6}},
	{"p95-e2e", Rule{Gated: true, Effect: 0.10, Min: 500e-6}},
	{"p99-e2e", Rule{Gated: true, Effect: 0.15, Min: 500e-6}},
}

// generator is the load generator's own, which follows the figures of all requests; see gate.Client.
var generator = []gated{
	{"p99-lag", Rule{Effect: 0.15, Min: 500e-6}},
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
	first, last := take(answers), take(generator)
	return slices.Concat(first, measured, last, sizes(), rest, outcomes(), counted)
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

// measured are the figures of a benchmark line that are of all requests together.
var measured = []Figure{
	{Name: "req/s", Unit: PerSecond, Better: Higher, Bench: true,
		Rule: Rule{Effect: 0.05}, aliases: []string{"req_per_s"},
		value: func(s *record.Summary) (float64, bool) {
			return s.RequestsPerSec, s.Elapsed > 0
		}},
	{Name: "tok/s", Unit: PerSecond, Better: Higher, Bench: true,
		Rule: Rule{Gated: true, Effect: 0.05}, aliases: []string{"tok_per_s"},
		value: func(s *record.Summary) (float64, bool) {
			return s.TokensPerSec, s.OutputTokens+s.Pieces > 0
		}},
	{Name: "goodput-req/s", Unit: PerSecond, Better: Higher, Bench: true,
		Rule: Rule{Effect: 0.05}, aliases: []string{"goodput", "goodput_req_per_s"},
		value: func(s *record.Summary) (float64, bool) {
			return s.Goodput, s.Judged > 0 && s.Elapsed > 0
		}},
	{Name: "good-ratio", Unit: Ratio, Better: Higher, Bench: true,
		Rule:    Rule{Gated: true, Points: true, Effect: 0.02},
		aliases: []string{"good_ratio", "good_rate"},
		value: func(s *record.Summary) (float64, bool) {
			return s.GoodRatio, s.Judged > 0
		}}, {Name: "hit-ratio", Unit: Ratio, Better: Higher, Bench: true,
		Rule:    Rule{Gated: true, Points: true, Effect: 0.01},
		aliases: []string{"hit_ratio", "hit_rate"},
		value: func(s *record.Summary) (float64, bool) {
			return s.HitRatio, s.HitRatio >= 0
		}}, {Name: "peak-pool-ratio", Unit: Ratio, Better: Lower, Bench: true,
		// The pool is sampled: the peak is a lower bound, and chance decides by how much.
		Rule:    Rule{Points: true, Effect: 0.05},
		aliases: []string{"peak_pool_ratio", "peak_pool"},
		value: func(s *record.Summary) (float64, bool) {
			return s.PeakPool, s.PeakPool >= 0
		}}, {Name: "error-ratio", Unit: Ratio, Better: Lower, Bench: true,
		Rule:    Rule{Gated: true, Exact: true, Points: true},
		aliases: []string{"error_ratio", "error_rate"},
		value: func(s *record.Summary) (float64, bool) {
			return s.ErrorRatio, s.Requests > 0
		}}, {Name: "reject-ratio", Unit: Ratio, Better: Lower, Bench: true,
		Rule:  Rule{Gated: true, Points: true, Effect: 0.02},
		value: func(s *record.Summary) (float64, bool) { return s.RejectRatio(), s.Requests > 0 }},
}

// sizes say how many values a line's percentiles are of. Without them a p99 of 20 requests would be
// as good as one of 2000.
func sizes() []Figure {
	var all []Figure
	for _, t := range AllTimes {
		if t.Name == "tpot" || !slices.Contains(limited, t.Name) {
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
		all = append(all, Figure{Name: string(o), Unit: Requests, Better: better,
			value: func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[o]), true }})
	}
	return all
}

// counted are the other figures that are counted.
var counted = []Figure{
	{Name: "errors", Unit: Requests, Better: Lower,
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.Errors()), true
		}}, {Name: "requests", Unit: Requests,
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.Requests), true
		}}, {Name: "resent", Unit: Requests, Better: Lower,
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.Resent), true
		}}, {Name: "elapsed", Unit: Seconds,
		time: func(s *record.Summary) (time.Duration, bool) {
			return s.Elapsed, true
		}}, {Name: "prompt-tokens", Unit: Tokens, aliases: []string{"prompt_tokens"},
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.PromptTokens), s.PromptTokens > 0
		}},
	{Name: "cached-tokens", Unit: Tokens, aliases: []string{"cached_tokens"},
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.CachedTokens), s.PromptTokens > 0
		}},
	{Name: "output-tokens", Unit: Tokens, aliases: []string{"output_tokens"},
		value: func(s *record.Summary) (float64, bool) {
			return float64(s.OutputTokens), s.OutputTokens > 0
		}},
	{Name: "pieces", Unit: Tokens,
		value: func(s *record.Summary) (float64, bool) { return float64(s.Pieces), s.Pieces > 0 }},
}

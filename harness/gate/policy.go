package gate

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/perf/benchunit"
)

// A Rule says how one unit is judged.
type Rule struct {
	Gated  bool    // looked at unless the user names the units
	Exact  bool    // any increase is a regression, with no statistics: an error is an error
	Sparse bool    // not every run has it: an answer of one token has no inter-token time
	Points bool    // a ratio: what counts is the difference, as a quarter more of 0.4 % is nothing
	Effect float64 // the smallest change that matters: 0.05 is 5 %, or 5 percentage points
	Least  float64 // and the smallest in the unit itself (seconds, not nanoseconds): below it nobody would notice
}

// rules are by the unit's name without its -sec. Tails differ more from run to run than medians do, so they are allowed
// more. Percentiles that say nearly the same as a neighbour are shown by compare but not gated: every cell more costs all
// others some of their power.
var rules = map[string]Rule{
	"p50-ttft":        {Gated: true, Effect: 0.05, Least: 200e-6},
	"p95-ttft":        {Effect: 0.10, Least: 200e-6},
	"p99-ttft":        {Gated: true, Effect: 0.15, Least: 500e-6},
	"p50-itl":         {Gated: true, Sparse: true, Effect: 0.05, Least: 50e-6},
	"p95-itl":         {Sparse: true, Effect: 0.10, Least: 100e-6},
	"p99-itl":         {Sparse: true, Effect: 0.15, Least: 200e-6},
	"p50-e2e":         {Gated: true, Effect: 0.05, Least: 200e-6},
	"p95-e2e":         {Gated: true, Effect: 0.10, Least: 500e-6},
	"p99-e2e":         {Gated: true, Effect: 0.15, Least: 500e-6},
	"req/s":           {Effect: 0.05},
	"tok/s":           {Gated: true, Effect: 0.05},
	"goodput-req/s":   {Effect: 0.05},
	"good-ratio":      {Gated: true, Points: true, Effect: 0.02},
	"hit-ratio":       {Gated: true, Points: true, Effect: 0.01},
	"reject-ratio":    {Gated: true, Points: true, Effect: 0.02},
	"error-ratio":     {Gated: true, Exact: true, Points: true},
	"peak-pool-ratio": {Points: true, Effect: 0.05},  // sampled: a lower bound, and what it misses is chance
	"p99-lag":         {Effect: 0.15, Least: 500e-6}, // the load generator's own; see Client
}

// rule is the unit's own, or a cautious one: a unit nobody has thought of is gated rather than forgotten.
func rule(unit string) Rule {
	if r, ok := rules[short(unit)]; ok {
		return r
	}
	return Rule{Gated: true, Points: strings.HasSuffix(unit, "-ratio"), Effect: 0.05}
}

// short is a unit as people say it: p99-e2e for p99-e2e-ns and p99-e2e-sec.
func short(unit string) string {
	_, unit = benchunit.Tidy(1, unit)
	return strings.TrimSuffix(unit, "-sec")
}

// ParseEffects reads "p50-ttft=3%,tok/s=10%".
func ParseEffects(s string) (map[string]float64, error) {
	effects := map[string]float64{}
	if s == "" {
		return effects, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		unit, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		f, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if !ok || unit == "" || err != nil || !strings.HasSuffix(value, "%") || !(f >= 0 && f < 1e4) {
			return nil, fmt.Errorf("%q is no effect; want one like p50-ttft=5%%", part)
		}
		effects[short(unit)] = f / 100
	}
	return effects, nil
}

package report

import (
	"fmt"
	"time"

	"loadstone/harness"
)

// kneeShare is the part of the highest measured throughput at which the subject counts as saturated: beyond the fewest
// agents that reach it, more agents buy latency and little else.
const kneeShare = 0.9

// headroom is the load at which to add capacity, as a part of the saturated one. Queueing delay grows as 1/(1-load): at
// 70 % a request waits about twice its own service time, at 90 % nine times.
const headroom = 0.7

// poolFull is the utilisation at which the server stops admitting work.
const poolFull = 0.9

// A Level is what was measured at one number of concurrent agents.
type Level struct {
	Agents   int
	Scenario string
	ReqPerS  float64
	TokPerS  float64
	E2E      harness.Dist
	PeakPool float64
}

// A Capacity is what the measured levels say of the load one instance bears.
type Capacity struct {
	Levels []Level // ascending in agents, one per number; alike in cache state as far as the scenarios allow
	Knee   Level   // the fewest agents that reach kneeShare of the best throughput
	Best   float64 // highest measured req/s

	Saturated bool // throughput stopped growing within the levels; if not, Best is a lower bound
}

// capacity picks one level per number of agents. Scenarios that fill the pool on purpose are left out: they measure
// refusals.
func (r *Report) capacity() Capacity {
	var c Capacity
	for _, name := range []string{"concurrent-5", "concurrent-10"} {
		s := r.find(name)
		if s == nil || s.Pooled.RequestsPerSec == 0 {
			continue
		}
		if lone := r.lone(s); len(c.Levels) == 0 && lone != nil && lone.Pooled.RequestsPerSec > 0 {
			c.add(lone)
		}
		c.add(s)
	}
	for _, l := range c.Levels {
		c.Best = max(c.Best, l.ReqPerS)
	}
	for _, l := range c.Levels {
		if l.ReqPerS >= kneeShare*c.Best {
			c.Knee = l
			break
		}
	}
	c.Saturated = len(c.Levels) > 1 && c.Knee.Agents < c.Levels[len(c.Levels)-1].Agents
	return c
}

func (c *Capacity) add(s *Scenario) {
	c.Levels = append(c.Levels, Level{s.Agents, s.Pooled.Scenario, s.Pooled.RequestsPerSec, s.Pooled.TokensPerSec, s.Pooled.E2E, s.Pooled.PeakPool})
}

// advice is the production recommendations, each a complete statement made from the measured levels.
func (r *Report) advice() []string {
	c := r.capacity()
	if len(c.Levels) < 2 {
		return []string{"Throughput was measured at fewer than two levels of concurrency, so saturation, and with it capacity, cannot be told. " +
			"Run the scenarios concurrent-5 and concurrent-10 as well."}
	}
	last := c.Levels[len(c.Levels)-1]
	advice := []string{c.saturation(), c.addCapacity(), scaleOut(last, c.Saturated)}
	if last.PeakPool > 0 {
		advice = append(advice, poolAdvice(last))
	}
	if s := r.find("pool-pressure"); s != nil && s.Pooled.Requests > 0 {
		advice = append(advice, pressureAdvice(s))
	}
	return advice
}

func (c *Capacity) saturation() string {
	last := c.Levels[len(c.Levels)-1]
	if !c.Saturated {
		return fmt.Sprintf("Throughput still grows at %d agents (%s req/s, %s tok/s; %s req/s with %s): saturation lies beyond what was measured.",
			last.Agents, rate(last.ReqPerS), rate(last.TokPerS), rate(c.Levels[0].ReqPerS), plural(c.Levels[0].Agents, "agent"))
	}
	return fmt.Sprintf("One instance saturates at about %s: %s req/s (%s tok/s), against %s req/s at %d.",
		plural(c.Knee.Agents, "concurrent agent"), rate(c.Knee.ReqPerS), rate(c.Knee.TokPerS), rate(last.ReqPerS), last.Agents)
}

func (c *Capacity) addCapacity() string {
	bound := ""
	if !c.Saturated {
		bound = " of the highest measured rate, a lower bound of what it bears"
	} else {
		bound = " of saturation"
	}
	return fmt.Sprintf("Add capacity when the sustained rate passes %s req/s (%.0f %%%s) or more than %s are in flight for longer than a minute.",
		rate(headroom*c.Best), 100*headroom, bound, plural(c.Knee.Agents, "request"))
}

// scaleOut says how many agents one instance holds within the latency targets. Beyond saturation latency grows in
// proportion to the agents, which gives the figure; it is an extrapolation and says so.
func scaleOut(last Level, saturated bool) string {
	name, fraction := "p50", over(last.E2E.P50, TargetP50)
	for _, t := range []struct {
		name     string
		fraction float64
	}{{"p95", over(last.E2E.P95, TargetP95)}, {"p99", over(last.E2E.P99, TargetP99)}} {
		if t.fraction > fraction {
			name, fraction = t.name, t.fraction
		}
	}
	agents := int(float64(last.Agents) / max(fraction, 1e-9))
	switch {
	case fraction >= 1 && agents < 1:
		return fmt.Sprintf("Scaling out alone does not help: the %s target is missed %s times over at %d agents, so even one agent per instance would miss it.",
			name, three(fraction), last.Agents)
	case fraction >= 1:
		return fmt.Sprintf("Scale out already at this load: %d agents miss the %s target %s times over; by proportion, one instance holds about %s within it.",
			last.Agents, name, three(fraction), plural(agents, "agent"))
	case !saturated:
		return fmt.Sprintf("Scale out beyond %d agents only on evidence: they use %s of the %s target, and throughput still grows, so latency does not yet follow the load.",
			last.Agents, percent(fraction), name)
	case agents > 10*last.Agents:
		return fmt.Sprintf("No need to scale out for latency at %d agents: they use %s of the %s target; measure again with more agents before trusting one instance with over %d.",
			last.Agents, percent(fraction), name, 10*last.Agents)
	}
	return fmt.Sprintf("Scale out before about %d concurrent agents per instance: %d use %s of the %s target, and beyond saturation latency grows with the agents (an extrapolation; measure it).",
		agents, last.Agents, percent(fraction), name)
}

func over(d, limit time.Duration) float64 { return float64(d) / float64(limit) }

func poolAdvice(last Level) string {
	agents := int(poolFull / (last.PeakPool / float64(last.Agents)))
	return fmt.Sprintf("The pool peaked at %s with %d agents; at that size per agent it refuses work from about %s in flight. Enlarge it (-kv-bytes) or scale out before that.",
		percent(last.PeakPool), last.Agents, plural(agents, "request"))
}

func pressureAdvice(s *Scenario) string {
	rejected := s.Pooled.Outcomes[harness.Rejected]
	text := fmt.Sprintf("Near exhaustion (pool peak %s) %d of %s were refused with Retry-After", percent(s.Pooled.PeakPool), rejected, plural(s.Pooled.Requests, "request"))
	if rejected == 0 {
		text = fmt.Sprintf("Near exhaustion (pool peak %s) none of %s was refused", percent(s.Pooled.PeakPool), plural(s.Pooled.Requests, "request"))
	}
	switch failed := s.Pooled.Requests - rejected - s.Pooled.Outcomes[harness.OK]; failed {
	case 0:
		return text + " and none failed: clients that honour Retry-After need nothing else."
	default:
		return text + fmt.Sprintf(" and %d failed: do not run at this level until that is understood.", failed)
	}
}

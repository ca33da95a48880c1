package report

import (
	"fmt"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
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
	E2E      stats.Dist
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
	c.Levels = append(c.Levels, Level{s.Agents, s.Name(), s.Pooled.RequestsPerSec, s.Pooled.TokensPerSec, s.Pooled.E2E, s.Pooled.PeakPool})
}

// advice is the production recommendations, each a complete statement made from the measured levels.
func (r *Report) advice() []string {
	if len(r.Scenarios) > 0 && r.Scenarios[0].Level.Kind != "" {
		var advice []string
		for _, w := range r.sweeps() {
			advice = append(advice, w.advice()...)
		}
		if r.Highest.Kind != "" {
			advice = append(advice, fmt.Sprintf("All limits held up to %s; that is what to plan one instance for, less what it has to bear when another one fails.", r.Highest))
		}
		return advice
	}
	c := r.capacity()
	if len(c.Levels) < 2 {
		return []string{"Throughput was measured at fewer than two levels of concurrency, so saturation, and with it capacity, cannot be told. " +
			"Run the scenarios concurrent-5 and concurrent-10 as well."}
	}
	last := c.Levels[len(c.Levels)-1]
	advice := []string{c.saturation(), c.addCapacity(), c.scaleOut()}
	if last.PeakPool > 0 {
		enlarge := "Enlarge it"
		if r.System.Name == "loadstone" {
			enlarge += " (-kv-bytes)"
		}
		advice = append(advice, poolAdvice(last, enlarge))
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
			last.Agents, rate(last.ReqPerS), rate(last.TokPerS), rate(c.Levels[0].ReqPerS), Plural(c.Levels[0].Agents, "agent"))
	}
	return fmt.Sprintf("One instance saturates at about %s: %s req/s (%s tok/s), against %s req/s at %d.",
		Plural(c.Knee.Agents, "concurrent agent"), rate(c.Knee.ReqPerS), rate(c.Knee.TokPerS), rate(last.ReqPerS), last.Agents)
}

func (c *Capacity) addCapacity() string {
	bound := "of saturation"
	if !c.Saturated {
		bound = "of the highest measured rate, a lower bound of what it bears"
	}
	return fmt.Sprintf("Add capacity when the sustained rate passes %s req/s (%.0f %% %s): beyond it waiting grows much faster than the load.",
		rate(headroom*c.Best), 100*headroom, bound)
}

// scaleOut says how many agents one instance holds within the latency targets: as measured where a level misses one, else
// by proportion, for beyond saturation latency grows with the agents; that is an extrapolation and says so.
func (c *Capacity) scaleOut() string {
	var holds Level
	for _, l := range c.Levels {
		name, figure, fraction := tightest(l.E2E)
		if fraction < 1 {
			holds = l
			continue
		}
		if holds.Agents == 0 {
			return fmt.Sprintf("Scaling out does not help: even %s misses the %s target (%s), so the time of a single request must fall first.",
				Plural(l.Agents, "agent"), name, figure)
		}
		return fmt.Sprintf("Scale out beyond %s per instance: %d were within all latency targets, %d miss %s (%s).",
			Plural(holds.Agents, "concurrent agent"), holds.Agents, l.Agents, name, figure)
	}
	last := c.Levels[len(c.Levels)-1]
	name, _, fraction := tightest(last.E2E)
	if !c.Saturated {
		return fmt.Sprintf("No need to scale out at %d agents: they use %s of the %s target, and throughput still grows.", last.Agents, percent(fraction), name)
	}
	const believable = 10 // no extrapolation further than this
	if agents := int(float64(last.Agents) / fraction); agents <= believable*last.Agents {
		return fmt.Sprintf("Scale out before about %d concurrent agents per instance: %d use %s of the %s target, and beyond saturation latency grows with the agents (an extrapolation; measure it).",
			agents, last.Agents, percent(fraction), name)
	}
	return fmt.Sprintf("No need to scale out at %d agents: they use %s of the %s target. Measure with more before trusting one instance with over %d.",
		last.Agents, percent(fraction), name, believable*last.Agents)
}

// tightest is the latency target that d comes nearest to, or misses by the most.
func tightest(d stats.Dist) (name, figure string, fraction float64) {
	for _, t := range []struct {
		name         string
		q            float64
		value, limit time.Duration
	}{{"p50", 0.50, d.P50, TargetP50}, {"p95", 0.95, d.P95, TargetP95}, {"p99", 0.99, d.P99, TargetP99}} {
		if !stats.Supports(d.N, t.q) && t.value < t.limit {
			continue
		}
		if f := float64(t.value) / float64(t.limit); f >= fraction {
			name, figure, fraction = t.name, duration(t.value), f
		}
	}
	return name, figure, fraction
}

func poolAdvice(last Level, enlarge string) string {
	agents := int(poolFull / (last.PeakPool / float64(last.Agents)))
	return fmt.Sprintf("The pool peaked at %s with %d agents; at that size per agent it refuses work from about %s in flight. %s or scale out before that.",
		percent(last.PeakPool), last.Agents, Plural(agents, "request"), enlarge)
}

func pressureAdvice(s *Scenario) string {
	sent, rejected, failed := s.Pooled.Requests, s.Pooled.Outcomes[record.Rejected], failures(s.Pooled)
	known := s.Pooled.PeakPool >= 0
	text := fmt.Sprintf("With %d agents at once", s.Agents)
	if known {
		text = fmt.Sprintf("Near exhaustion (pool peak %s)", percent(s.Pooled.PeakPool))
	}
	text += fmt.Sprintf(" %d of %s were answered", s.Pooled.Outcomes[record.OK], Plural(sent, "request"))
	if rejected > 0 {
		text += fmt.Sprintf(", %d refused with Retry-After", rejected)
	}
	if failed > 0 {
		return text + fmt.Sprintf(" and %d failed: do not run at this level until that is understood.", failed)
	}
	if !known {
		return text + " and none failed; how full its KV pool was, the server does not tell."
	}
	return text + " and none failed: a full pool costs latency, not answers."
}

package report

import (
	"fmt"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// advice is the recommendations for production, each a complete statement made from what was
// measured.
func (r *Report) advice() []string {
	if len(r.Results) > 0 && r.Results[0].Level.Kind != "" {
		var advice []string
		for _, w := range r.Sweeps() {
			advice = append(advice, w.advice()...)
		}
		if r.Highest.Kind != "" {
			advice = append(advice,
				fmt.Sprintf("All limits held up to %s; that is what to plan one instance for, "+
					"less what it has to bear when another one fails.", r.Highest))
		}
		return advice
	}
	c := r.capacity()
	if len(c.Points) < 2 {
		return []string{"Throughput was measured at fewer than two levels of concurrency, so " +
			"saturation, " +
			"and with it capacity, cannot be told. Measure with other numbers of agents as well."}
	}
	last := c.Points[len(c.Points)-1]
	advice := []string{c.saturation(), c.addCapacity(), c.scaleOut()}
	if last.PeakPool > 0 {
		advice = append(advice, r.poolAdvice(last))
	}
	if s := r.pressured(&c); s != nil {
		advice = append(advice, pressureAdvice(s))
	}
	return advice
}

func (c *capacity) saturation() string {
	last := c.Points[len(c.Points)-1]
	if !c.Saturated {
		return fmt.Sprintf("Throughput still grows at %d agents (%s req/s, %s tok/s; %s req/s "+
			"with %s): "+
			"saturation lies beyond what was measured.",
			last.Agents, table.Rate(last.ReqPerS), table.Rate(last.TokPerS),
			table.Rate(c.Points[0].ReqPerS), table.Plural(c.Points[0].Agents, "agent"))
	}
	return fmt.Sprintf("One instance saturates at about %s: %s req/s (%s tok/s), against %s "+
		"req/s at %d.",
		table.Plural(c.Knee.Agents, "concurrent agent"), table.Rate(c.Knee.ReqPerS),
		table.Rate(c.Knee.TokPerS),
		table.Rate(last.ReqPerS), last.Agents)
}

func (c *capacity) addCapacity() string {
	bound := "of saturation"
	if !c.Saturated {
		bound = "of the highest measured rate, a lower bound of what it bears"
	}
	return fmt.Sprintf("Add capacity when the sustained rate passes %s req/s (%.0f %% %s): "+
		"beyond it waiting grows much faster than the load.", table.Rate(headroom*c.Best),
		100*headroom, bound)
}

// scaleOut says how many agents one instance holds within the latency targets: as measured where a
// point misses one, else by proportion, for beyond saturation latency grows with the agents. That
// is an extrapolation, and the sentence says so.
func (c *capacity) scaleOut() string {
	var holds Point
	for _, p := range c.Points {
		name, figure, fraction := tightest(p.E2E)
		if fraction < 1 {
			holds = p
			continue
		}
		if holds.Agents == 0 {
			return fmt.Sprintf("Scaling out does not help: even %s misses the %s target (%s), "+
				"so the time of a single request must fall first.", table.Plural(p.Agents, "agent"),
				name, figure)
		}
		return fmt.Sprintf("Scale out beyond %s per instance: %d were within all latency "+
			"targets, %d miss %s (%s).",
			table.Plural(holds.Agents, "concurrent agent"), holds.Agents, p.Agents, name, figure)
	}
	last := c.Points[len(c.Points)-1]
	name, _, fraction := tightest(last.E2E)
	uses := fmt.Sprintf("%s of the %s target", table.Percent(fraction), name)
	if !c.Saturated {
		return fmt.Sprintf("No need to scale out at %d agents: they use %s, and throughput still "+
			"grows.", last.Agents, uses)
	}
	const believable = 10 // times as many agents: an extrapolation goes no further
	if agents := int(float64(last.Agents) / fraction); agents <= believable*last.Agents {
		return fmt.Sprintf("Scale out before about %d concurrent agents per instance: %d use %s, "+
			"and beyond saturation latency grows with the agents (an extrapolation; measure it).",
			agents, last.Agents, uses)
	}
	return fmt.Sprintf("No need to scale out at %d agents: they use %s. "+
		"Measure with more before trusting one instance with over %d.", last.Agents, uses,
		believable*last.Agents)
}

// tightest is the latency target that d comes nearest to, or misses by the most.
func tightest(d stats.Dist) (name, figure string, fraction float64) {
	for _, t := range []struct {
		name         string
		q            float64
		value, limit time.Duration
	}{{"p50", 0.50, d.P50, TargetP50}, {"p95", 0.95, d.P95, TargetP95},
		{"p99", 0.99, d.P99, TargetP99}} {
		if !stats.Supports(d.N, t.q) && t.value < t.limit {
			continue
		}
		if f := float64(t.value) / float64(t.limit); f >= fraction {
			name, figure, fraction = t.name, table.Duration(t.value), f
		}
	}
	return name, figure, fraction
}

// poolAdvice says how many agents the pool has room for, if each takes as much as at the last
// point.
func (r *Report) poolAdvice(last Point) string {
	enlarge := "Enlarge it"
	if r.System.Name == "loadstone" {
		enlarge += " (-kv-bytes)"
	}
	agents := int(r.System.PoolLimit() / (last.PeakPool / float64(last.Agents)))
	return fmt.Sprintf("The pool peaked at %s with %d agents; at that size per agent it refuses "+
		"work from about %s in flight. "+
		"%s or scale out before that.",
		table.Percent(last.PeakPool), last.Agents, table.Plural(agents, "request"), enlarge)
}

// pressureAdvice says what became of a load that put the pool under pressure.
func pressureAdvice(s *Result) string {
	sent, rejected, failed := s.Pooled.Requests, s.Pooled.Outcomes[record.Rejected],
		s.Pooled.Errors()
	known := s.Pooled.PeakPool >= 0
	text := fmt.Sprintf("With %d agents at once", s.Agents)
	if known {
		text = fmt.Sprintf("Near exhaustion (pool peak %s)", table.Percent(s.Pooled.PeakPool))
	}
	text += fmt.Sprintf(" %d of %s were answered", s.Pooled.Outcomes[record.OK],
		table.Plural(sent, "request"))
	if rejected > 0 {
		text += fmt.Sprintf(", %d refused with Retry-After", rejected)
	}
	if failed > 0 {
		return text + fmt.Sprintf(" and %d failed: do not run at this level until that is "+
			"understood.", failed)
	}
	if !known {
		return text + " and none failed; how full its KV pool was, the server does not tell."
	}
	return text + " and none failed: a full pool costs latency, not answers."
}

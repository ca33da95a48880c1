package report

import (
	"cmp"
	"slices"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// kneeShare is the part of the highest measured throughput at which the server counts as saturated:
// beyond the fewest agents that reach it, more agents buy latency and little else.
const kneeShare = 0.9

// headroom is the load at which to add capacity, as a part of the saturated one. Queueing delay
// grows as 1/(1-load): at 70 % a request waits about twice its own service time, at 90 % nine
// times.
const headroom = 0.7

// nearlyFull is the part of the pool that the server gives away from which on a load counts as one
// that puts the pool under pressure.
const nearlyFull = 0.95

// A capacity is what the measured numbers of agents say of the load that one instance bears.
type capacity struct {
	Points []Point // ascending by agents, one for each number; alike in cache state, if possible
	Knee   Point   // the fewest agents that reach kneeShare of the best throughput
	Best   float64 // highest measured req/s

	Saturated bool // throughput stopped growing within the points; if not, Best is a lower bound
}

// capacity picks one result for each number of agents. Those that put the pool under pressure are
// left out: they measure refusals.
func (r *Report) capacity() capacity {
	var c capacity
	concurrent := r.concurrent()
	if len(concurrent) == 0 {
		return c
	}
	if lone := r.lone(concurrent[0]); lone != nil && lone.Pooled.RequestsPerSec > 0 {
		c.Points = append(c.Points, newPoint(lone, 1))
	}
	for _, s := range concurrent {
		c.Points = append(c.Points, newPoint(s, float64(s.Agents)))
	}
	for _, p := range c.Points {
		c.Best = max(c.Best, p.ReqPerS)
	}
	for _, p := range c.Points {
		if p.ReqPerS >= kneeShare*c.Best {
			c.Knee = p
			break
		}
	}
	c.Saturated = len(c.Points) > 1 && c.Knee.Agents < c.Points[len(c.Points)-1].Agents
	return c
}

// concurrent are the results of several agents at a time, ascending and one for each number, in the
// state of the caches that has the most of them.
func (r *Report) concurrent() []*Result {
	byCache := map[load.Cache][]*Result{}
	for i := range r.Results {
		s := &r.Results[i]
		if s.Agents < 2 || s.Level.Kind != "" || s.Pooled.RequestsPerSec == 0 ||
			r.underPressure(s) {
			continue
		}
		byCache[s.Cache] = append(byCache[s.Cache], s)
	}
	var all []*Result
	for _, cache := range []load.Cache{load.Hot, load.Restored, load.Cold, ""} {
		own := byCache[cache]
		slices.SortStableFunc(own, func(a, b *Result) int {
			return cmp.Compare(a.Agents, b.Agents)
		})
		own = slices.CompactFunc(own, func(a, b *Result) bool { return a.Agents == b.Agents })
		if len(own) > len(all) {
			all = own
		}
	}
	return all
}

// underPressure reports whether a load put the server's pool under pressure: the pool was nearly as
// full as it gets, or, where the server does not say how full it was, work was refused.
func (r *Report) underPressure(s *Result) bool {
	if s.Pooled.PeakPool < 0 {
		return s.Pooled.Outcomes[record.Rejected] > 0
	}
	return s.Pooled.PeakPool >= nearlyFull*r.System.PoolLimit()
}

// pressured is the result that says what a full pool costs: of those under pressure the one with
// the most agents. Where the server does not say how full its pool was, it is the one with more
// agents than the capacity is judged by, if there is one; otherwise nil.
func (r *Report) pressured(c *capacity) *Result {
	var found *Result
	beyond := 0
	for _, p := range c.Points {
		beyond = max(beyond, p.Agents)
	}
	for i := range r.Results {
		s := &r.Results[i]
		if s.Pooled.Requests == 0 || s.Level.Kind != "" {
			continue
		}
		full := r.underPressure(s) || s.Pooled.PeakPool < 0 && beyond > 0 && s.Agents > beyond
		if full && (found == nil || s.Agents > found.Agents) {
			found = s
		}
	}
	return found
}

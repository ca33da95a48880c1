package load

import (
	"cmp"
	"fmt"
	"iter"
	"time"
)

// Arrivals is when the agents of an open loop arrive after the load's start, one after the other.
// None is kept, so a load takes no more memory the longer it is. A closed loop has none: there the
// server decides when the next agent can begin.
func (l *Load) Arrivals() iter.Seq[time.Duration] {
	n := l.Requests
	if n == 0 {
		n = l.MaxAgents()
	}
	switch {
	case l.AsRecorded:
		return l.asRecorded(min(n, len(l.Sessions)), func(i int) time.Duration {
			return l.Sessions[i].At
		})
	case l.Trace != nil:
		return l.asRecorded(min(n, len(l.Trace)), func(i int) time.Duration {
			return l.Trace[i].At
		})
	case l.Rate != nil && l.Gaps > 0:
		return Gamma(l.Rate, l.Gaps, l.Seeds.Schedule, n, l.Duration)
	case l.Rate != nil:
		return l.paced(l.Rate, n)
	case l.once():
		return l.paced(l.Burst, min(n, l.Burst.Size))
	case l.Burst.Size > 0:
		return l.paced(l.Burst, n)
	}
	return func(func(time.Duration) bool) {}
}

func (l *Load) paced(p Pacer, n int) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for i := range n {
			t := p.Due(i)
			if t == neverDue || l.Duration > 0 && t >= l.Duration || !yield(t) {
				return
			}
		}
	}
}

// asRecorded returns the times at which n recorded arrivals come at the load's speed, the first at
// once. at returns the recorded time of the i-th.
func (l *Load) asRecorded(n int, at func(i int) time.Duration) iter.Seq[time.Duration] {
	speed := cmp.Or(l.Speed, 1)
	return func(yield func(time.Duration) bool) {
		for i := range n {
			t := time.Duration(float64(at(i)-at(0)) / speed)
			if l.Duration > 0 && t >= l.Duration || !yield(t) {
				return
			}
		}
	}
}

// String is the rate in words.
func (p Profile) String() string {
	if len(p) == 1 && p[0].Over == 0 {
		return fmt.Sprintf("%g/s", p[0].To)
	}
	if len(p) == 1 {
		return fmt.Sprintf("%g/s to %g/s over %v", p[0].From, p[0].To, p[0].Over)
	}
	s := "steps"
	for _, part := range p {
		s += fmt.Sprintf(" %g/s", part.To)
	}
	return fmt.Sprintf("%s each %v", s, p[0].Over)
}

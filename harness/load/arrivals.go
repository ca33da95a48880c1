package load

import (
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
		return l.sessionsAsRecorded(n)
	case l.Trace != nil:
		return l.traced(n)
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

// traced is when the requests of the trace are due, the first at once.
func (l *Load) traced(n int) iter.Seq[time.Duration] {
	speed := l.Speed
	if speed == 0 {
		speed = 1
	}
	return func(yield func(time.Duration) bool) {
		for _, r := range l.Trace[:min(n, len(l.Trace))] {
			t := time.Duration(float64(r.At-l.Trace[0].At) / speed)
			if l.Duration > 0 && t >= l.Duration || !yield(t) {
				return
			}
		}
	}
}

// sessionsAsRecorded is when recorded sessions come, the first at once.
func (l *Load) sessionsAsRecorded(n int) iter.Seq[time.Duration] {
	speed := l.Speed
	if speed == 0 {
		speed = 1
	}
	return func(yield func(time.Duration) bool) {
		for _, s := range l.Sessions[:min(n, len(l.Sessions))] {
			t := time.Duration(float64(s.At-l.Sessions[0].At) / speed)
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

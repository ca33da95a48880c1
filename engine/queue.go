package engine

import "slices"

// A queue holds the sequences that wait: first come, first served within one agent's line, and
// round robin between the agents. An agent with fifty requests waits as long for its second as
// one with a single request waits for its first.
//
// All anonymous requests count as one agent's.
type queue struct {
	byAgent map[string]*line
	lines   []*line // never empty ones, the next in turn first
	n       int     // sequences in all lines
}

// A line holds the sequences of one agent.
type line struct {
	agent   string
	waiting []*sequence
}

func newQueue() queue { return queue{byAgent: make(map[string]*line)} }

// push adds a sequence to the end of its agent's line. The line of an agent new to the queue comes
// after all others.
func (q *queue) push(s *sequence) {
	l := q.byAgent[s.agent]
	if l == nil {
		l = &line{agent: s.agent}
		q.byAgent[s.agent] = l
		q.lines = append(q.lines, l)
	}
	l.waiting = append(l.waiting, s)
	q.n++
}

// head returns the first sequence of the i-th line, without removing it.
func (q *queue) head(i int) *sequence { return q.lines[i].waiting[0] }

// pop removes head(i), and its line goes to the end.
func (q *queue) pop(i int) {
	l := q.lines[i]
	q.lines = slices.Delete(q.lines, i, i+1)
	l.waiting = l.waiting[1:]
	q.n--
	if len(l.waiting) > 0 {
		q.lines = append(q.lines, l)
	} else {
		delete(q.byAgent, l.agent)
	}
}

// remove takes the sequence with an id out, wherever it waits, and reports whether it was there. A
// line keeps its place when its head is removed.
func (q *queue) remove(id uint64) (*sequence, bool) {
	for i, l := range q.lines {
		j := slices.IndexFunc(l.waiting, func(s *sequence) bool { return s.id == id })
		if j < 0 {
			continue
		}
		s := l.waiting[j]
		l.waiting = slices.Delete(l.waiting, j, j+1)
		q.n--
		if len(l.waiting) == 0 {
			q.lines = slices.Delete(q.lines, i, i+1)
			delete(q.byAgent, l.agent)
		}
		return s, true
	}
	return nil, false
}

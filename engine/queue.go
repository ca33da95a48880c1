package engine

import "slices"

// A queue holds the sequences that wait: first come, first served among those of one agent, and the agents in turns. An
// agent with fifty requests waits as long for its second as one with a single request waits for its first.
//
// All anonymous requests are one agent's.
type queue struct {
	lines map[string]*line
	turns []*line // the agents with somebody waiting, the next turn first
	n     int     // sequences, all lines together
}

type line struct {
	agent   string
	waiting []*sequence // never empty
}

func newQueue() queue { return queue{lines: make(map[string]*line)} }

// push adds a sequence to the end of its agent's line. An agent new to the queue has its turn after all others.
func (q *queue) push(s *sequence) {
	l := q.lines[s.agent]
	if l == nil {
		l = &line{agent: s.agent}
		q.lines[s.agent] = l
		q.turns = append(q.turns, l)
	}
	l.waiting = append(l.waiting, s)
	q.n++
}

// head is the sequence whose turn is i-th, without removing it.
func (q *queue) head(i int) *sequence { return q.turns[i].waiting[0] }

// pop removes head(i), and its agent goes to the end of the turns.
func (q *queue) pop(i int) {
	l := q.turns[i]
	q.turns = slices.Delete(q.turns, i, i+1)
	l.waiting = l.waiting[1:]
	q.n--
	if len(l.waiting) > 0 {
		q.turns = append(q.turns, l)
	} else {
		delete(q.lines, l.agent)
	}
}

// remove takes the sequence with an id out, wherever it stands, and reports whether it was there. An agent whose head
// leaves this way keeps its turn.
func (q *queue) remove(id uint64) (*sequence, bool) {
	for i, l := range q.turns {
		j := slices.IndexFunc(l.waiting, func(s *sequence) bool { return s.id == id })
		if j < 0 {
			continue
		}
		s := l.waiting[j]
		l.waiting = slices.Delete(l.waiting, j, j+1)
		q.n--
		if len(l.waiting) == 0 {
			q.turns = slices.Delete(q.turns, i, i+1)
			delete(q.lines, l.agent)
		}
		return s, true
	}
	return nil, false
}

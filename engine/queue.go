package engine

import (
	"slices"

	"loadstone/engine/internal/kv"
)

// A queue holds the sequences that wait: first come, first served within one agent's line, and
// round robin between the agents. An agent with fifty requests waits as long for its second as
// one with a single request waits for its first.
//
// All anonymous requests count as one agent's.
type queue struct {
	byAgent map[kv.Agent]*line
	lines   []*line // never empty ones, the next in turn first
	n       int     // sequences in all lines
}

// A line holds the sequences of one agent.
type line struct {
	agent   kv.Agent
	waiting []*sequence
}

func newQueue() queue { return queue{byAgent: make(map[kv.Agent]*line)} }

// push adds a sequence to the end of its agent's line. The line of an agent new to the queue comes
// after all others.
func (w *queue) push(q *sequence) {
	l := w.byAgent[q.who.Agent]
	if l == nil {
		l = &line{agent: q.who.Agent}
		w.byAgent[q.who.Agent] = l
		w.lines = append(w.lines, l)
	}
	l.waiting = append(l.waiting, q)
	w.n++
}

// head returns the first sequence of the i-th line, without removing it.
func (w *queue) head(i int) *sequence { return w.lines[i].waiting[0] }

// pop removes head(i), and its line goes to the end.
func (w *queue) pop(i int) {
	l := w.lines[i]
	w.lines = slices.Delete(w.lines, i, i+1)
	l.waiting = l.waiting[1:]
	w.n--
	if len(l.waiting) > 0 {
		w.lines = append(w.lines, l)
	} else {
		delete(w.byAgent, l.agent)
	}
}

// remove takes the sequence with an id out, wherever it waits, and reports whether it was there. A
// line keeps its place when its head is removed.
func (w *queue) remove(id uint64) (*sequence, bool) {
	for i, l := range w.lines {
		j := slices.IndexFunc(l.waiting, func(q *sequence) bool { return q.id == id })
		if j < 0 {
			continue
		}
		q := l.waiting[j]
		l.waiting = slices.Delete(l.waiting, j, j+1)
		w.n--
		if len(l.waiting) == 0 {
			w.lines = slices.Delete(w.lines, i, i+1)
			delete(w.byAgent, l.agent)
		}
		return q, true
	}
	return nil, false
}

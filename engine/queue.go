package engine

import (
	"slices"

	"loadstone/engine/internal/kv"
)

// A queue holds the sequences that wait: first come, first served within one agent's line, round
// robin between the agents of a principal, and round robin between the principals. A principal, or
// an agent, with fifty requests waits as long for its second as one with a single request waits for
// its first.
//
// All anonymous requests of a principal count as one agent's.
type queue struct {
	byID    map[uint64]*sequence // all that wait
	byAgent map[kv.Agent]*line
	groups  []*group // never empty ones, the next in turn first
}

// A group holds the lines of one principal.
type group struct {
	principal string
	lines     []*line // never empty ones, the next in turn first
}

// A line holds the sequences of one agent.
type line struct {
	agent   kv.Agent
	waiting []*sequence
}

func newQueue() queue {
	return queue{byID: make(map[uint64]*sequence), byAgent: make(map[kv.Agent]*line)}
}

// push adds a sequence to the end of its agent's line. The line of an agent new to the queue comes
// after all others.
func (w *queue) push(q *sequence) {
	l := w.byAgent[q.who.Agent]
	if l == nil {
		l = &line{agent: q.who.Agent}
		w.byAgent[q.who.Agent] = l
		g := w.group(l.agent.Principal)
		g.lines = append(g.lines, l)
	}
	l.waiting = append(l.waiting, q)
	w.byID[q.id] = q
}

// group returns the lines of a principal. A principal new to the queue comes after all others.
func (w *queue) group(principal string) *group {
	i := slices.IndexFunc(w.groups, func(g *group) bool { return g.principal == principal })
	if i >= 0 {
		return w.groups[i]
	}
	g := &group{principal: principal}
	w.groups = append(w.groups, g)
	return g
}

// place returns where the i-th line in turn is: the first lines of all groups come first, then
// their second ones, and so on. There must be one.
func (w *queue) place(i int) (group, line int) {
	for ; ; line++ {
		for group = range w.groups {
			if line < len(w.groups[group].lines) {
				if i == 0 {
					return group, line
				}
				i--
			}
		}
	}
}

// lines returns how many there are.
func (w *queue) lines() int { return len(w.byAgent) }

// head returns the first sequence of the i-th line in turn, without removing it.
func (w *queue) head(i int) *sequence {
	g, l := w.place(i)
	return w.groups[g].lines[l].waiting[0]
}

// pop removes head(i). Its line goes to the end of its group, and the group to the end of all.
func (w *queue) pop(i int) {
	at, n := w.place(i)
	g := w.groups[at]
	l := g.lines[n]
	g.lines = slices.Delete(g.lines, n, n+1)
	w.groups = slices.Delete(w.groups, at, at+1)
	delete(w.byID, l.waiting[0].id)
	l.waiting = l.waiting[1:]
	if len(l.waiting) > 0 {
		g.lines = append(g.lines, l)
	} else {
		delete(w.byAgent, l.agent)
	}
	if len(g.lines) > 0 {
		w.groups = append(w.groups, g)
	}
}

// remove takes the sequence with an id out, wherever it waits, and reports whether it was there. A
// line keeps its place when its head is removed.
func (w *queue) remove(id uint64) (*sequence, bool) {
	q := w.byID[id]
	if q == nil {
		return nil, false
	}
	delete(w.byID, id)
	l := w.byAgent[q.who.Agent]
	j := slices.Index(l.waiting, q)
	l.waiting = slices.Delete(l.waiting, j, j+1)
	if len(l.waiting) == 0 {
		delete(w.byAgent, l.agent)
		g := w.group(l.agent.Principal)
		i := slices.Index(g.lines, l)
		if g.lines = slices.Delete(g.lines, i, i+1); len(g.lines) == 0 {
			i = slices.Index(w.groups, g)
			w.groups = slices.Delete(w.groups, i, i+1)
		}
	}
	return q, true
}

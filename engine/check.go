package engine

import (
	"fmt"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// check counts everything again, from the sequences and memories up, and panics where the books
// differ. It takes time in proportion to the whole pool: the engine calls it after each step in
// builds with invariants on, tests wherever they like.
func (s *sched) check() {
	running := make([]kv.Holder, len(s.running))
	for i, q := range s.running {
		s.checkSequence(q)
		room := q.computed + q.claimed
		if s.planned {
			room += q.chunk + len(q.draft)
		}
		running[i] = kv.Holder{
			ID:        q.id,
			Claim:     &q.claim,
			Tokens:    q.tokens[:q.computed],
			Room:      room,
			Restoring: q.restoring,
		}
	}
	s.store.Check(running)

	waiting := 0
	lines := 0
	for _, g := range s.queue.groups {
		expect(len(g.lines) > 0, "a principal's part of the queue is empty")
		for _, l := range g.lines {
			expect(len(l.waiting) > 0 && s.queue.byAgent[l.agent] == l &&
				l.agent.Principal == g.principal, "line of an agent is empty or lost")
			waiting += len(l.waiting)
			lines++
		}
	}
	expect(waiting == len(s.queue.byID) && len(s.queue.byAgent) == lines,
		"%d sequences wait, the queue says %d", waiting, len(s.queue.byID))
}

func (s *sched) checkSequence(q *sequence) {
	expect(q.claimed == 0 || q.restoring,
		"sequence %d has claimed %d tokens and restores nothing", q.id, q.claimed)
	expect(q.computed < len(q.tokens), "sequence %d has nothing left to compute", q.id)
	expect(!q.decoding() || q.rest() <= snapshot.MaxUncomputed,
		"sequence %d decodes and has %d tokens left to compute", q.id, q.rest())
}

func expect(ok bool, format string, args ...any) {
	if !ok {
		panic("engine: invariant broken: " + fmt.Sprintf(format, args...))
	}
}

package engine

import "loadstone/engine/internal/kv"

// How a sequence that does not fit yet lets others pass; sched says why.
const (
	maxPassed = 16 // times it may be passed before nothing else may start
	lookahead = 8  // lines of the queue whose heads are looked at
)

// admit starts every sequence that may start now.
//
// If there are several principals, one that already has running sequences leaves room for the
// others: places in the batch for as many of them as there are, up to half of the places, and a
// quarter of the pool. So a principal without a running sequence does not wait for another's
// answers to end, however many requests the other has sent. Since nothing is preempted, there is
// no other way to ensure that. A sequence that its principal may not start holds up only sequences
// of that principal.
func (s *sched) admit() {
	for i := 0; i < min(s.queue.lines(), lookahead) && len(s.running) < s.maxBatch; {
		q := s.queue.head(i)
		if q.waitsForOwn = !s.mayStart(q); q.waitsForOwn {
			i++
			continue
		}
		m := s.store.Match(&q.who, q.tokens, s.match[:0])
		s.match = m.Blocks
		restores := s.restores(q, &m)
		terms := s.store.Terms(&m, extentOf(q.prompt, q.max, q.sure, s.stepTokens), restores)
		q.waitsForOwn = !s.store.Within(terms, s.maxRunning())
		if q.waitsForOwn || !s.store.Affords(terms) {
			i++
			continue
		}
		if !s.pass(i) {
			return
		}
		s.queue.pop(i)
		q.restoring = restores
		s.start(q, &m, terms)
	}
}

// pass lets head i start before those of earlier lines, and reports whether it may: not when one of
// them has been passed often enough.
func (s *sched) pass(i int) bool {
	for j := range i {
		if h := s.queue.head(j); h.passed == maxPassed && !h.waitsForOwn {
			return false
		}
	}
	for j := range i {
		if h := s.queue.head(j); !h.waitsForOwn {
			h.passed++
		}
	}
	return true
}

// mayStart reports whether a sequence's principal may have one more place in the batch.
func (s *sched) mayStart(q *sequence) bool {
	n := 0
	for _, r := range s.running {
		if r.principal() == q.principal() {
			n++
		}
	}
	reserved := min(max(s.principals-1, 0), s.maxBatch/2)
	return n == 0 || n < s.maxBatch-reserved
}

// maxRunning returns what one principal's running sequences may have.
func (s *sched) maxRunning() kv.Limit {
	if s.principals < 2 {
		return kv.Limit{}
	}
	return kv.Limit{Blocks: s.store.Blocks * 3 / 4, Slots: s.store.WindowSlots * 3 / 4}
}

// start gives a sequence what it shares and the promise of what it may need.
func (s *sched) start(q *sequence, m *kv.Match, t kv.Terms) {
	q.cached, q.computed, q.branch = m.Tokens, m.Tokens, m.Branch
	q.miss = s.store.Miss(&q.who, q.tokens, q.cached)
	s.takeDrafter(q)
	c := s.store.Start(&q.claim, &q.who, m, t)
	s.keepBranch(q)
	if c.Dst != kv.None {
		s.batch.copies = append(s.batch.copies, c)
		s.batch.copiers = append(s.batch.copiers, q)
	}
	s.running = append(s.running, q)
	s.batch.admitted = append(s.batch.admitted, q)
	s.counters.admitted++
}

// restores reports whether a sequence that is about to start is first given what its agent has on
// disk: when the pool has less of it than there was. If the prompt leaves the cached tokens
// within a block, it leaves those on disk there as well, so a restore would add nothing.
func (s *sched) restores(q *sequence, m *kv.Match) bool {
	return s.restorable != nil && !q.who.Agent.Anonymous() && m.Tokens < q.prompt-1 && m.Part == 0 &&
		s.store.Agent(q.who.Agent).Partial() && s.restorable(&q.who)
}

package engine

// A sequence that restores is admitted like any other, then claims blocks for what it finds on
// disk, and computes nothing until Resume.

// Claim takes blocks for the next n tokens of a sequence that restores. It returns the sequence's
// blocks and the first of them that is new. Those from block firstSlot on get window slots;
// firstSlot is the same in all calls, at most a window before the last token that will be
// restored. The blocks must be filled before Resume, or the sequence be given up with Abandon.
func (s *sched) Claim(q *sequence, n, firstSlot int) (blocks []int32, first int) {
	s.mustBeBetween("Claim")
	first = len(q.claim.Blocks)
	q.claimed += n
	s.store.GrowRestoring(&q.claim, q.computed+q.claimed, firstSlot)
	return q.claim.Blocks, first
}

// Resume ends a restore, whatever it has yielded. miss says why it was not more (see Start.Miss).
// What was restored is given back if window slots are missing at its end, because then it is of
// no use.
func (s *sched) Resume(q *sequence, miss string) {
	s.mustBeBetween("Resume")
	if q.claimed > 0 && !s.store.Restored(&q.claim, q.computed+q.claimed) {
		s.unclaim(q)
	}
	q.chunk, q.claimed = q.claimed, 0
	q.cached += q.chunk
	q.restored += q.chunk
	q.restoring = false
	q.miss = miss
	s.advance(q)
	q.chunk = 0
}

// unclaim gives back the blocks of a restore, which began at a block's end.
func (s *sched) unclaim(q *sequence) {
	if q.claimed > 0 {
		s.store.Undo(&q.claim, q.computed/s.store.BlockTokens)
		q.claimed = 0
	}
}

// Abandon ends a sequence because the contents of its claimed blocks are unknown.
func (s *sched) Abandon(q *sequence) event {
	s.mustBeBetween("Abandon")
	return s.end(q, noToken, FinishError)
}

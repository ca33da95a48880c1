package engine

// Claim makes room for the next n tokens of a sequence that restores and returns its blocks and the first of them that is
// new. Those from block from on get locals; from is the same in all calls, no more than a window before the last token
// that will be restored. What was claimed must be filled before Resume, or the sequence be given up with Abandon.
func (s *sched) Claim(q *sequence, n, from int) (blocks []int32, first int) {
	s.between("Claim")
	first = len(q.blocks)
	q.claimed += n
	q.from = from
	s.grow(q, q.computed+q.claimed, from)
	return q.blocks, first
}

// Resume ends a restore, whatever it yielded. miss says why it was not more, as Result.Miss does. What was restored is of
// use when all locals in the window at its end are there; else it is given back.
func (s *sched) Resume(q *sequence, miss string) {
	s.between("Resume")
	l, first, end := &s.store.local, len(q.blocks), q.computed+q.claimed
	if q.claimed > 0 {
		first = q.computed / s.store.index.blockTokens
	}
	if l.low(end) < q.from && q.from > first {
		s.unclaim(q)
	}
	if q.claimed > 0 && q.from > first { // there is a gap behind what it began with, and all of that is out of the window
		for ; q.low < first; q.low++ {
			l.unpin(q.blocks[q.low], q.low >= q.stay)
			q.locals++
			l.pay(1)
		}
		q.low = q.from
	}
	q.chunk, q.claimed = q.claimed, 0
	q.cached += q.chunk
	q.restored += q.chunk
	q.restoring = false
	q.miss = miss
	s.advance(q)
	q.chunk = 0
}

// unclaim gives back the blocks of a restore.
func (s *sched) unclaim(q *sequence) {
	if q.claimed == 0 {
		return
	}
	first := q.computed / s.store.index.blockTokens // it began at a block's end
	for i := first; i < len(q.blocks); i++ {
		if s.store.local.window > 0 && i >= q.from {
			s.store.local.unpin(q.blocks[i], i >= q.stay)
			s.store.local.pay(1)
			q.locals++
		}
		s.store.release(q.blocks[i])
		s.store.pool.reserve(1)
		q.reserved++
	}
	q.blocks = q.blocks[:first]
	q.claimed = 0
}

// Abandon ends a sequence because what was written to its claimed blocks is unknown.
func (s *sched) Abandon(q *sequence) event {
	s.between("Abandon")
	return s.end(q, noToken, FinishError)
}

// catchUp takes over the blocks that others have computed since the sequence was admitted: of many that arrive together
// with one system prompt, the first computes it.
func (s *sched) catchUp(q *sequence) {
	size := s.store.index.blockTokens
	for q.computed%size == 0 && q.computed+size < q.prompt {
		b := s.store.share(q.last(), q.tokens[q.computed:q.computed+size], len(q.blocks) >= q.stay)
		if b == none {
			return
		}
		q.blocks = append(q.blocks, b)
		q.computed += size
		q.cached += size
		q.reserved--
		if s.store.local.window > 0 {
			q.locals--
		}
		s.remember(q)
		s.slide(q)
	}
}

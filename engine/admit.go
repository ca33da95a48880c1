package engine

import "slices"

// What a sequence that does not fit yet lets pass; sched says why.
const (
	patience  = 16 // times it may be passed before nobody else may start
	lookahead = 8  // heads of the queue that are looked at
)

// admit starts every sequence that may start now.
func (s *sched) admit() {
	for i := 0; i < min(len(s.queue.turns), lookahead) && len(s.running) < s.maxBatch; {
		q := s.queue.head(i)
		m := s.store.match(q.agent, q.tokens, s.match[:0])
		s.match = m.blocks
		grow := need(q.prompt, q.most, s.store.index.blockTokens) - len(m.blocks)
		if m.move {
			grow--
		}
		restoring := s.restorable(q, m)
		price, locals := s.price(q, m, restoring)
		if grow+m.idle > s.store.pool.available() || price+locals > s.store.local.available() {
			i++
			continue
		}
		if !s.pass(i) {
			return
		}
		s.queue.pop(i)
		q.restoring = restoring
		s.start(q, m, grow, locals)
	}
}

// price is what it costs to pin the locals of a match, and how many more have to be promised to the sequence.
func (s *sched) price(q *sequence, m match, restoring bool) (price, locals int) {
	l := &s.store.local
	if l.window == 0 {
		return 0, 0
	}
	q.stay = l.low(q.prompt + q.most - 1)
	pinned := m.blocks[m.low:]
	for i, b := range pinned {
		price += l.price(b, m.low+i >= q.stay)
	}
	n := len(pinned)
	if m.move {
		price += l.price(m.tail, len(m.blocks) >= q.stay)
		n++
	}
	most := s.mostLocals(q, m.tokens(l.blockTokens))
	if restoring { // it keeps what it begins with until the restore has come to its end
		most = min(need(q.prompt, q.most, l.blockTokens)-m.low, max(most, n+l.span()))
	}
	return price, most - n
}

// mostLocals is how many locals a sequence may have pinned at once from when computed tokens of it are.
func (s *sched) mostLocals(q *sequence, computed int) int {
	l := &s.store.local
	if l.window == 0 {
		return 0
	}
	chunk := 1
	if computed < q.prompt {
		chunk = min(q.prompt-computed, s.stepTokens)
	}
	return min(need(q.prompt, q.most, l.blockTokens)-l.low(computed), l.atOnce(chunk))
}

// pass lets head i start before those whose turn comes earlier, unless one of them has been passed often enough.
func (s *sched) pass(i int) bool {
	for j := range i {
		if s.queue.head(j).passed == patience {
			return false
		}
	}
	for j := range i {
		s.queue.head(j).passed++
	}
	return true
}

// start gives a sequence what it shares and the promise of what it may need.
func (s *sched) start(q *sequence, m match, grow, locals int) {
	q.cached = m.tokens(s.store.index.blockTokens)
	q.computed = q.cached
	q.miss = s.store.miss(q.agent, q.tokens, q.cached)
	q.reserved, q.locals, q.low, q.branch = grow, locals, m.low, m.branch
	var c copyKV
	q.blocks, c = s.store.take(q.agent, m, grow, locals, q.stay)
	if m.part > 0 && !m.move {
		q.reserved--
		if s.store.local.window > 0 {
			q.locals--
		}
	}
	s.remember(q)
	if c.dst != none {
		s.batch.copies = append(s.batch.copies, c)
		s.batch.copiers = append(s.batch.copiers, q)
	}
	s.running = append(s.running, q)
	s.batch.admitted = append(s.batch.admitted, q)
	s.stats.Admitted++
}

// restorable reports whether a sequence that is about to start should first be given what its agent has on disk: when
// the pool has less of that than there was. A prompt that leaves the cache within a block leaves the disk there as well.
func (s *sched) restorable(q *sequence, m match) bool {
	return s.warm != nil && q.agent != "" && m.tokens(s.store.index.blockTokens) < q.prompt-1 && m.part == 0 &&
		s.store.agents[q.agent].behind() && s.warm(q.agent)
}

// remember keeps the blocks that a sequence begins with as others do, because more may come who do: a system prompt whose
// locals nobody holds is of no use to them.
func (s *sched) remember(q *sequence) {
	n := q.branch * s.store.index.blockTokens
	if q.branch == 0 || q.computed < n || q.restoring {
		return
	}
	if s.store.local.window > 0 && q.low <= s.store.local.low(n) {
		s.store.keepAnonymous(slices.Clone(q.tokens[:n]), slices.Clone(q.blocks[:q.branch]))
	}
	q.branch = 0
}

// slide lets go of the locals that are no longer in a sequence's window, and of what it cannot need any more of those it
// was promised.
func (s *sched) slide(q *sequence) {
	l := &s.store.local
	if l.window == 0 {
		return
	}
	for low := l.low(q.computed); q.low < low; q.low++ {
		l.unpin(q.blocks[q.low], q.low >= q.stay)
	}
	most := s.mostLocals(q, q.computed) - (len(q.blocks) - q.low)
	l.pay(most - q.locals)
	q.locals = most
}

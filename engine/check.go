package engine

import (
	"fmt"
	"slices"
)

// check counts everything again from the sequences and memories up and panics where the books differ. It is O(everything):
// the engine calls it before and after each step in builds with invariants on, tests wherever they like.
func (s *sched) check() {
	st := &s.store
	pins, holds := make([]int32, len(st.pool.blocks)), make([]int32, len(st.pool.blocks))
	reserved, promised := 0, 0
	locals := make([]local, len(st.local.all)) // by local: the pins and holds there ought to be
	for _, q := range s.running {
		s.checkSequence(q)
		reserved += q.reserved
		promised += q.locals
		for i, b := range q.blocks {
			pins[b]++
			if s.pins(q, i) {
				expect(st.local.of[b] != none, "sequence %d has block %d in its window, without a local", q.id, b)
				if x := &locals[st.local.of[b]]; i >= q.stay {
					x.stay++
				} else {
					x.pass++
				}
			}
		}
	}
	memories := 0
	for e := st.used.Front(); e != nil; e = e.Next() {
		m := e.Value.(*memory)
		st.checkMemory(m)
		memories++
		for i, b := range m.blocks {
			holds[b]++
			if i >= m.low {
				expect(st.local.of[b] != none, "memory has block %d at its end, without a local", b)
				locals[st.local.of[b]].holds++
			}
		}
	}
	expect(memories == len(st.agents)+len(st.anonymous), "%d memories by use, %d by agent, %d anonymous", memories, len(st.agents), len(st.anonymous))
	expect(reserved == st.pool.reserved, "%d blocks reserved, sequences have promises of %d", st.pool.reserved, reserved)
	st.pool.check(pins, holds)
	st.local.check(locals, promised)
	for x := range st.local.all {
		if b := st.local.all[x].block; b != none && st.pool.isFree(b) {
			broken("local %d is of free block %d", x, b)
		}
	}
	st.checkIndex()

	waiting := 0
	for _, l := range s.queue.turns {
		expect(len(l.waiting) > 0 && s.queue.lines[l.agent] == l, "line of an agent is empty or lost")
		waiting += len(l.waiting)
	}
	expect(waiting == s.queue.n && len(s.queue.lines) == len(s.queue.turns), "%d sequences wait, the queue says %d", waiting, s.queue.n)
}

func (s *sched) checkSequence(q *sequence) {
	size := s.store.index.blockTokens
	room := q.computed + q.claimed
	if s.planned {
		room += q.chunk
	}
	expect(q.claimed == 0 || q.restoring, "sequence %d has claimed %d tokens and restores nothing", q.id, q.claimed)
	expect(q.low == s.store.local.low(q.computed), "sequence %d of %d tokens has locals from block %d on", q.id, q.computed, q.low)
	expect(len(q.blocks) == (room+size-1)/size, "sequence %d has %d blocks for %d tokens", q.id, len(q.blocks), room)
	expect(len(q.blocks)+q.reserved == need(q.prompt, q.most, size), "sequence %d has %d blocks and %d promised of %d",
		q.id, len(q.blocks), q.reserved, need(q.prompt, q.most, size))
	expect(q.computed < len(q.tokens), "sequence %d has nothing left to compute", q.id)
	s.store.checkChain(q.tokens[:q.computed], q.blocks[:(q.computed+size-1)/size])
	if s.store.local.window == 0 {
		expect(q.locals == 0, "sequence %d is promised %d locals of none", q.id, q.locals)
		return
	}
	pinned := 0
	for i := range q.blocks {
		if s.pins(q, i) {
			pinned++
		}
	}
	if most := s.mostLocals(q, q.computed); q.restoring {
		expect(q.locals >= 0 && pinned+q.locals >= most, "restoring sequence %d has %d locals and %d promised of %d", q.id, pinned, q.locals, most)
	} else {
		expect(q.locals >= 0 && pinned+q.locals == most, "sequence %d has %d locals and %d promised of %d", q.id, pinned, q.locals, most)
	}
}

// pins reports whether a sequence has its i-th block's local pinned.
func (s *sched) pins(q *sequence, i int) bool {
	return i >= q.low && (q.claimed == 0 || i < q.computed/s.store.index.blockTokens || i >= q.from)
}

func (st *store) checkMemory(m *memory) {
	size := st.index.blockTokens
	expect(len(m.blocks) > 0 && len(m.blocks) == (len(m.tokens)+size-1)/size, "memory of %d tokens has %d blocks", len(m.tokens), len(m.blocks))
	if m.agent == "" {
		expect(len(m.tokens)%size == 0 && st.anonymous[m.blocks[len(m.blocks)-1]] == m, "anonymous memory is partial or lost")
	} else {
		expect(st.agents[m.agent] == m, "memory is not its agent's")
	}
	expect(m.low == st.local.low(len(m.tokens)) || m.cut && m.low > st.local.low(len(m.tokens)), "memory of %d tokens holds locals from block %d on", len(m.tokens), m.low)
	if len(m.tokens)%size != 0 {
		tail := st.pool.blocks[m.blocks[len(m.blocks)-1]]
		expect(tail.pins == 0 && tail.holds == 1, "partial block of a memory is shared")
	}
	st.checkChain(m.tokens, m.blocks)
}

// checkChain: the full blocks of a chain are the ones in the index, and the partial one is not in it.
func (st *store) checkChain(tokens, blocks []int32) {
	walked := st.index.walk(tokens, nil)
	full := len(tokens) / st.index.blockTokens
	expect(slices.Equal(walked, blocks[:full]), "chain has blocks %v, the index %v", blocks[:full], walked)
	if full < len(blocks) {
		expect(st.index.parent[blocks[full]] == absent, "partial block %d is in the index", blocks[full])
	}
}

// checkIndex: no block is in it that nobody has, and every list of equal hashes is sound.
func (st *store) checkIndex() {
	listed := 0
	for h, b := range st.index.first {
		for ; b != none; b = st.index.next[b] {
			if st.index.parent[b] == absent || st.index.hash[b] != h {
				broken("block %d is in a list it does not belong to", b)
			}
			if listed++; listed > len(st.pool.blocks) {
				broken("a list of the index is a ring")
			}
		}
	}
	for b, parent := range st.index.parent {
		if parent == absent {
			continue
		}
		listed--
		if st.pool.isFree(int32(b)) {
			broken("free block %d is in the index", b)
		}
		if parent != root && st.index.parent[parent] == absent {
			broken("block %d is in the index without its parent", b)
		}
	}
	expect(listed == 0, "the index lists %d blocks more than it has", listed)
}

// check compares the books with counts made by somebody else.
func (p *pool) check(pins, holds []int32) {
	var counted tally
	for i, b := range p.blocks {
		if b.pins != pins[i] || b.holds != holds[i] {
			broken("block %d has %d pins and %d holds, counted %d and %d", i, b.pins, b.holds, pins[i], holds[i])
		}
		counted[ownerOf(b.pins, b.holds)]++
	}
	expect(counted == p.tally && counted[byNobody] == len(p.free), "blocks by owner %v and %d free, counted %v", p.tally, len(p.free), counted)
	seen := make([]bool, len(p.blocks))
	for _, b := range p.free {
		if seen[b] || !p.isFree(b) {
			broken("block %d is in the free list twice or in use", b)
		}
		seen[b] = true
	}
	expect(p.available() >= 0, "%d blocks promised, owners have %v", p.reserved, p.tally)
	used, idle, rest := p.split()
	expect(used+idle+rest == len(p.blocks) && idle >= 0 && rest >= 0, "used %d, cached %d and free %d of %d blocks", used, idle, rest, len(p.blocks))
	p.purposes().check("blocks", len(p.blocks), idle+rest)
}

// check: the purposes of n things add up to them, and what is neither running nor promised is no less than what is available.
func (p Purposes) check(of string, n, available int) {
	expect(p.Sum() == int64(n) && min(p.Running, p.Promised, p.Shared, p.Cached, p.Free) >= 0 && p.Shared+p.Cached+p.Free >= int64(available),
		"%d %s, of which %d are available, are for %+v", n, of, available, p)
}

// check compares the books with pins and holds counted by somebody else, and with what sequences are promised.
func (l *locals) check(want []local, promised int) {
	n := len(l.all) - 1
	var counted tally
	paid := 0
	for x, a := range l.all[:n] {
		w := &want[x]
		if a.pass != w.pass || a.stay != w.stay || a.holds != w.holds {
			broken("local %d has %d+%d pins and %d holds, counted %d+%d and %d", x, a.pass, a.stay, a.holds, w.pass, w.stay, w.holds)
		}
		if a.block != none && l.of[a.block] != int32(x) {
			broken("local %d is of block %d, which has %d", x, a.block, l.of[a.block])
		}
		paid += int(a.pass) + int(min(a.stay, 1))
		counted[a.owner()]++
		if a.pass+a.stay+a.holds > 0 && a.block == none {
			broken("local %d is in use and no block's", x)
		}
	}
	for b, x := range l.of {
		if x != none && l.all[x].block != int32(b) {
			broken("block %d has local %d, which is of block %d", b, x, l.all[x].block)
		}
	}
	expect(paid+promised == l.used && counted == l.tally, "%d locals used, by owner %v; counted %d, %v", l.used, l.tally, paid+promised, counted)
	listed := 0
	for x := l.end().next; int(x) != n; x = l.all[x].next {
		if a := &l.all[x]; a.pass+a.stay+a.holds > 0 || l.all[a.prev].next != x || listed == n {
			broken("local %d is in the list of free ones", x)
		}
		listed++
	}
	expect(listed == counted[byNobody] && l.available() >= 0, "%d free locals listed, %d counted; %d available", listed, counted[byNobody], l.available())
	used, idle, rest := l.split()
	expect(used+idle+rest == n && idle >= 0 && rest >= 0, "used %d, cached %d and free %d of %d locals", used, idle, rest, n)
	l.purposes().check("locals", n, idle+rest)
}

func (p *pool) isFree(b int32) bool { return p.blocks[b].pins == 0 && p.blocks[b].holds == 0 }

// expect is for what is looked at once; loops over all blocks call broken themselves, because making args allocates.
func expect(ok bool, format string, args ...any) {
	if !ok {
		broken(format, args...)
	}
}

func broken(format string, args ...any) {
	panic("engine: invariant broken: " + fmt.Sprintf(format, args...))
}

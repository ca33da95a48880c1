package kv

import (
	"fmt"
	"slices"
)

// A Holder is a running sequence as Check has to know it.
type Holder struct {
	ID        uint64
	Claim     *Claim
	Tokens    []int32 // those that are computed
	Room      int     // tokens that its table must have room for
	Restoring bool
}

// Check counts everything again, from the running sequences and the chains up, and panics where the
// books differ. It takes time in proportion to the whole cache.
func (st *Store) Check(running []Holder) {
	pins, holds := make([]int32, st.Blocks), make([]int32, st.Blocks)
	slots := make([]slot, len(st.slots.all)) // the borrows, pins and holds that there ought to be
	promised, promisedSlots := 0, 0
	for _, h := range running {
		st.checkSequence(&h)
		l := &h.Claim.window
		promised += h.Claim.promised
		promisedSlots += l.promised
		for i, b := range h.Claim.Blocks {
			pins[b]++
			if !l.has(i) {
				continue
			}
			expect(st.slots.of[b] != None,
				"sequence %d has block %d in its window, without a window slot", h.ID, b)
			if x := &slots[st.slots.of[b]]; l.pins(i) {
				x.pins++
			} else {
				x.borrows++
			}
		}
	}
	chains := 0
	for c := range st.Chains() {
		st.checkChain(c)
		chains++
		for i, b := range c.Blocks {
			holds[b]++
			if i >= c.start {
				expect(st.slots.of[b] != None,
					"chain has block %d at its end, without a window slot", b)
				slots[st.slots.of[b]].holds++
			}
		}
	}
	expect(chains == len(st.agents)+len(st.anonymous)+len(st.retired),
		"%d chains by use, %d by agent, %d anonymous, %d retired",
		chains, len(st.agents), len(st.anonymous), len(st.retired))
	expect(promised == st.pool.promised, "%d blocks promised, sequences have promises of %d",
		st.pool.promised, promised)
	st.pool.check(pins, holds)
	st.checkAccounts(running)
	st.slots.check(slots, promisedSlots)
	for x := range st.slots.all {
		if b := st.slots.all[x].block; b != None && st.pool.isFree(b) {
			broken("window slot %d is of free block %d", x, b)
		}
	}
	st.checkIndex()
}

// checkAccounts: every block and slot that is in use is in one account, and so is every promise and
// chain.
func (st *Store) checkAccounts(running []Holder) {
	want := map[*account]*account{}
	for _, a := range st.open {
		want[a] = &account{}
	}
	for b, a := range st.pool.owners {
		x := st.pool.blocks[b]
		expect((a == nil) == st.pool.isFree(int32(b)), "block %d is in an account or free", b)
		if a != nil {
			want[a].blocks[refStateOf(x.pins, x.holds)]++
		}
	}
	for x, a := range st.slots.owners {
		state := st.slots.all[x].state()
		expect((a == nil) == (state == unused), "window slot %d is in an account or unused", x)
		if a != nil {
			want[a].slots[state]++
		}
	}
	for _, h := range running {
		if a := h.Claim.account; a != nil {
			want[a].promised += h.Claim.promised
			want[a].slotsClaimed += h.Claim.window.total(h.Claim.Blocks)
			want[a].claims++
		}
	}
	chains := 0
	for _, a := range st.open {
		w := want[a]
		expect(a.blocks == w.blocks && a.promised == w.promised && a.slots == w.slots &&
			a.slotsClaimed == w.slotsClaimed && a.claims == w.claims && st.accounts[a.principal] == a,
			"principal %q has %v, %d promised, slots %v, %d claimed, %d claims, counted %v, %d, %v, %d, %d",
			a.principal, a.blocks, a.promised, a.slots, a.slotsClaimed, a.claims,
			w.blocks, w.promised, w.slots, w.slotsClaimed, w.claims)
		expect(a.claims > 0 || a.total() > 0 || a.chains.Len() > 0, "an account is open and empty")
		expect(a.limit.allows(a.total(), a.totalSlots()) || a.chains.Len() == 0,
			"principal %q has %d blocks and %d slots of %v, and idle ones",
			a.principal, a.total(), a.totalSlots(), a.limit)
		chains += a.chains.Len()
	}
	expect(chains == st.byUse.Len() && len(want) == len(st.open) && len(st.accounts) == len(st.open),
		"%d of %d chains are in accounts", chains, st.byUse.Len())
}

func (st *Store) checkSequence(h *Holder) {
	size, c := st.BlockTokens, h.Claim
	need := c.window.extent.SureBlocks(&st.Shape)
	expect(len(c.Blocks) == (h.Room+size-1)/size,
		"sequence %d has %d blocks for %d tokens", h.ID, len(c.Blocks), h.Room)
	expect(len(c.Blocks)+c.promised == need,
		"sequence %d has %d blocks and %d promised of %d", h.ID, len(c.Blocks), c.promised, need)
	c.window.check(h.ID, c.Blocks, len(h.Tokens), h.Restoring)
	st.checkBlocks(&c.root, h.Tokens, c.Blocks[:(len(h.Tokens)+size-1)/size])
}

func (st *Store) checkChain(c *Chain) {
	size := st.BlockTokens
	expect(len(c.Blocks) > 0 && len(c.Blocks) == (len(c.Tokens)+size-1)/size,
		"chain of %d tokens has %d blocks", len(c.Tokens), len(c.Blocks))
	last := c.Blocks[len(c.Blocks)-1]
	switch {
	case c.Retired:
		expect(c.Dirty && slices.Contains(st.retired, c), "retired chain is saved or lost")
	case c.Agent.Anonymous():
		expect(len(c.Tokens)%size == 0 && st.anonymous[last] == c,
			"anonymous chain is partial or lost")
	default:
		expect(st.agents[c.Agent] == c, "chain is not its agent's")
	}
	start := st.WindowStart(len(c.Tokens))
	expect(c.start == start || c.cut && c.start > start,
		"chain of %d tokens holds window slots from block %d on", len(c.Tokens), c.start)
	if c.Retired {
		// Its partial block may be another chain's or a sequence's too, which may have filled it.
		full := len(c.Tokens) / size
		st.checkBlocks(&c.Root, c.Tokens[:full*size], c.Blocks[:full])
		return
	}
	if len(c.Tokens)%size != 0 {
		tail, retired := st.pool.blocks[last], int32(0)
		for _, r := range st.retired {
			if slices.Contains(r.Blocks, last) {
				retired++
			}
		}
		expect(tail.pins == 0 && tail.holds == 1+retired, "partial block of a chain is shared")
	}
	st.checkBlocks(&c.Root, c.Tokens, c.Blocks)
}

// checkBlocks: the full blocks are those in the index behind the root, and the partial one is not
// in it.
func (st *Store) checkBlocks(root *Root, tokens, blocks []int32) {
	walked := st.index.walk(root, tokens, nil)
	full := len(tokens) / st.BlockTokens
	expect(slices.Equal(walked, blocks[:full]),
		"tokens are in blocks %v, by the index in %v", blocks[:full], walked)
	if full < len(blocks) {
		expect(st.index.parent[blocks[full]] == absent,
			"partial block %d is in the index", blocks[full])
	}
}

// checkIndex: every block in the index is in use, and every list of equal hashes is sound.
func (st *Store) checkIndex() {
	x := &st.index
	listed := 0
	for h, b := range x.heads {
		for ; b != None; b = x.next[b] {
			if x.parent[b] == absent || x.hash[b] != h {
				broken("block %d is in a list where it does not belong", b)
			}
			if listed++; listed > st.Blocks {
				broken("a list of the index is a ring")
			}
		}
	}
	for b, parent := range x.parent {
		if parent == absent {
			continue
		}
		listed--
		if st.pool.isFree(int32(b)) {
			broken("free block %d is in the index", b)
		}
		if parent != noParent && x.parent[parent] == absent {
			broken("block %d is in the index without its parent", b)
		}
	}
	expect(listed == 0, "the index lists %d blocks more than it has", listed)
}

// check compares the books with counts made elsewhere.
func (p *pool) check(pins, holds []int32) {
	var counted refCounts
	for i, b := range p.blocks {
		if b.pins != pins[i] || b.holds != holds[i] {
			broken("block %d has %d pins and %d holds, counted %d and %d",
				i, b.pins, b.holds, pins[i], holds[i])
		}
		counted[refStateOf(b.pins, b.holds)]++
	}
	expect(counted == p.refs && counted[unused] == len(p.free),
		"blocks by state %v and %d free, counted %v", p.refs, len(p.free), counted)
	seen := make([]bool, len(p.blocks))
	for _, b := range p.free {
		if seen[b] || !p.isFree(b) {
			broken("block %d is in the free list twice or in use", b)
		}
		seen[b] = true
	}
	expect(p.available() >= 0, "%d blocks promised, by state %v", p.promised, p.refs)
	p.counts().check("blocks")
	c := p.counts()
	p.purposes().check("blocks", c.Total, c.Cached+c.Free)
}

// check: the counts add up.
func (c Counts) check(of string) {
	expect(c.Used+c.Cached+c.Free == c.Total && c.Cached >= 0 && c.Free >= 0,
		"used %d, cached %d and free %d of %d %s", c.Used, c.Cached, c.Free, c.Total, of)
}

// check: the purposes of n things add up to them, and those neither running nor promised are at
// least as many as are available.
func (p Purposes) check(of string, n, available int) {
	idle := p.Shared + p.Cached + p.Free
	positive := min(p.Running, p.Promised, p.Shared, p.Cached, p.Free) >= 0
	expect(p.Sum() == int64(n) && positive && idle >= int64(available),
		"%d %s, of which %d are available, are for %+v", n, of, available, p)
}

// check compares the books with borrows, pins and holds counted elsewhere, and with what sequences
// are promised.
func (s *slots) check(want []slot, promised int) {
	n := len(s.all) - 1
	var counted refCounts
	charged := 0
	for x, a := range s.all[:n] {
		w := &want[x]
		if a.borrows != w.borrows || a.pins != w.pins || a.holds != w.holds {
			broken("window slot %d has %d+%d uses and %d holds, counted %d+%d and %d",
				x, a.borrows, a.pins, a.holds, w.borrows, w.pins, w.holds)
		}
		if a.block != None && s.of[a.block] != int32(x) {
			broken("window slot %d is of block %d, which has %d", x, a.block, s.of[a.block])
		}
		charged += int(a.borrows) + int(min(a.pins, 1))
		counted[a.state()]++
		if a.borrows+a.pins+a.holds > 0 && a.block == None {
			broken("window slot %d is in use and belongs to no block", x)
		}
	}
	for b, x := range s.of {
		if x != None && s.all[x].block != int32(b) {
			broken("block %d has window slot %d, which is of block %d", b, x, s.all[x].block)
		}
	}
	expect(charged+promised == s.used && counted == s.refs,
		"%d window slots used, by state %v; counted %d, %v",
		s.used, s.refs, charged+promised, counted)
	s.checkList(counted[unused])
	s.counts().check("window slots")
	c := s.counts()
	s.purposes().check("window slots", n, c.Cached+c.Free)
}

// checkList: the list of unused slots has so many, and is sound.
func (s *slots) checkList(want int) {
	n := len(s.all) - 1
	listed := 0
	for x := s.end().next; int(x) != n; x = s.all[x].next {
		a := &s.all[x]
		if a.borrows+a.pins+a.holds > 0 || s.all[a.prev].next != x || listed == n {
			broken("window slot %d is in the list of unused ones", x)
		}
		listed++
	}
	expect(listed == want && s.available() >= 0,
		"%d unused window slots listed, %d counted; %d available", listed, want, s.available())
}

// expect is for what is looked at once; loops over all blocks call broken themselves, because
// making args allocates.
func expect(ok bool, format string, args ...any) {
	if !ok {
		broken(format, args...)
	}
}

func broken(format string, args ...any) {
	panic("kv: invariant broken: " + fmt.Sprintf(format, args...))
}

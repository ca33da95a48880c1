package kv

import "fmt"

// A pool says what refers to each KV block, and how many are promised. It does not know what is in
// them.
//
// Each running sequence pins the blocks of its table, and each idle chain holds its blocks. Both
// are counts, because full blocks are shared. A block with neither is free; one that is held but
// not pinned is cached: its chains give it up when the room is needed.
//
// A promise is of blocks that are not chosen yet. It can be kept because promised never exceeds
// the free and the cached blocks together: alloc may find no free block, but then evicting chains
// yields one.
//
// Every method is O(1).
type pool struct {
	blocks []struct{ pins, holds int32 }
	owners []*account // by block; nil: it is free, or nobody's
	free   []int32    // a stack: the block freed last is the likeliest to be in a CPU's cache

	refs     refCounts
	promised int // not allocated yet
	peak     int // the highest used() so far
}

func newPool(blocks int) pool {
	p := pool{
		blocks: make([]struct{ pins, holds int32 }, blocks),
		owners: make([]*account, blocks),
		free:   make([]int32, blocks),
		refs:   refCounts{unused: blocks},
	}
	for i := range p.free {
		p.free[i] = int32(blocks - 1 - i) // block 0 comes out first
	}
	return p
}

// used returns how many blocks running sequences have or may still take.
func (p *pool) used() int { return p.refs.running() + p.promised }

// available returns how many more blocks could be promised.
func (p *pool) available() int { return len(p.free) + p.refs.idle() - p.promised }

// counts takes promised blocks out of the free ones first, because alloc does so, and the rest
// out of the cached ones.
func (p *pool) counts() Counts {
	fromFree := min(p.promised, len(p.free))
	return Counts{
		Total:    len(p.blocks),
		Used:     p.used(),
		Promised: p.promised,
		Cached:   p.refs.idle() - (p.promised - fromFree),
		Free:     len(p.free) - fromFree,
		Peak:     p.peak,
	}
}

// purposes says what the blocks are for.
func (p *pool) purposes() Purposes { return p.refs.purposes(p.promised) }

// promise promises n blocks. n must not exceed available().
func (p *pool) promise(n int) {
	if n < 0 || n > p.available() {
		panic(fmt.Sprintf("kv: promise of %d blocks, %d available", n, p.available()))
	}
	p.promised += n
	p.peak = max(p.peak, p.used())
}

// revoke takes back the promise of n blocks.
func (p *pool) revoke(n int) {
	if n < 0 || n > p.promised {
		panic(fmt.Sprintf("kv: promise of %d blocks revoked, %d promised", n, p.promised))
	}
	p.promised -= n
}

// alloc turns the promise of one block into a block, which it pins once. There must be a free
// block.
func (p *pool) alloc() int32 {
	p.revoke(1)
	last := len(p.free) - 1
	b := p.free[last]
	p.free = p.free[:last]
	p.change(b, 1, 0)
	return b
}

// own puts block b, which was just allocated, into an account.
func (p *pool) own(b int32, a *account) {
	p.owners[b] = a
	a.blocks[refStateOf(p.blocks[b].pins, p.blocks[b].holds)]++
}

// idle reports whether no running sequence has block b.
func (p *pool) idle(b int32) bool { return p.blocks[b].pins == 0 }

// change changes the counts of block b and reports whether that made it free.
func (p *pool) change(b, pins, holds int32) (freed bool) {
	x := &p.blocks[b]
	was := refStateOf(x.pins, x.holds)
	x.pins += pins
	x.holds += holds
	is := refStateOf(x.pins, x.holds)
	p.refs.move(was, is)
	if a := p.owners[b]; a != nil {
		a.blocks.move(was, is)
	}
	if is != unused {
		return false
	}
	if a := p.owners[b]; a != nil {
		a.blocks[unused]-- // it is not the account's any more
		p.owners[b] = nil
	}
	p.free = append(p.free, b)
	return true
}

// pin adds a running sequence to a block that is not free. Pinning an idle block takes it out of
// the cached ones, so available() must allow for it.
func (p *pool) pin(b int32) {
	p.mustBeLive(b)
	if p.idle(b) && p.available() < 1 {
		panic("kv: pin of a cached block that is promised")
	}
	p.change(b, 1, 0)
	p.peak = max(p.peak, p.used())
}

// unpin takes a running sequence off block b and reports whether that made it free.
func (p *pool) unpin(b int32) bool {
	if p.idle(b) {
		panic(fmt.Sprintf("kv: block %d unpinned once too often", b))
	}
	return p.change(b, -1, 0)
}

// hold adds a chain to a block that is not free.
func (p *pool) hold(b int32) {
	p.mustBeLive(b)
	p.change(b, 0, 1)
}

// unhold takes a chain off block b and reports whether that made it free.
func (p *pool) unhold(b int32) bool {
	if p.blocks[b].holds == 0 {
		panic(fmt.Sprintf("kv: block %d let go once too often", b))
	}
	return p.change(b, 0, -1)
}

// isFree reports whether nothing refers to block b.
func (p *pool) isFree(b int32) bool { return p.blocks[b].pins == 0 && p.blocks[b].holds == 0 }

func (p *pool) mustBeLive(b int32) {
	if p.isFree(b) {
		panic(fmt.Sprintf("kv: block %d is free", b))
	}
}

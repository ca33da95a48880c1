package engine

import "fmt"

// A pool keeps the books of the KV blocks: who needs each, and how many are promised. It does not know what is in them.
//
// A block is pinned by each running sequence that has it in its table and held by each idle memory that keeps it. Both
// are counts, because full blocks are shared. A block without either is free; one that is held but not pinned is cached:
// its holders give it up when somebody needs the room.
//
// A reservation is a promise of blocks that are not chosen yet. It is good because reserved never exceeds free and
// cached blocks together: alloc may find no free block, but then evicting memories yields one.
//
// Every method is O(1). They panic where the caller breaks the books; that is a bug, not a condition.
type pool struct {
	blocks []struct{ pins, holds int32 }
	free   []int32 // a stack: the block freed last is the likeliest to be in a CPU's cache

	tally    tally
	reserved int // promised, not yet allocated
	peak     int // highest used() so far
}

func newPool(blocks int) pool {
	p := pool{
		blocks: make([]struct{ pins, holds int32 }, blocks),
		free:   make([]int32, blocks),
		tally:  tally{byNobody: blocks},
	}
	for i := range p.free {
		p.free[i] = int32(blocks - 1 - i) // block 0 comes out first
	}
	return p
}

// used is how many blocks running sequences have or may yet claim.
func (p *pool) used() int { return p.tally.pinned() + p.reserved }

// available is how many more blocks could be promised.
func (p *pool) available() int { return len(p.free) + p.tally.idle() - p.reserved }

// split divides the blocks as Stats shows them: reservations are taken out of the free blocks first, because that is
// where alloc takes them, and out of the cached ones for the rest.
func (p *pool) split() (used, cached, free int) {
	fromFree := min(p.reserved, len(p.free))
	return p.used(), p.tally.idle() - (p.reserved - fromFree), len(p.free) - fromFree
}

// purposes says what the blocks are for.
func (p *pool) purposes() Purposes { return p.tally.purposes(p.reserved) }

// reserve promises n blocks. n must not exceed available().
func (p *pool) reserve(n int) {
	if n < 0 || n > p.available() {
		panic(fmt.Sprintf("engine: reserve of %d blocks, %d available", n, p.available()))
	}
	p.reserved += n
	p.peak = max(p.peak, p.used())
}

// unreserve takes back the promise of n blocks.
func (p *pool) unreserve(n int) {
	if n < 0 || n > p.reserved {
		panic(fmt.Sprintf("engine: unreserve of %d blocks, %d reserved", n, p.reserved))
	}
	p.reserved -= n
}

// alloc redeems one reserved block and pins it once. There must be a free block.
func (p *pool) alloc() int32 {
	p.unreserve(1)
	last := len(p.free) - 1
	b := p.free[last]
	p.free = p.free[:last]
	p.change(b, 1, 0)
	return b
}

// idle reports whether no running sequence has block b.
func (p *pool) idle(b int32) bool { return p.blocks[b].pins == 0 }

// change changes the counts of block b and reports whether that made it free.
func (p *pool) change(b, pins, holds int32) (freed bool) {
	x := &p.blocks[b]
	was := ownerOf(x.pins, x.holds)
	x.pins += pins
	x.holds += holds
	is := ownerOf(x.pins, x.holds)
	p.tally.move(was, is)
	if is != byNobody {
		return false
	}
	p.free = append(p.free, b)
	return true
}

// pin adds a running sequence to a block that is not free. Pinning an idle block takes it out of the cached ones, so
// available() must allow for it.
func (p *pool) pin(b int32) {
	p.live(b)
	if p.idle(b) && p.available() < 1 {
		panic("engine: pin of a cached block that is promised")
	}
	p.change(b, 1, 0)
	p.peak = max(p.peak, p.used())
}

// unpin takes a running sequence off block b and reports whether that made it free.
func (p *pool) unpin(b int32) bool {
	if p.idle(b) {
		panic(fmt.Sprintf("engine: block %d unpinned once too often", b))
	}
	return p.change(b, -1, 0)
}

// hold adds a memory to a block that is not free.
func (p *pool) hold(b int32) {
	p.live(b)
	p.change(b, 0, 1)
}

// unhold takes a memory off block b and reports whether that made it free.
func (p *pool) unhold(b int32) bool {
	if p.blocks[b].holds == 0 {
		panic(fmt.Sprintf("engine: block %d let go once too often", b))
	}
	return p.change(b, 0, -1)
}

// live panics where block b is free.
func (p *pool) live(b int32) {
	if x := &p.blocks[b]; ownerOf(x.pins, x.holds) == byNobody {
		panic(fmt.Sprintf("engine: block %d is free", b))
	}
}

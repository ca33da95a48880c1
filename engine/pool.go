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

	pinned   int // blocks with pins > 0
	cached   int // blocks with holds > 0 and no pins
	reserved int // promised, not yet allocated
	peak     int // highest used() so far
}

func newPool(blocks int) pool {
	p := pool{
		blocks: make([]struct{ pins, holds int32 }, blocks),
		free:   make([]int32, blocks),
	}
	for i := range p.free {
		p.free[i] = int32(blocks - 1 - i) // block 0 comes out first
	}
	return p
}

// used is how many blocks running sequences have or may yet claim.
func (p *pool) used() int { return p.pinned + p.reserved }

// available is how many more blocks could be promised.
func (p *pool) available() int { return len(p.free) + p.cached - p.reserved }

// split divides the blocks as Stats shows them: reservations are taken out of the free blocks first, because that is
// where alloc takes them, and out of the cached ones for the rest.
func (p *pool) split() (used, cached, free int) {
	fromFree := min(p.reserved, len(p.free))
	return p.used(), p.cached - (p.reserved - fromFree), len(p.free) - fromFree
}

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
	p.blocks[b].pins = 1
	p.pinned++
	return b
}

// idle reports whether no running sequence has block b.
func (p *pool) idle(b int32) bool { return p.blocks[b].pins == 0 }

// pin adds a running sequence to a block that is not free. Pinning an idle block takes it out of the cached ones, so
// available() must allow for it.
func (p *pool) pin(b int32) {
	x := p.live(b)
	if x.pins == 0 {
		if p.available() < 1 {
			panic("engine: pin of a cached block that is promised")
		}
		p.cached--
		p.pinned++
		p.peak = max(p.peak, p.used())
	}
	x.pins++
}

// unpin takes a running sequence off block b and reports whether that made it free.
func (p *pool) unpin(b int32) bool {
	x := &p.blocks[b]
	if x.pins == 0 {
		panic(fmt.Sprintf("engine: block %d unpinned once too often", b))
	}
	x.pins--
	if x.pins > 0 {
		return false
	}
	p.pinned--
	if x.holds > 0 {
		p.cached++
		return false
	}
	p.free = append(p.free, b)
	return true
}

// hold adds a memory to a block that is not free.
func (p *pool) hold(b int32) { p.live(b).holds++ }

// unhold takes a memory off block b and reports whether that made it free.
func (p *pool) unhold(b int32) bool {
	x := &p.blocks[b]
	if x.holds == 0 {
		panic(fmt.Sprintf("engine: block %d let go once too often", b))
	}
	x.holds--
	if x.holds > 0 || x.pins > 0 {
		return false
	}
	p.cached--
	p.free = append(p.free, b)
	return true
}

func (p *pool) live(b int32) *struct{ pins, holds int32 } {
	x := &p.blocks[b]
	if x.pins == 0 && x.holds == 0 {
		panic(fmt.Sprintf("engine: block %d is free", b))
	}
	return x
}

package kv

// A Lease is one sequence's claim on window slots: which blocks' slots it has, and how many more it
// may take. It is the only thing that takes, returns and promises slots for a sequence, so the
// sequence's count and the charge in slots never differ.
//
// A sequence has the slots of the blocks in its window: those from block start on. It borrows the
// slots of blocks that its window will leave before its end, and pins those from block pinFrom
// on, which it will have to its end (slots says why that matters). While it restores, the blocks
// between what it began with and the window at the restored end have none: that is the gap.
//
// For instance, with blocks of 4 tokens and a window of 6, a prompt of 10 tokens and an answer of
// 9:
//
//	                   block  0 1 2 3 4   promised  charged
//	admitted                  . . . . .      5         5     Promise(5)
//	prompt planned            b b P . .      2         5     Take, three times
//	10 tokens computed        b b P . .      0         3     Slide: Promise(0)
//	12 tokens computed        - b P . .      1         3     Slide: Release block 0, Promise(1)
//	the 13th planned          - b P P .      0         3     Take
//	16 tokens computed        - - P P .      1         3     Slide: Release block 1, Promise(1)
//	the 17th planned          - - P P P      0         3     Take
//	end                       - - h h h      0         0     End; the agent's chain holds them now
//
//	.  no slot yet    b  borrowed    P  pinned    -  the window has passed    h  held by a chain
//
// The prompt is computed in one step, whose tokens see blocks 0, 1 and 2. From then on one token is
// computed at a time, for which three slots are enough.
//
// For a model without sliding layers start lies after all blocks, so every method finds that the
// block concerned needs no slot and does nothing.
type Lease struct {
	slots   *slots
	account *account
	extent  Extent

	start    int // the first block whose slot it has
	pinFrom  int // the first block whose slot it will have to its end
	promised int // slots that it may still take

	gapStart, gapEnd int // blocks from gapStart up to gapEnd have no slot
}

// An Extent says how large a sequence can become.
type Extent struct {
	Prompt int // tokens of the prompt
	Tokens int // most tokens whose KV it needs: prompt and answer, but the answer's last token
	Step   int // most tokens of a prompt that are computed in one step

	// Sure is how many of the tokens blocks are promised for when the sequence starts; see
	// Store.Extend for the rest. 0: all of them
	Sure int
}

// SureBlocks returns how many blocks are promised when the sequence starts.
func (x Extent) SureBlocks(s *Shape) int {
	if x.Sure > 0 && x.Sure < x.Tokens {
		x.Tokens = x.Sure
	}
	return x.Blocks(s)
}

// Blocks returns how many blocks all tokens take.
func (x Extent) Blocks(s *Shape) int { return (x.Tokens + s.BlockTokens - 1) / s.BlockTokens }

// MaxSlots returns the most slots that the sequence can have at once, from when so many of its
// tokens are computed.
func (x Extent) MaxSlots(s *Shape, computed int) int {
	if s.Window == 0 {
		return 0
	}
	chunk := 1
	if computed < x.Prompt {
		chunk = min(x.Prompt-computed, x.Step)
	}
	return min(x.Blocks(s)-s.WindowStart(computed), s.MaxSlots(chunk))
}

// pinFrom returns the first block that is still in the window when the sequence ends.
func (x Extent) pinFrom(s *Shape) int { return s.WindowStart(x.Tokens) }

// newLease returns the lease of a sequence that begins with the slots from block start on. It has
// none yet: see Adopt.
func newLease(s *slots, a *account, x Extent, start int) Lease {
	return Lease{slots: s, account: a, extent: x, start: start, pinFrom: x.pinFrom(&s.Shape)}
}

// Has reports whether the sequence has the slot of its i-th block, or is to take it when it takes
// the block.
func (l *Lease) Has(i int) bool { return i >= l.start && (i < l.gapStart || i >= l.gapEnd) }

func (l *Lease) pins(i int) bool { return i >= l.pinFrom }

// Promise makes n the number of slots that the sequence may still take.
func (l *Lease) Promise(n int) {
	if n != l.promised {
		l.slots.charge(n - l.promised)
		l.account.leased += n - l.promised
		l.promised = n
	}
}

// Take turns a promise into a slot for block b, the i-th of the sequence. A slot must be unused.
func (l *Lease) Take(b int32, i int) {
	if !l.Has(i) {
		return
	}
	l.spend()
	l.slots.alloc(b, l.pins(i))
	l.slots.own(b, l.account)
}

// Join is like Take for a block that has a slot, which another sequence has filled or a chain
// holds.
func (l *Lease) Join(b int32, i int) {
	if !l.Has(i) {
		return
	}
	l.spend()
	l.slots.charge(-1)
	l.slots.acquire(b, l.pins(i))
	l.slots.own(b, l.account)
}

// spend uses up one promised slot, whose charge is now for the slot itself.
func (l *Lease) spend() {
	if l.promised == 0 {
		panic("kv: a sequence takes more window slots than it was promised")
	}
	l.promised--
}

// Adopt is for the blocks that the sequence begins with. They have slots, which are charged here
// and not promised before.
func (l *Lease) Adopt(b int32, i int) {
	if l.Has(i) {
		l.slots.acquire(b, l.pins(i))
		l.slots.own(b, l.account)
		l.account.leased++
	}
}

// Return gives the slot of block b back, and the sequence may take another one instead.
func (l *Lease) Return(b int32, i int) {
	if !l.Has(i) {
		return
	}
	l.slots.release(b, l.pins(i))
	l.slots.charge(1)
	l.promised++
}

// Release gives the slot of block b back for good.
func (l *Lease) Release(b int32, i int) {
	if l.Has(i) {
		l.slots.release(b, l.pins(i))
		l.account.leased--
	}
}

// Replace moves the sequence from the slot of block b to that of twin, which holds the same tokens
// and takes b's place as the i-th block.
func (l *Lease) Replace(b, twin int32, i int) {
	if l.Has(i) {
		l.slots.move(b, twin, l.pins(i))
		l.slots.own(twin, l.account)
	}
}

// Slide moves the window on to where so many tokens are computed: it releases the slots that have
// fallen out of it, and gives up the promises that the sequence cannot need any more.
func (l *Lease) Slide(blocks []int32, computed int) {
	if l.slots.Window == 0 {
		return
	}
	for start := l.slots.WindowStart(computed); l.start < start; l.start++ {
		l.Release(blocks[l.start], l.start)
	}
	has := len(blocks) - l.start
	l.Promise(l.extent.MaxSlots(&l.slots.Shape, computed) - has)
}

// Skip begins a gap at block start: the blocks from there up to block end will have no slots.
func (l *Lease) Skip(start, end int) {
	if end > start {
		l.gapStart, l.gapEnd = start, end
	}
}

// spans reports whether the gap, if there is one, has left the window when so many tokens are
// computed.
func (l *Lease) spans(computed int) bool {
	return l.gapEnd == 0 || l.slots.WindowStart(computed) >= l.gapEnd
}

// closeGap ends the gap, which has left the window: the slots before it are returned.
func (l *Lease) closeGap(blocks []int32) {
	if l.gapEnd == 0 {
		return
	}
	for ; l.start < l.gapStart; l.start++ {
		l.Return(blocks[l.start], l.start)
	}
	l.start = l.gapEnd
	l.gapStart, l.gapEnd = 0, 0
}

// total returns how many slots the sequence has and may still take.
func (l *Lease) total(blocks []int32) int {
	n := l.promised
	for i := range blocks {
		if l.Has(i) {
			n++
		}
	}
	return n
}

// check panics unless the lease of a sequence with these blocks is for so many tokens.
func (l *Lease) check(id uint64, blocks []int32, computed int, restoring bool) {
	s := &l.slots.Shape
	expect(l.start == s.WindowStart(computed),
		"sequence %d of %d tokens has window slots from block %d on", id, computed, l.start)
	if s.Window == 0 {
		expect(l.promised == 0, "sequence %d is promised %d window slots of none", id, l.promised)
		return
	}
	has, limit := l.total(blocks), l.extent.MaxSlots(s, computed)
	expect(l.promised >= 0 && (has == limit || restoring && has >= limit),
		"sequence %d has %d window slots, %d of them promised, of %d", id, has, l.promised, limit)
}

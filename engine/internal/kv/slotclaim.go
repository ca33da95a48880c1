package kv

// A slotClaim is one sequence's claim on window slots: which blocks' slots it has, and how many
// more it may take. It is the only thing that takes, gives back and promises slots for a sequence,
// so the sequence's count and the charge in slots never differ.
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
//	admitted                  . . . . .      5         5     promise(5)
//	prompt planned            b b P . .      2         5     take, three times
//	10 tokens computed        b b P . .      0         3     slide: promise(0)
//	12 tokens computed        - b P . .      1         3     slide: release block 0, promise(1)
//	the 13th planned          - b P P .      0         3     take
//	16 tokens computed        - - P P .      1         3     slide: release block 1, promise(1)
//	the 17th planned          - - P P P      0         3     take
//	end                       - - h h h      0         0     End; the agent's chain holds them now
//
//	.  no slot yet    b  borrowed    P  pinned    -  the window has passed    h  held by a chain
//
// The prompt is computed in one step, whose tokens see blocks 0, 1 and 2. From then on one token is
// computed at a time, for which three slots are enough.
//
// For a model without sliding layers start lies after all blocks, so every method finds that the
// block concerned needs no slot and does nothing.
type slotClaim struct {
	slots   *slots
	account *account
	extent  Extent

	start    int // the first block whose slot it has
	pinFrom  int // the first block whose slot it will have to its end
	promised int // slots that it may still take

	gapStart, gapEnd int // blocks from gapStart up to gapEnd have no slot
}

// newSlotClaim returns the claim of a sequence that begins with the slots from block start on. It
// has none yet: see adopt.
func newSlotClaim(s *slots, a *account, x Extent, start int) slotClaim {
	return slotClaim{slots: s, account: a, extent: x, start: start, pinFrom: x.pinFrom(&s.Shape)}
}

// has reports whether the sequence has the slot of its i-th block, or is to take it when it takes
// the block.
func (l *slotClaim) has(i int) bool { return i >= l.start && (i < l.gapStart || i >= l.gapEnd) }

func (l *slotClaim) pins(i int) bool { return i >= l.pinFrom }

// promise makes n the number of slots that the sequence may still take.
func (l *slotClaim) promise(n int) {
	if n != l.promised {
		l.slots.charge(n - l.promised)
		l.account.slotsClaimed += n - l.promised
		l.promised = n
	}
}

// take turns a promise into a slot for block b, the i-th of the sequence. A slot must be unused.
func (l *slotClaim) take(b int32, i int) {
	if !l.has(i) {
		return
	}
	l.spend()
	l.slots.alloc(b, l.pins(i))
	l.slots.own(b, l.account)
}

// join is like take for a block that has a slot, which another sequence has filled or a chain
// holds.
func (l *slotClaim) join(b int32, i int) {
	if !l.has(i) {
		return
	}
	l.spend()
	l.slots.charge(-1)
	l.slots.acquire(b, l.pins(i))
	l.slots.own(b, l.account)
}

// spend uses up one promised slot, whose charge is now for the slot itself.
func (l *slotClaim) spend() {
	if l.promised == 0 {
		panic("kv: a sequence takes more window slots than it was promised")
	}
	l.promised--
}

// adopt is for the blocks that the sequence begins with. They have slots, which are charged here
// and not promised before.
func (l *slotClaim) adopt(b int32, i int) {
	if l.has(i) {
		l.slots.acquire(b, l.pins(i))
		l.slots.own(b, l.account)
		l.account.slotsClaimed++
	}
}

// giveBack gives the slot of block b back, and the sequence may take another one instead.
func (l *slotClaim) giveBack(b int32, i int) {
	if !l.has(i) {
		return
	}
	l.slots.release(b, l.pins(i))
	l.slots.charge(1)
	l.promised++
}

// release gives the slot of block b back for good.
func (l *slotClaim) release(b int32, i int) {
	if l.has(i) {
		l.slots.release(b, l.pins(i))
		l.account.slotsClaimed--
	}
}

// replace moves the sequence from the slot of block b to that of twin, which holds the same tokens
// and takes b's place as the i-th block.
func (l *slotClaim) replace(b, twin int32, i int) {
	if l.has(i) {
		l.slots.move(b, twin, l.pins(i))
		l.slots.own(twin, l.account)
	}
}

// slide moves the window on to where so many tokens are computed: it releases the slots that have
// fallen out of it, and gives up the promises that the sequence cannot need any more.
func (l *slotClaim) slide(blocks []int32, computed int) {
	if l.slots.Window == 0 {
		return
	}
	for start := l.slots.WindowStart(computed); l.start < start; l.start++ {
		l.release(blocks[l.start], l.start)
	}
	has := len(blocks) - l.start
	l.promise(l.extent.MaxSlots(&l.slots.Shape, computed) - has)
}

// skip begins a gap at block start: the blocks from there up to block end will have no slots.
func (l *slotClaim) skip(start, end int) {
	if end > start {
		l.gapStart, l.gapEnd = start, end
	}
}

// spans reports whether the gap, if there is one, has left the window when so many tokens are
// computed.
func (l *slotClaim) spans(computed int) bool {
	return l.gapEnd == 0 || l.slots.WindowStart(computed) >= l.gapEnd
}

// closeGap ends the gap, which has left the window: the slots before it are returned.
func (l *slotClaim) closeGap(blocks []int32) {
	if l.gapEnd == 0 {
		return
	}
	for ; l.start < l.gapStart; l.start++ {
		l.giveBack(blocks[l.start], l.start)
	}
	l.start = l.gapEnd
	l.gapStart, l.gapEnd = 0, 0
}

// total returns how many slots the sequence has and may still take.
func (l *slotClaim) total(blocks []int32) int {
	n := l.promised
	for i := range blocks {
		if l.has(i) {
			n++
		}
	}
	return n
}

// check panics unless the claim of a sequence with these blocks is for so many tokens.
func (l *slotClaim) check(id uint64, blocks []int32, computed int, restoring bool) {
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

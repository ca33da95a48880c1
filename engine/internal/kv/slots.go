package kv

import "fmt"

// A slots says what refers to each window slot. A slot holds what the sliding layers keep of one
// block's tokens; the global layers' part of a block is the block itself, and the pool's.
//
// A running sequence has the slots of the blocks that its next token's window reaches, and no
// others; an idle chain holds those at its end, so that the conversation can go on. A slot that
// no sequence has and no chain holds is unused, but keeps its block's KV until it is needed for
// another block: a prompt may branch off a conversation where nobody foresaw it. The slot that
// has been unused for longest is reused first.
//
// # Charges
//
// When a sequence is admitted it is promised as many slots as it may have at once, and used
// counts them. When its window leaves a block, that block's slot turns back into a promise of
// another one. The difficulty is sharing: another sequence may still have that slot, so that
// nothing has become unused to back the promise. Therefore used does not count slots, but what
// sequences are charged for them:
//
//   - A sequence whose window will leave the block before the sequence ends borrows the slot. It is
//     charged 1, even if others have the slot too.
//   - A sequence that will have the slot to its end pins it. All that pin a slot are charged 1
//     together, as with blocks.
//
// So no departure breaks a promise: at any time at most as many slots are in use as are charged,
// and everything promised could be got by evicting chains. Only a slotClaim borrows, pins and
// promises.
//
// Every method but usable, and check in check.go, is O(1).
type slots struct {
	Shape

	of     []int32    // by block: its slot, or None
	all    []slot     // and one more, where the list of unused ones begins and ends
	owners []*account // by slot; nil: it is unused, or nobody's

	refs refCounts
	used int // charged for slots and for promises
	peak int // the highest used so far
}

// A slot is one window slot. The list of unused ones is a ring through the entry at the end of
// slots.all.
type slot struct {
	borrows, pins int32
	holds         int32
	block         int32 // whose KV it has, or None
	prev, next    int32 // in the list of unused ones
}

func newSlots(at Layout) slots {
	s := slots{
		Shape:  at.Shape,
		of:     make([]int32, at.Blocks),
		all:    make([]slot, at.WindowSlots+1),
		owners: make([]*account, at.WindowSlots),
		refs:   refCounts{unused: at.WindowSlots},
	}
	for b := range s.of {
		s.of[b] = None
	}
	for x := range s.all {
		s.all[x] = slot{block: None, prev: int32(x), next: int32(x)}
	}
	for x := range at.WindowSlots {
		s.push(int32(x), s.end().prev)
	}
	return s
}

func (s *slots) end() *slot { return &s.all[len(s.all)-1] }

// push puts slot x into the list of unused ones, behind one that is there.
func (s *slots) push(x, behind int32) {
	next := s.all[behind].next
	s.all[x].prev, s.all[x].next = behind, next
	s.all[behind].next, s.all[next].prev = x, x
}

// pull takes slot x out of the list of unused ones.
func (s *slots) pull(x int32) {
	a := &s.all[x]
	s.all[a.prev].next, s.all[a.next].prev = a.next, a.prev
}

func (a *slot) state() refState { return refStateOf(a.borrows+a.pins, a.holds) }

// change changes the counts of slot x, and puts it into the list of unused ones or takes it out.
func (s *slots) change(x, borrows, pins, holds int32) {
	a := &s.all[x]
	was := a.state()
	a.borrows += borrows
	a.pins += pins
	a.holds += holds
	if min(a.borrows, a.pins, a.holds) < 0 {
		panic(fmt.Sprintf("kv: window slot %d of block %d let go once too often", x, a.block))
	}
	is := a.state()
	s.refs.move(was, is)
	if o := s.owners[x]; o != nil {
		o.slots.move(was, is)
		if is == unused { // it is not the account's any more
			o.slots[unused]--
			s.owners[x] = nil
		}
	}
	if was == unused && is != unused {
		s.pull(x)
	} else if is == unused && was != unused {
		s.push(x, s.end().prev)
	}
}

// own puts the slot of block b, which is in use, into an account, unless it is in one.
func (s *slots) own(b int32, a *account) {
	if x := s.of[b]; s.owners[x] == nil {
		s.owners[x] = a
		a.slots[s.all[x].state()]++
	}
}

// has reports whether block b has everything that a sequence needs of it while it is in its window.
func (s *slots) has(b int32) bool { return s.Window == 0 || s.of[b] != None }

// usable returns how many of a chain's blocks a sequence can begin with: the most at which the
// blocks in the window before the next token still have their slots.
func (s *slots) usable(blocks []int32) int {
	run, usable := 0, 0 // run counts the blocks with a slot, up to this one without a break
	for i, b := range blocks {
		if run++; !s.has(b) {
			run = 0
		}
		if i+1-s.WindowStart((i+1)*s.BlockTokens) <= run {
			usable = i + 1
		}
	}
	return usable
}

// available returns how many more slots could be charged.
func (s *slots) available() int { return len(s.all) - 1 - s.used }

// counts divides the slots as pool.counts divides the blocks.
func (s *slots) counts() Counts {
	n := len(s.all) - 1
	fromUnused := min(s.promised(), s.refs[unused])
	return Counts{
		Total:    n,
		Used:     s.used,
		Promised: s.promised(),
		Cached:   n - s.used - (s.refs[unused] - fromUnused),
		Free:     s.refs[unused] - fromUnused,
		Peak:     s.peak,
	}
}

// promised returns how much is charged beyond the slots that sequences have: what they may still
// take, and what they are charged for slots that others have too.
func (s *slots) promised() int { return s.used - s.refs.running() }

// purposes says what the slots are for.
func (s *slots) purposes() Purposes { return s.refs.purposes(s.promised()) }

// charge adds n to used; a negative n is a refund.
func (s *slots) charge(n int) {
	if n > s.available() || s.used+n < 0 {
		panic(fmt.Sprintf("kv: %d window slots charged or refunded, %d available, %d used",
			n, s.available(), s.used))
	}
	s.used += n
	s.peak = max(s.peak, s.used)
}

// cost returns what it costs a sequence to pin, or else borrow, the slot of block b.
func (s *slots) cost(b int32, pin bool) int {
	if pin && s.all[s.of[b]].pins > 0 {
		return 0
	}
	return 1
}

// acquire has a running sequence pin, or borrow, the slot of block b, which has one. It charges the
// cost.
func (s *slots) acquire(b int32, pin bool) {
	s.charge(s.cost(b, pin))
	if pin {
		s.change(s.of[b], 0, 1, 0)
	} else {
		s.change(s.of[b], 1, 0, 0)
	}
}

// release undoes acquire.
func (s *slots) release(b int32, pin bool) {
	if pin {
		s.change(s.of[b], 0, -1, 0)
	} else {
		s.change(s.of[b], -1, 0, 0)
	}
	s.charge(-s.cost(b, pin))
}

// alloc turns a charge of one into a slot for block b, which has none, and pins or borrows it.
// There must be an unused one.
func (s *slots) alloc(b int32, pin bool) {
	x := s.end().next
	if s.refs[unused] == 0 || s.of[b] != None {
		panic(fmt.Sprintf("kv: window slot for block %d: %d unused, it has %d",
			b, s.refs[unused], s.of[b]))
	}
	if old := s.all[x].block; old != None {
		s.of[old] = None
	}
	s.all[x].block, s.of[b] = b, x
	s.charge(-1)
	s.acquire(b, pin)
}

// hold adds a chain to the slot of block b.
func (s *slots) hold(b int32) { s.change(s.of[b], 0, 0, 1) }

// unhold takes a chain off the slot of block b.
func (s *slots) unhold(b int32) { s.change(s.of[b], 0, 0, -1) }

// drop takes the slot from block b, which has become free. That slot is the next to be allocated.
func (s *slots) drop(b int32) {
	x := s.of[b]
	if x == None {
		return
	}
	s.of[b], s.all[x].block = None, None
	s.pull(x)
	s.push(x, int32(len(s.all)-1))
}

// move moves a sequence from the slot of block b to that of block twin, which holds the same
// tokens. If twin has no slot it gets that of b.
func (s *slots) move(b, twin int32, pin bool) {
	if s.of[twin] != None {
		s.release(b, pin)
		s.acquire(twin, pin)
		return
	}
	x := s.of[b]
	s.of[b], s.of[twin], s.all[x].block = None, x, twin
}

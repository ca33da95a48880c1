package engine

import "fmt"

// A locals keeps the books of the locals: what the sliding layers have of a block's tokens. The global layers' part of a
// block is the block itself, and the pool's.
//
// A running sequence pins the locals of the blocks that its next token's window reaches, and no others; an idle memory
// holds those at its end, so that the conversation can go on. A local that is neither pinned nor held is free, but stays
// what it was, its block's, until it is needed for another block, the one that has been free for longest first: a prompt
// may leave a conversation where nobody foresaw it.
//
// A sequence is promised at admission as many locals as it may have at once, and used counts them. What falls out of its
// window goes back to its promise, and here lies the difficulty: others may still have it pinned. So used is not a count
// of locals but of what is paid for them. Who will let go of a local before its end (passes) pays for it alone; of those
// who will not (stay), one pays for all, as with blocks. Then nobody's leaving makes anybody's promise bad: as many
// locals are pinned as are paid for or fewer, and none is promised that eviction could not yield.
//
// Every method is O(1) but usable and check. They panic where the caller breaks the books.
type locals struct {
	shape

	of  []int32 // by block: its local, or none
	all []local // and one more, where the list of free ones begins and ends

	tally tally
	used  int // paid for or promised
	peak  int // highest used so far
}

type local struct {
	pass, stay int32 // pins
	holds      int32
	block      int32 // whose it is, or none
	prev, next int32 // in the list of free ones
}

func newLocals(at layout) locals {
	l := locals{shape: at.shape, of: make([]int32, at.blocks), all: make([]local, at.locals+1), tally: tally{byNobody: at.locals}}
	for b := range l.of {
		l.of[b] = none
	}
	for x := range l.all {
		l.all[x] = local{block: none, prev: int32(x), next: int32(x)}
	}
	for x := range at.locals {
		l.push(int32(x), l.end().prev)
	}
	return l
}

func (l *locals) end() *local { return &l.all[len(l.all)-1] }

// push puts local x into the list of free ones, behind one that is there.
func (l *locals) push(x, behind int32) {
	next := l.all[behind].next
	l.all[x].prev, l.all[x].next = behind, next
	l.all[behind].next, l.all[next].prev = x, x
}

func (l *locals) pull(x int32) {
	a := &l.all[x]
	l.all[a.prev].next, l.all[a.next].prev = a.next, a.prev
}

// owner is who has it.
func (a *local) owner() owner { return ownerOf(a.pass+a.stay, a.holds) }

// change changes the counts of local x, and puts it into the list of free ones or takes it out.
func (l *locals) change(x, pass, stay, holds int32) {
	a := &l.all[x]
	was := a.owner()
	a.pass += pass
	a.stay += stay
	a.holds += holds
	if min(a.pass, a.stay, a.holds) < 0 {
		panic(fmt.Sprintf("engine: local %d of block %d let go once too often", x, a.block))
	}
	is := a.owner()
	l.tally.move(was, is)
	if was == byNobody && is != byNobody {
		l.pull(x)
	} else if is == byNobody && was != byNobody {
		l.push(x, l.end().prev)
	}
}

// has reports whether block b has all that a sequence in whose window it is needs.
func (l *locals) has(b int32) bool { return l.window == 0 || l.of[b] != none }

// usable is how many of a chain's blocks a sequence can begin with: as many as end in a window whose locals are there.
func (l *locals) usable(chain []int32) int {
	run, most := 0, 0
	for i, b := range chain {
		if run++; !l.has(b) {
			run = 0
		}
		if i+1-l.low((i+1)*l.blockTokens) <= run {
			most = i + 1
		}
	}
	return most
}

// available is how many more could be promised.
func (l *locals) available() int { return len(l.all) - 1 - l.used }

// split divides the locals as Stats shows them; see pool.split.
func (l *locals) split() (used, cached, free int) {
	n := len(l.all) - 1
	fromFree := min(l.promised(), l.tally[byNobody])
	return l.used, n - l.used - (l.tally[byNobody] - fromFree), l.tally[byNobody] - fromFree
}

// promised is how many more running sequences may pin, or have paid for what others have pinned as well.
func (l *locals) promised() int { return l.used - l.tally.pinned() }

// purposes says what the locals are for.
func (l *locals) purposes() Purposes { return l.tally.purposes(l.promised()) }

// pay adds n to what is used; n may be negative, to take back.
func (l *locals) pay(n int) {
	if n > l.available() || l.used+n < 0 {
		panic(fmt.Sprintf("engine: %d locals promised or taken back, %d available, %d used", n, l.available(), l.used))
	}
	l.used += n
	l.peak = max(l.peak, l.used)
}

// price is what it costs to pin block b's local, for a sequence that stays on it or not.
func (l *locals) price(b int32, stays bool) int {
	if stays && l.all[l.of[b]].stay > 0 {
		return 0
	}
	return 1
}

// pin adds a running sequence to the local of block b, which has one. It pays the price.
func (l *locals) pin(b int32, stays bool) {
	l.pay(l.price(b, stays))
	if stays {
		l.change(l.of[b], 0, 1, 0)
	} else {
		l.change(l.of[b], 1, 0, 0)
	}
}

// unpin undoes pin.
func (l *locals) unpin(b int32, stays bool) {
	if stays {
		l.change(l.of[b], 0, -1, 0)
	} else {
		l.change(l.of[b], -1, 0, 0)
	}
	l.pay(-l.price(b, stays))
}

// alloc redeems one promised local for block b and pins it. There must be a free one.
func (l *locals) alloc(b int32, stays bool) {
	x := l.end().next
	if l.tally[byNobody] == 0 || l.of[b] != none {
		panic(fmt.Sprintf("engine: local for block %d: %d free, it has %d", b, l.tally[byNobody], l.of[b]))
	}
	if old := l.all[x].block; old != none {
		l.of[old] = none
	}
	l.all[x].block, l.of[b] = b, x
	l.pay(-1)
	l.pin(b, stays)
}

// hold adds a memory to block b's local.
func (l *locals) hold(b int32) { l.change(l.of[b], 0, 0, 1) }

// unhold takes a memory off block b's local.
func (l *locals) unhold(b int32) { l.change(l.of[b], 0, 0, -1) }

// drop parts block b, which has become free, from its local. That one is the next to be allocated.
func (l *locals) drop(b int32) {
	x := l.of[b]
	if x == none {
		return
	}
	l.of[b], l.all[x].block = none, none
	l.pull(x)
	l.push(x, int32(len(l.all)-1))
}

// move gives what a sequence has pinned of block b to block twin, which holds the same tokens: its local, unless twin has
// one, and the pin.
func (l *locals) move(b, twin int32, stays bool) {
	if l.of[twin] != none {
		l.unpin(b, stays)
		l.pin(twin, stays)
		return
	}
	x := l.of[b]
	l.of[b], l.of[twin], l.all[x].block = none, x, twin
}

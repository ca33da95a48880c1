package kv

import "slices"

// A Claim is everything that the cache has given and promised to one running sequence. The zero
// value is that of a sequence that waits. Its Blocks may be read; only the Store changes them.
type Claim struct {
	Blocks   []int32 // the block table: entry i has tokens i*BlockTokens and on
	root     Root
	account  *account // nil before Start
	promised int      // blocks that the sequence may still take
	window   slotClaim
}

// Promised returns how many blocks, and how many window slots, the sequence may still take.
func (c *Claim) Promised() (blocks, slots int) { return c.promised, c.window.promised }

// AppendSlots appends the window slot of each block in the table to dst, None for a block whose
// slot the sequence does not have.
func (c *Claim) AppendSlots(dst []int32) []int32 {
	for i, b := range c.Blocks {
		x := None
		if c.window.has(i) {
			x = c.window.slots.of[b]
		}
		dst = append(dst, x)
	}
	return dst
}

// parent returns the block before the i-th one, noParent if there is none.
func (c *Claim) parent(i int) int32 {
	if i == 0 {
		return noParent
	}
	return c.Blocks[i-1]
}

// Terms say what it takes to start a sequence.
type Terms struct {
	extent  Extent
	account *account

	blocks int // to be promised
	idle   int // blocks to pin that no sequence has pinned

	slotCost     int // of the slots to begin with
	slots        int // to be promised
	slotsClaimed int // slots to begin with, and to be promised
}

// Terms returns what it takes to start a sequence with a match. A sequence that restores keeps the
// slots it begins with until the restore has come to its end, so it needs more of them.
func (st *Store) Terms(m *Match, x Extent, restoring bool) Terms {
	s := &st.slots
	t := Terms{extent: x, account: m.account, idle: m.idle,
		blocks: x.SureBlocks(&st.Shape) - len(m.Blocks)}
	if m.move {
		t.blocks--
	}
	if st.Window == 0 {
		return t
	}
	pinFrom := x.pinFrom(&st.Shape)
	matched := m.Blocks[m.start:]
	for i, b := range matched {
		t.slotCost += s.cost(b, m.start+i >= pinFrom)
	}
	n := len(matched)
	if m.move {
		t.slotCost += s.cost(m.tail, len(m.Blocks) >= pinFrom)
		n++
	}
	limit := x.MaxSlots(&st.Shape, m.Tokens)
	if restoring {
		limit = min(x.Blocks(&st.Shape)-m.start, max(limit, n+st.WindowBlocks()))
	}
	t.slots, t.slotsClaimed = limit-n, limit
	return t
}

// Affords reports whether a sequence can start on these terms now. Within says whether its
// principal may have so much: if not, the sequence waits for others of its principal.
func (st *Store) Affords(t Terms) bool {
	return t.blocks+t.idle <= st.pool.available() && t.slotCost+t.slots <= st.slots.available()
}

// Within reports whether a sequence can start on these terms within its principal's limit, and
// within a limit for what any principal's running sequences may have. A principal without a running
// sequence may start one sequence, whatever its limit has become since that was accepted.
func (st *Store) Within(t Terms, running Limit) bool {
	a := t.account
	if a == nil || a.claims == 0 {
		return true
	}
	blocks, slots := a.running()+t.blocks+t.idle, a.slotsClaimed+t.slotsClaimed
	return a.limit.allows(blocks, slots) && running.allows(blocks, slots)
}

// Fits reports whether a sequence could start if it were alone.
func (st *Store) Fits(x Extent) bool {
	return x.SureBlocks(&st.Shape) <= st.Blocks && x.MaxSlots(&st.Shape, 0) <= st.WindowSlots
}

// A Copy asks for a call of Model.CopyKV. Dst is None where nothing is to be copied.
type Copy struct{ Dst, Src, DstSlot, SrcSlot, Tokens int32 }

// Start gives a new sequence what a match found, and promises what it may need beyond that. The
// terms are those of the match, and are affordable. The returned copy has to be made before the
// blocks are used.
//
// The copy's source is not pinned, and making room for its destination may evict it. That is
// sound: a block keeps its contents until it is written, its next owner gets it after this, and
// a step makes its copies in the order in which they were asked for and before it computes
// anything.
func (st *Store) Start(c *Claim, who *Identity, m *Match, t Terms) Copy {
	own := st.agents[who.Agent]
	if own != nil {
		st.touch(own)
	}
	c.Blocks, c.root = slices.Clone(m.Blocks), who.Root
	c.account = st.accountOf(who.Agent.Principal)
	c.account.claims++
	c.window = newSlotClaim(&st.slots, c.account, t.extent, m.start)
	for i, b := range c.Blocks {
		st.pool.pin(b)
		c.window.adopt(b, i)
	}
	if m.move {
		st.moveTail(c, own, m.tail)
	}
	st.promise(c, t.blocks)
	c.window.promise(t.slots)
	st.trim(c.account)
	if m.tail == None || m.move {
		return Copy{Dst: None}
	}
	copied := Copy{Src: m.tail, SrcSlot: st.slots.of[m.tail], DstSlot: None, Tokens: int32(m.Part)}
	copied.Dst = st.extend(c)
	if st.Window > 0 {
		copied.DstSlot = st.slots.of[copied.Dst]
	}
	if copied.Dst == copied.Src && copied.DstSlot == copied.SrcSlot {
		copied.Dst = None // the source was evicted and came straight back
	}
	return copied
}

// moveTail gives the partial block at the end of an agent's chain to a sequence, which continues
// it. A dirty chain that must outlive this retires as it is, and the agent has another one, which
// lacks that block.
func (st *Store) moveTail(c *Claim, own *Chain, tail int32) {
	i := len(c.Blocks)
	st.pool.pin(tail)
	if c.window.has(i) {
		c.window.adopt(tail, i)
	}
	c.Blocks = append(c.Blocks, tail)
	if own.Dirty && (own.Copying || st.KeepDirty) {
		st.retire(own)
		if i > 0 {
			rest := *own
			rest.Tokens, rest.Blocks = own.Tokens[:i*st.BlockTokens], own.Blocks[:i:i]
			rest.Dirty, rest.Copying, rest.Retired, rest.Last = false, false, false, nil
			st.agents[own.Agent] = st.add(&rest)
		}
		return
	}
	if i >= own.start {
		st.slots.unhold(tail)
	}
	st.pool.unhold(tail)
	own.Blocks = own.Blocks[:i]
	own.Tokens = own.Tokens[:i*st.BlockTokens]
	own.Dirty = false // the sequence has all of it now, and leaves it to the next chain
	if i == 0 {
		st.drop(own)
	}
}

// extend takes one promised block for a sequence, with its slot if the sequence needs that.
func (st *Store) extend(c *Claim) int32 {
	i, b := len(c.Blocks), st.alloc(c)
	c.Blocks = append(c.Blocks, b)
	if c.window.has(i) {
		st.evictUntil((*account).totalSlots, func() bool { return st.slots.refs[unused] > 0 })
		c.window.take(b, i)
	}
	return b
}

// Grow takes blocks, and their slots, until there is room for so many tokens.
func (st *Store) Grow(c *Claim, tokens int) {
	for tokens > len(c.Blocks)*st.BlockTokens {
		st.extend(c)
	}
}

// Extend promises a sequence the blocks for so many tokens, where its extent is larger than what it
// was promised at its start. It reports whether the sequence may have so many tokens: it may not
// where the pool has no more room.
func (st *Store) Extend(c *Claim, tokens int) bool {
	more := tokens - (len(c.Blocks)+c.promised)*st.BlockTokens
	if more <= 0 {
		return true
	}
	n := (more + st.BlockTokens - 1) / st.BlockTokens
	if a := c.account; n > st.pool.available() || !a.limit.allows(a.running()+n, 0) {
		return false
	}
	st.promise(c, n)
	st.trim(c.account)
	c.window.extent.Sure = tokens
	return true
}

// Sum returns a number for what a sequence's i-th block is to hold, tokens behind those of the
// blocks before it. Sequences with a block in common have the same; others have the same by rare
// chance. There are BlockTokens tokens.
func (st *Store) Sum(c *Claim, i int, tokens []int32) uint64 {
	return st.index.sumAfter(&c.root, c.parent(i), tokens)
}

// Share gives a sequence a block that holds tokens as its i-th one, if there is such a block with
// its slot: in place of its last block, of which it has computed a part of them, or behind that, in
// place of a promised one. There are BlockTokens tokens. It reports whether it did.
func (st *Store) Share(c *Claim, i int, tokens []int32) bool {
	b := st.index.find(&c.root, c.parent(i), tokens)
	if b == None || !st.slots.has(b) {
		return false
	}
	if i < len(c.Blocks) {
		st.swap(c, i, b)
		return true
	}
	st.promise(c, -1)
	st.pool.pin(b)
	c.window.join(b, len(c.Blocks))
	c.Blocks = append(c.Blocks, b)
	return true
}

// Seal puts the i-th block, which the sequence has just filled with tokens, into the index. If an
// equal block is there already, because two sequences computed the same at the same time or only
// its slot was gone, the sequence gets that one and its own is freed.
func (st *Store) Seal(c *Claim, i int, tokens []int32) {
	parent, b := c.parent(i), c.Blocks[i]
	twin := st.index.find(&c.root, parent, tokens)
	if twin == None {
		st.index.insert(b, &c.root, parent, tokens)
		return
	}
	if !st.slots.has(twin) {
		st.cutRetired(b) // b's slot becomes the twin's
	}
	st.swap(c, i, twin)
}

// swap gives a sequence block twin in place of its i-th one, which holds nothing that the twin does
// not hold too.
func (st *Store) swap(c *Claim, i int, twin int32) {
	b := c.Blocks[i]
	c.window.replace(b, twin, i)
	// b goes first: pinning an idle twin takes a cached block, and b makes up for it.
	st.release(b)
	st.pool.pin(twin)
	c.Blocks[i] = twin
}

// Slide releases what the window of a sequence has left behind when so many tokens are computed. An
// idle chain may hold it, which now counts for itself.
func (st *Store) Slide(c *Claim, computed int) {
	c.window.slide(c.Blocks, computed)
	st.trim(c.account)
}

// GrowRestoring is Grow for tokens that are restored. Blocks before block firstSlot have no slots
// in what is restored. firstSlot is the same in all calls for a sequence.
func (st *Store) GrowRestoring(c *Claim, tokens, firstSlot int) {
	if c.window.gapEnd == 0 {
		c.window.skip(len(c.Blocks), firstSlot)
	}
	st.Grow(c, tokens)
}

// Restored ends a restore that has filled the table up to so many tokens. It reports whether that
// is of use: all slots in the window at the end must be there. If not, Undo is to be called.
func (st *Store) Restored(c *Claim, tokens int) bool {
	if !c.window.spans(tokens) {
		return false
	}
	c.window.closeGap(c.Blocks)
	return true
}

// Undo gives back the blocks from the n-th on, with their slots. The sequence may take others
// instead.
func (st *Store) Undo(c *Claim, n int) {
	for i := n; i < len(c.Blocks); i++ {
		c.window.giveBack(c.Blocks[i], i)
		st.release(c.Blocks[i])
		st.promise(c, 1)
	}
	c.Blocks = c.Blocks[:n]
	c.window.gapStart, c.window.gapEnd = 0, 0
}

// End gives back everything that a sequence has and is promised. The table stays readable.
func (st *Store) End(c *Claim) {
	for i, b := range c.Blocks {
		c.window.release(b, i)
		st.release(b)
	}
	st.promise(c, -c.promised)
	c.window.promise(0)
	if c.account != nil {
		c.account.claims--
		st.trim(c.account)
		st.close(c.account)
	}
}

// promise promises a sequence n more blocks, or takes a promise back.
func (st *Store) promise(c *Claim, n int) {
	if n == 0 {
		return
	}
	if n > 0 {
		st.pool.promise(n)
	} else {
		st.pool.revoke(-n)
	}
	c.promised += n
	c.account.promised += n
}

// release unpins a block of a sequence, whose slot the sequence does not have any more.
func (st *Store) release(b int32) {
	if st.pool.unpin(b) {
		st.freed(b)
	}
}

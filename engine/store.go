package engine

import (
	"container/list"
	"math"
	"slices"
	"time"
)

// A store is the hot tier of the agents' memories and the owner of every KV block: the pool says who needs a block, the
// index what is in it, locals what sliding layers have of it, the memories whose it is while nobody runs.
//
// Rules that hold between calls:
//   - Full blocks are immutable, in the index, and shared. The last, partial block of a chain belongs to one memory or
//     to one sequence.
//   - Who has a block has all blocks before it. So a block's parent stays in the index as long as the block does.
type store struct {
	pool  pool
	index prefix
	local locals

	agents    map[string]*memory
	anonymous map[int32]*memory // by last block, which in the index stands for the whole chain
	used      list.List         // of *memory, the longest unused first
	evicted   map[string]struct{}
	evictions uint64

	// What the warm tier has to know, for the engine to take between steps. Left empty unless tell is set.
	tell  bool
	fresh []*memory // became dirty
	lost  []lost    // of dirty memories; the blocks' contents stay until the next write to the KV
}

// A memory is what the pool has of an agent that may be idle: the tokens of its conversation whose KV is computed, and
// the blocks that hold it.
type memory struct {
	agent  string // "" for a prefix that an anonymous request left
	tokens []int32
	blocks []int32 // ceil(len(tokens)/blockTokens); none is partial but the last
	low    int     // the first block whose local it holds; none if that is past the last
	last   []int32 // the answer's last token, where nobody has needed its KV: it comes after tokens, as they were kept
	turn   int     // the token that its last request began at, or its prompt's last: one may come back to there
	cut    bool    // eviction took the end
	use    *list.Element

	// For the warm tier.
	whole int    // len(tokens) as it was kept; unknown when the agent may have more on disk
	dirty bool   // what it was kept with is nowhere else
	image *image // the copy of it that is being made, which eviction does not stop

	// Set by the engine, which has the clock.
	made time.Time // when the agent's first memory was
	kept time.Time // when the agent's last request ended
}

// unknown is more than any memory has.
const unknown = math.MaxInt

// behind reports whether the agent may have more on disk than in this memory, or has nothing in the pool at all.
func (m *memory) behind() bool { return m == nil || len(m.tokens) < m.whole }

// A lost block was a dirty memory's i-th and is no longer.
type lost struct {
	m      *memory
	tokens []int32 // all that the memory had with it
	i      int
	block  int32
	local  int32 // of the block, or none
}

// maxEvicted bounds the names kept to tell "evicted" from "new_agent". Past it they are all dropped, and the agents
// behind them are new again: one word in a report, not worth a better structure.
const maxEvicted = 1 << 16

func newStore(l layout) store {
	return store{
		pool:      newPool(l.blocks),
		index:     newPrefix(l.blocks, l.blockTokens),
		local:     newLocals(l),
		agents:    make(map[string]*memory),
		anonymous: make(map[int32]*memory),
		evicted:   make(map[string]struct{}),
	}
}

// take pins what match found, for a new sequence, and reserves the blocks and locals it may need beyond that. It returns
// the sequence's blocks and a copy that has to be made before they are used, if any (dst none). grow and locals include
// the copy; the sequence stays on the locals of its blocks from stay on.
//
// The copy's source is not pinned, and making room for its destination may evict it. That is sound: the block keeps its
// contents until somebody writes it, whoever gets it gets it after this, and a step makes its copies in the order they
// were asked for and before it computes anything.
func (st *store) take(agent string, m match, grow, locals, stay int) (blocks []int32, c copyKV) {
	own := st.agents[agent]
	if own != nil {
		st.used.MoveToBack(own.use)
	}
	blocks = slices.Clone(m.blocks)
	for i, b := range blocks {
		st.pool.pin(b)
		if i >= m.low {
			st.local.pin(b, i >= stay)
		}
	}
	k := len(blocks)
	c.dst = none
	if m.move {
		st.pool.pin(m.tail)
		if k >= m.low {
			st.local.pin(m.tail, k >= stay)
			st.local.unhold(m.tail)
		}
		st.pool.unhold(m.tail)
		own.blocks = own.blocks[:len(blocks)]
		own.tokens = own.tokens[:len(blocks)*st.index.blockTokens]
		own.dirty = false // the sequence has it all now, and leaves it to the next memory
		blocks = append(blocks, m.tail)
		if len(own.blocks) == 0 {
			st.forget(own)
		}
	}
	st.pool.reserve(grow)
	st.local.pay(locals)
	if m.tail != none && !m.move {
		c = copyKV{src: m.tail, srcLocal: st.local.of[m.tail], dstLocal: none, tokens: int32(m.part)}
		c.dst = st.alloc()
		blocks = append(blocks, c.dst)
		if k >= m.low {
			st.allocLocal(c.dst, k >= stay)
			c.dstLocal = st.local.of[c.dst]
		}
		if c.dst == c.src && c.dstLocal == c.srcLocal { // the tail was evicted and came straight back
			c.dst = none
		}
	}
	return blocks, c
}

// alloc redeems one reserved block, evicting when none is free: block by block from the end of the memory that was
// unused for longest, because the start of a conversation is worth having without its end, and never the other way
// around. A block that others need as well does not become free by this; then it goes on.
func (st *store) alloc() int32 {
	for len(st.pool.free) == 0 {
		oldest := st.used.Front()
		if oldest == nil {
			panic("engine: a reserved block that nobody can give")
		}
		st.cut(oldest.Value.(*memory))
	}
	return st.pool.alloc()
}

// allocLocal redeems one promised local for block b, evicting like alloc: a memory without its end's locals is of as
// little use as one without its end.
func (st *store) allocLocal(b int32, stays bool) {
	for st.local.tally[byNobody] == 0 {
		oldest := st.used.Front()
		if oldest == nil {
			panic("engine: a promised local that nobody can give")
		}
		st.cut(oldest.Value.(*memory))
	}
	st.local.alloc(b, stays)
}

// cut takes the last block from a memory.
func (st *store) cut(m *memory) {
	last := len(m.blocks) - 1
	b := m.blocks[last]
	if m.agent == "" {
		delete(st.anonymous, b)
	}
	if m.dirty {
		x := none
		if last >= m.low {
			x = st.local.of[b]
		}
		st.lost = append(st.lost, lost{m, m.tokens, last, b, x})
	}
	if last >= m.low {
		st.local.unhold(b)
	}
	m.blocks = m.blocks[:last]
	m.tokens = m.tokens[:last*st.index.blockTokens]
	m.cut = true
	if st.pool.unhold(b) {
		st.freed(b)
		st.evictions++
	}
	switch {
	case last == 0:
		st.forget(m)
	case m.agent == "":
		if st.anonymous[m.blocks[last-1]] != nil {
			st.forget(m) // somebody else remembers the same
		} else {
			st.anonymous[m.blocks[last-1]] = m
		}
	}
}

// forget drops a memory. If it lost blocks to eviction, its agent's name is noted.
func (st *store) forget(m *memory) {
	for i, b := range m.blocks {
		if i >= m.low {
			st.local.unhold(b)
		}
		if st.pool.unhold(b) {
			st.freed(b)
		}
	}
	st.used.Remove(m.use)
	if m.agent == "" {
		if n := len(m.blocks); n > 0 && st.anonymous[m.blocks[n-1]] == m {
			delete(st.anonymous, m.blocks[n-1])
		}
		return
	}
	delete(st.agents, m.agent)
	if m.cut {
		if len(st.evicted) == maxEvicted {
			clear(st.evicted)
		}
		st.evicted[m.agent] = struct{}{}
	}
}

// freed parts a block that has become free from what was known of it.
func (st *store) freed(b int32) {
	st.index.remove(b)
	st.local.drop(b)
}

// seal puts block b, which a sequence has just filled with tokens after parent, into the index and returns it. If an
// equal block is there already, because two sequences computed the same at the same time or only its local was gone, b is
// freed and the other one returned in its place, pinned. local says whether the sequence has b's local pinned; it stays
// on it or not.
func (st *store) seal(parent, b int32, tokens []int32, local, stays bool) int32 {
	if twin := st.index.find(parent, tokens); twin != none {
		if local {
			st.local.move(b, twin, stays)
		}
		// Freed first: pinning an idle twin takes a cached block, and this is what makes up for it.
		st.release(b)
		st.pool.pin(twin)
		return twin
	}
	st.index.insert(b, parent, tokens)
	return b
}

// share pins the block that holds tokens after parent, if there is one with its local, in place of a reserved block that
// the sequence would have filled with them, and of a promised local.
func (st *store) share(parent int32, tokens []int32, stays bool) int32 {
	b := st.index.find(parent, tokens)
	if b == none || !st.local.has(b) {
		return none
	}
	st.pool.unreserve(1)
	st.pool.pin(b)
	if st.local.window > 0 {
		st.local.pay(-1)
		st.local.pin(b, stays)
	}
	return b
}

// release unpins a block of a sequence, whose local it has unpinned.
func (st *store) release(b int32) {
	if st.pool.unpin(b) {
		st.freed(b)
	}
}

// keep makes a chain the memory of its agent, in place of the one it had. The caller has the blocks pinned and still
// has to release them; tokens and blocks become the store's.
//
// An agent has one memory. When requests of one agent run at the same time, the one that ends last leaves it. Two
// exceptions keep an agent from losing by it: a chain that its memory begins with adds nothing, and one that was
// cancelled before its prompt was done (partial) does not replace a longer one.
//
// Neither holds for a memory that eviction has cut so that sliding layers cannot go on from its end.
//
// Of an anonymous chain the full blocks are kept, once, for whoever comes with the same prefix.
//
// last is the token that the chain goes on with, if its KV was not computed. turn is where it may be taken up again.
//
// The memory is dirty, unless it is partial and shorter than what it stands for: then there may be a better one on disk.
func (st *store) keep(agent string, tokens, last, blocks []int32, turn int, partial bool) {
	if agent == "" {
		st.keepAnonymous(tokens, blocks)
		return
	}
	if len(tokens) == 0 {
		return
	}
	whole, made := len(tokens), time.Time{}
	if partial {
		whole = unknown
	}
	if old := st.agents[agent]; old != nil {
		if len(tokens) >= old.whole {
			whole = len(tokens)
		}
		stays := partial && len(tokens) < len(old.tokens)
		begins := len(tokens) <= len(old.tokens) && slices.Equal(tokens, old.tokens[:len(tokens)])
		if (stays || begins) && (old.dirty || old.low <= st.local.low(len(old.tokens))) {
			st.used.MoveToBack(old.use)
			return
		}
		if begins {
			whole = max(whole, old.whole)
		}
		// The new chain's blocks are pinned, so what both share survives this.
		old.dirty = false
		st.forget(old)
		made = old.made
	}
	delete(st.evicted, agent)
	m := st.add(&memory{agent: agent, tokens: tokens, last: last, blocks: blocks, turn: turn, whole: whole, made: made})
	st.agents[agent] = m
	if st.tell && !m.behind() {
		m.dirty = true
		st.fresh = append(st.fresh, m)
	}
}

// keepAnonymous keeps the full blocks of a chain, and the locals at their end, which must all be there.
func (st *store) keepAnonymous(tokens, blocks []int32) {
	full := len(tokens) / st.index.blockTokens
	if full == 0 {
		return
	}
	last := blocks[full-1]
	if old := st.anonymous[last]; old != nil {
		st.used.MoveToBack(old.use)
		for i := st.local.low(len(old.tokens)); i < min(old.low, full); i++ { // eviction had cut it
			st.local.hold(blocks[i])
		}
		old.low = min(old.low, st.local.low(len(old.tokens)))
		return
	}
	st.anonymous[last] = st.add(&memory{tokens: tokens[:full*st.index.blockTokens], blocks: blocks[:full]})
}

func (st *store) add(m *memory) *memory {
	m.low = st.local.low(len(m.tokens))
	for i, b := range m.blocks {
		st.pool.hold(b)
		if i >= m.low {
			st.local.hold(b)
		}
	}
	m.use = st.used.PushBack(m)
	return m
}

package kv

import (
	"container/list"
	"iter"
)

// A Store owns every block and every window slot of the cache: pool says what refers to a block,
// index what is in it, slots what the sliding layers have of it, and chains keep blocks while
// nothing runs.
//
// Rules that hold between calls:
//   - Full blocks are immutable, in the index, and shared. The last, partial block of a chain or a
//     sequence belongs to it alone.
//   - A chain or sequence that has a block has all blocks before it. So a block's parent stays in
//     the index as long as the block does.
type Store struct {
	Layout
	pool  pool
	index index
	slots slots

	agents    map[Agent]*Chain
	anonymous map[int32]*Chain // by last block, which in the index stands for the whole chain
	byUse     list.List        // of *Chain, the least recently used first
	evictions uint64
	evicted   Names // agents whose chains eviction has cut and that have none now

	accounts map[string]*account // by principal, of those that have something
	open     []*account          // the same, in the order in which they came
	limits   map[string]Limit    // see SetLimits

	retired []*Chain // dirty ones that are not their agents' any more

	// Track has the store note what a copy elsewhere, such as on disk, has to know.
	Track bool
	// KeepDirty has a dirty chain that a sequence continues stay as it is until it is saved, or
	// until the agent's next one takes its place.
	KeepDirty bool
	fresh     []*Chain // became dirty
	lost      []Lost
}

// NewStore returns a store whose blocks and slots are all free.
func NewStore(l Layout) *Store {
	return &Store{
		Layout:    l,
		pool:      newPool(l.Blocks),
		index:     newIndex(l.Blocks, l.BlockTokens),
		slots:     newSlots(l),
		agents:    make(map[Agent]*Chain),
		anonymous: make(map[int32]*Chain),
		evicted:   make(Names),
		accounts:  make(map[string]*account),
	}
}

// SetHash replaces Hash, so that a test can have all blocks collide. The store must be empty.
func (st *Store) SetHash(sum func(parent uint64, tokens []int32) uint64) { st.index.sum = sum }

// Stats says how a store's room is used.
type Stats struct {
	Blocks, Slots Counts
	Bytes         Purposes // of blocks and slots together
	Agents        int      // agents with a chain
	Evictions     uint64   // blocks that eviction has freed
}

// Stats returns the state as it is.
func (st *Store) Stats() Stats {
	s := Stats{
		Blocks:    st.pool.counts(),
		Slots:     st.slots.counts(),
		Agents:    len(st.agents),
		Evictions: st.evictions,
	}
	s.Bytes.add(st.pool.purposes(), int64(st.BlockTokens)*int64(st.GlobalBytes))
	s.Bytes.add(st.slots.purposes(), int64(st.BlockTokens)*int64(st.SlidingBytes))
	return s
}

// Agent returns an agent's chain, nil if it has none.
func (st *Store) Agent(agent Agent) *Chain { return st.agents[agent] }

// Agents returns the chains of all agents, in no order.
func (st *Store) Agents() iter.Seq[*Chain] {
	return func(yield func(*Chain) bool) {
		for _, c := range st.agents {
			if !yield(c) {
				return
			}
		}
	}
}

// Chains returns all chains, anonymous ones too, the least recently used first.
func (st *Store) Chains() iter.Seq[*Chain] {
	return func(yield func(*Chain) bool) {
		for e := st.byUse.Front(); e != nil; e = e.Next() {
			if !yield(e.Value.(*Chain)) {
				return
			}
		}
	}
}

// SlotOf returns the window slot of a block, or None.
func (st *Store) SlotOf(block int32) int32 { return st.slots.of[block] }

// ChainBytes returns the bytes of a chain's KV.
func (st *Store) ChainBytes(c *Chain) int64 { return st.Bytes(len(c.Tokens), c.start) }

// Forget drops an agent's chain because its owner wants that, and reports whether there was one.
// The agent counts as new afterwards.
func (st *Store) Forget(agent Agent) bool {
	st.evicted.Remove(agent)
	c := st.agents[agent]
	if c == nil {
		return false
	}
	c.cut = false
	st.drop(c)
	return true
}

// TakeFresh calls f with each chain that has become dirty since the last call.
func (st *Store) TakeFresh(f func(*Chain)) {
	for i, c := range st.fresh {
		st.fresh[i] = nil
		f(c)
	}
	st.fresh = st.fresh[:0]
}

// TakeLost calls f with each block that a dirty chain has lost since the last call. It must be
// called before anything writes to the KV.
func (st *Store) TakeLost(f func(*Lost)) {
	for i := range st.lost {
		f(&st.lost[i])
		st.lost[i] = Lost{}
	}
	st.lost = st.lost[:0]
}

// alloc turns the promise of one block into a block. It evicts when none is free: block by block
// from the end of the least recently used chain of the principal that has most, because the start
// of a conversation is worth having without its end, and never the other way around. A block that
// others need as well does not become free by this; then eviction goes on.
func (st *Store) alloc(c *Claim) int32 {
	st.evictUntil((*account).total, func() bool { return len(st.pool.free) > 0 })
	b := st.pool.alloc()
	st.pool.own(b, c.account)
	c.promised--
	c.account.promised--
	return b
}

// evictUntil evicts from the principal that has the most of something until there is room. Evicting
// for window slots takes whole blocks too: a chain without the slots at its end is of as little use
// as one without its end.
func (st *Store) evictUntil(has func(*account) int, room func() bool) {
	for !room() {
		a := st.largest(has)
		if a == nil || !st.evictFrom(a) {
			panic("kv: a promise that eviction cannot keep")
		}
	}
}

// Evict cuts the least recently used chain of the principal that has the most blocks. It returns
// false if there is no chain.
func (st *Store) Evict() bool {
	a := st.largest((*account).total)
	return a != nil && st.evictFrom(a)
}

// evictFrom cuts the least recently used chain of an account. It returns false if there is none.
//
// A retired chain that a running sequence continues comes last: the sequence has all of its blocks,
// so cutting it would free none and would have all of them copied at once.
//
// Tried and lost: cutting the chain whose end costs least to lose, by its bytes, the time to
// compute it again (a block costs more the later it stands) and the chance that its agent comes
// back, learnt from how long agents were idle that did; the idle time divided by that cost; and
// GDSF (Cherkasova 1998). Of the hits of a cache without an end, on block traces of
// harness/scenario/agents (1919, 1644, 1690 and 892 calls; pools in parts of what the agents at
// work have at their longest), they and an oracle, which cuts the chain whose end is needed last,
// reached:
//
//	               pool    LRU   cost   idle/cost   GDSF   oracle
//	coding-agent    50 %  0.994  0.994      0.993  0.990    0.998
//	                30 %  0.735  0.733      0.735  0.730    0.789
//	research        50 %  0.958  0.957      0.960  0.950    0.999
//	                20 %  0.792  0.781      0.791  0.768    0.849
//	support-chat    30 %  0.994  0.902      0.993  0.974    1.000
//	                10 %  0.841  0.847      0.840  0.841    0.876
//	short-tools     40 %  0.973  0.972      0.973  0.964    0.983
//	                20 %  0.845  0.845      0.845  0.845    0.846
//
// With all that are idle counted among those that may come back, and hits weighed by that cost, the
// second column differs from LRU by no more than 0.015, mostly downwards. What the oracle knows
// more is which agents have ended, above all sub-agents, and no server is told.
func (st *Store) evictFrom(a *account) bool {
	oldest := a.chains.Front()
	if oldest == nil {
		return false
	}
	for e := oldest; e != nil; e = e.Next() {
		c := e.Value.(*Chain)
		if !c.Retired || st.pool.idle(c.Blocks[len(c.Blocks)-1]) {
			oldest = e
			break
		}
	}
	st.Cut(oldest.Value.(*Chain))
	return true
}

// freed forgets what was known of a block that has become free.
func (st *Store) freed(b int32) {
	st.index.remove(b)
	st.slots.drop(b)
}

// Slot says which block's KV window slot x has, None if no block's, and whether a sequence has the
// slot, or else a chain holds it.
func (st *Store) Slot(x int) (block int32, running, cached bool) {
	a := &st.slots.all[x]
	running = a.borrows+a.pins > 0
	return a.block, running, !running && a.holds > 0
}

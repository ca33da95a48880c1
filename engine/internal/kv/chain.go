package kv

import (
	"container/list"
	"math"
	"slices"
	"time"
)

// A Chain is what the pool keeps of a conversation: the tokens whose KV is computed, and the blocks
// that hold it. It holds the slots of the blocks in the window at its end.
type Chain struct {
	Identity          // anonymous for a prefix that an anonymous request, or a shared prompt, left
	Tokens    []int32 // those whose KV is in Blocks
	Blocks    []int32 // ceil(len(Tokens)/BlockTokens); only the last one may be partial
	Last      []int32 // the answer's last tokens as it was kept, whose KV has not been computed
	TurnStart int     // the token to which a user may return, to ask the last question again

	// Dirty says that what it was kept with is nowhere else. It is set only in a Store that tracks
	// changes; the code that saves the chain clears it.
	Dirty bool
	// Copying says that a copy of the dirty chain is being made. The code that makes the copy sets
	// and clears this.
	Copying bool
	// Retired says that the agent has gone on from this chain, which is kept only until it is
	// saved. Release gives it up.
	Retired bool

	// The engine, which has the clock, sets these.
	Created time.Time // when the agent's first chain was kept
	Used    time.Time // when the agent's last request ended

	// Drafts is what the engine knows of the tokens beside their KV, for as long as the chain is
	// there.
	Drafts any

	start int  // the first block whose slot it holds; none if that is past the last
	cut   bool // eviction has taken the end
	whole int  // len(Tokens) as it was kept; unknown when the agent may have more on disk
	use   *list.Element
	// account and inAccount are its principal's, and its place in the list there.
	account   *account
	inAccount *list.Element
}

// unknown is more tokens than any chain has.
const unknown = math.MaxInt

// Partial reports whether the agent may have more on disk than in this chain. It does so for a nil
// Chain: the agent has nothing in the pool.
func (c *Chain) Partial() bool { return c == nil || len(c.Tokens) < c.whole }

// A Lost block was in a dirty chain and is not any more. Its contents stay until the next write
// to the KV.
type Lost struct {
	Chain  *Chain
	Tokens []int32 // all that the chain had with the block
	Index  int     // the block's place in the chain
	Block  int32
	Slot   int32 // of the block, or None
}

// An Ended sequence leaves a chain.
type Ended struct {
	Tokens    []int32 // those whose KV is computed
	Last      []int32 // the tokens that follow them, whose KV is not computed
	Blocks    []int32
	TurnStart int  // see Chain.TurnStart
	Partial   bool // it was cancelled before its prompt was done
}

// Keep makes what a sequence leaves the chain of its agent, in place of the one that the agent had.
// The sequence still has its blocks; Tokens and Blocks become the store's.
//
// An agent has one chain. When requests of one agent run at the same time, the one that ends last
// leaves it. There are two exceptions, so that the agent does not lose by it: a chain with which
// the old one begins adds nothing, and a partial one does not replace a longer one. Neither holds
// for an old chain that eviction has cut so that sliding layers cannot continue from its end.
//
// Of an anonymous sequence the full blocks are kept, once, for any request with the same prefix.
//
// The chain is dirty, unless it is partial and shorter than the agent's memory was: then there
// may be a better one on disk.
func (st *Store) Keep(who *Identity, e Ended) {
	agent := who.Agent
	if agent.Anonymous() {
		st.keepAnonymous(who, e.Tokens, e.Blocks)
		return
	}
	if len(e.Tokens) == 0 {
		return
	}
	whole, created := len(e.Tokens), time.Time{}
	if e.Partial {
		whole = unknown
	}
	if old := st.agents[agent]; old != nil && old.Root != who.Root {
		created = old.Created
		st.replace(old)
	} else if old != nil {
		if len(e.Tokens) >= old.whole {
			whole = len(e.Tokens)
		}
		shorter := e.Partial && len(e.Tokens) < len(old.Tokens)
		begins := CommonPrefix(e.Tokens, old.Tokens) == len(e.Tokens)
		continuable := old.Dirty || old.start <= st.WindowStart(len(old.Tokens))
		if (shorter || begins) && continuable {
			st.touch(old)
			return
		}
		if begins {
			whole = max(whole, old.whole)
		}
		created = old.Created
		st.replace(old)
	}
	st.evicted.Remove(agent)
	c := st.add(&Chain{
		Identity:  *who,
		Tokens:    e.Tokens,
		Blocks:    e.Blocks,
		Last:      e.Last,
		TurnStart: e.TurnStart,
		Created:   created,
		whole:     whole,
	})
	st.agents[agent] = c
	if st.Track && !c.Partial() {
		c.Dirty = true
		st.fresh = append(st.fresh, c)
	}
}

// replace takes away the chain of an agent that is about to get another one. A sequence pins the
// blocks that both share, so they survive this.
func (st *Store) replace(old *Chain) {
	if old.Dirty && old.Copying {
		st.retire(old)
		return
	}
	old.Dirty = false
	st.drop(old)
}

// KeepPrefix keeps the blocks that hold the first n tokens of a sequence as an anonymous chain,
// if the sequence has the slots of the window at their end: a system prompt whose slots nothing
// holds is of no use to the next request with it. n is a multiple of BlockTokens. Without sliding
// layers there is nothing to do, because the index is enough to find the blocks.
func (st *Store) KeepPrefix(who *Identity, c *Claim, tokens []int32) {
	if st.Window > 0 && c.window.start <= st.WindowStart(len(tokens)) {
		st.keepAnonymous(who, slices.Clone(tokens), slices.Clone(c.Blocks[:len(tokens)/st.BlockTokens]))
	}
}

// keepAnonymous keeps the full blocks of a chain, and the slots at their end, which must all be
// there.
func (st *Store) keepAnonymous(who *Identity, tokens, blocks []int32) {
	full := len(tokens) / st.BlockTokens
	if full == 0 || who.Alone {
		return
	}
	last := blocks[full-1]
	if old := st.anonymous[last]; old != nil {
		st.touch(old)
		start := st.WindowStart(len(old.Tokens))
		for i := start; i < min(old.start, full); i++ { // eviction had cut it
			st.slots.hold(blocks[i])
			st.slots.own(blocks[i], old.account)
		}
		old.start = min(old.start, start)
		return
	}
	st.anonymous[last] = st.add(&Chain{
		Identity: Identity{Agent: Agent{Principal: who.Agent.Principal}, Root: who.Root},
		Tokens:   tokens[:full*st.BlockTokens],
		Blocks:   blocks[:full],
	})
}

func (st *Store) add(c *Chain) *Chain {
	c.start = st.WindowStart(len(c.Tokens))
	c.account = st.accountOf(c.Agent.Principal)
	for i, b := range c.Blocks {
		st.pool.hold(b)
		if i >= c.start {
			st.slots.hold(b)
			st.slots.own(b, c.account)
		}
	}
	c.use = st.byUse.PushBack(c)
	c.inAccount = c.account.chains.PushBack(c)
	return c
}

// touch makes a chain the one that was used last.
func (st *Store) touch(c *Chain) {
	st.byUse.MoveToBack(c.use)
	c.account.chains.MoveToBack(c.inAccount)
}

// drop gives a chain up. If it lost blocks to eviction, its agent's name is noted.
func (st *Store) drop(c *Chain) {
	for i, b := range c.Blocks {
		if i >= c.start {
			st.slots.unhold(b)
		}
		if st.pool.unhold(b) {
			st.freed(b)
		}
	}
	st.byUse.Remove(c.use)
	c.account.chains.Remove(c.inAccount)
	st.close(c.account)
	if c.Retired {
		i := slices.Index(st.retired, c)
		st.retired = slices.Delete(st.retired, i, i+1)
		return
	}
	if c.Agent.Anonymous() {
		if n := len(c.Blocks); n > 0 && st.anonymous[c.Blocks[n-1]] == c {
			delete(st.anonymous, c.Blocks[n-1])
		}
		return
	}
	delete(st.agents, c.Agent)
	if c.cut {
		st.evicted.Add(c.Agent)
	}
}

// retire takes a chain away from its agent. The agent has another chain from now on, or none. The
// retired chain's blocks stay held, and can be evicted, until it is released. Its last block may be
// partial and be continued by a sequence meanwhile, which writes behind the chain's tokens: those
// stay as they are.
func (st *Store) retire(c *Chain) {
	delete(st.agents, c.Agent)
	c.Retired = true
	st.retired = append(st.retired, c)
}

// Release says that a chain need not be saved any more. A retired one is dropped, unless eviction
// has taken all of it already.
func (st *Store) Release(c *Chain) {
	c.Dirty, c.Copying = false, false
	if c.Retired && slices.Contains(st.retired, c) {
		st.drop(c)
	}
}

// cutRetired evicts block b, which is about to lose its window slot, from the retired chains that
// end with it.
func (st *Store) cutRetired(b int32) {
	for _, c := range slices.Clone(st.retired) {
		if n := len(c.Blocks); c.Blocks[n-1] == b {
			st.Cut(c)
		}
	}
}

// Cut evicts the last block of a chain.
func (st *Store) Cut(c *Chain) {
	last := len(c.Blocks) - 1
	b := c.Blocks[last]
	if c.Agent.Anonymous() {
		delete(st.anonymous, b)
	}
	if c.Dirty {
		x := None
		if last >= c.start {
			x = st.slots.of[b]
		}
		st.lost = append(st.lost, Lost{c, c.Tokens, last, b, x})
	}
	if last >= c.start {
		st.slots.unhold(b)
	}
	c.Blocks = c.Blocks[:last]
	c.Tokens = c.Tokens[:last*st.BlockTokens]
	c.cut = true
	if st.pool.unhold(b) {
		st.freed(b)
		st.evictions++
	}
	switch {
	case last == 0:
		st.drop(c)
	case c.Agent.Anonymous():
		if st.anonymous[c.Blocks[last-1]] != nil {
			st.drop(c) // another chain has the same
		} else {
			st.anonymous[c.Blocks[last-1]] = c
		}
	}
}

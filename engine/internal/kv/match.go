package kv

import "fmt"

// A Match is what the cache has of a prompt. The last token of a prompt is never part of it: its
// logits are needed, so it has to be computed.
type Match struct {
	Tokens int     // how many of the prompt's are in the cache
	Blocks []int32 // full blocks, which are shared as they are
	Part   int     // tokens at the beginning of the next block, tail

	// Branch is how many of the prompt's full blocks others have as well; their window slots may be
	// gone. 0 where the agent's own chain has them.
	Branch int

	// tail is None where Part is 0. It is moved to the sequence when it is the agent's own partial
	// block and matches to its end: then nothing else wants it. Else it is copied.
	tail int32
	move bool

	account *account // of the principal that asks; nil before it has one

	idle  int // how many of the blocks that will be pinned no sequence has pinned now
	start int // the first block whose slot will be pinned or borrowed
}

// Match looks a prompt up. It changes nothing. The blocks are appended to dst.
func (st *Store) Match(who *Identity, prompt, dst []int32) Match {
	size, own := st.BlockTokens, st.agents[who.Agent]
	if own != nil && own.Root != who.Root {
		own = nil
	}
	m := Match{
		Blocks:  st.index.walk(&who.Root, prompt, dst),
		tail:    None,
		account: st.accounts[who.Agent.Principal],
	}
	n := len(m.Blocks)
	if n > 0 && (own == nil || len(own.Blocks) < n || own.Blocks[n-1] != m.Blocks[n-1]) {
		m.Branch = n
	}
	last := None
	if n*size == len(prompt) {
		// All of the prompt is there. To keep its last token out, the last block is copied
		// without it.
		last = m.Blocks[n-1]
		m.Blocks = m.Blocks[:n-1]
	}
	if k := st.slots.usable(m.Blocks); k < len(m.Blocks) {
		m.Blocks = m.Blocks[:k]
	} else if last != None && st.slots.has(last) {
		m.tail, m.Part = last, size-1
	} else if last == None && own != nil {
		st.matchTail(&m, own, prompt)
	}
	if m.Part == 0 {
		m.tail = None
	}
	m.Tokens = len(m.Blocks)*size + m.Part
	m.start = st.WindowStart(m.Tokens)
	for _, b := range m.Blocks {
		if st.pool.idle(b) {
			m.idle++
		}
	}
	if m.move {
		m.idle++
	}
	return m
}

// matchTail compares the prompt with the block of the agent's own chain that follows the full
// blocks matched. It does not look for blocks of other agents that begin alike: it would save
// less than a block, and 10000 agents with one system prompt have 10000 of them.
func (st *Store) matchTail(m *Match, own *Chain, prompt []int32) {
	size, k := st.BlockTokens, len(m.Blocks)
	if k >= len(own.Blocks) || k > 0 && own.Blocks[k-1] != m.Blocks[k-1] {
		return
	}
	if m.tail = own.Blocks[k]; !st.slots.has(m.tail) {
		return
	}
	rest := own.Tokens[k*size : min(len(own.Tokens), (k+1)*size)]
	m.Part = CommonPrefix(rest, prompt[k*size:len(prompt)-1])
	// The block is partial then: a full one would be in m.Blocks.
	m.move = m.Part > 0 && m.Part == len(rest)
}

// Why a prompt's tokens were not in the cache; see Miss.
const (
	MissNewAgent = "new_agent"
	MissEvicted  = "evicted"
	MissSalt     = "other_salt" // the agent's memory was left with another salt
)

// MissDiverged says that an agent's memory and its prompt differ from a token on.
func MissDiverged(at int) string { return fmt.Sprintf("diverged_at=%d", at) }

// Miss says why not more than so many tokens of a prompt were in the cache: MissNewAgent,
// MissEvicted, MissSalt, a MissDiverged, or "" when everything else was new.
func (st *Store) Miss(who *Identity, prompt []int32, cached int) string {
	if cached == len(prompt)-1 {
		return ""
	}
	own := st.agents[who.Agent]
	if own == nil {
		if st.evicted.Has(who.Agent) {
			return MissEvicted
		}
		return MissNewAgent
	}
	if own.Root != who.Root {
		return MissSalt
	}
	switch same := CommonPrefix(own.Tokens, prompt); {
	case same < len(own.Tokens) && same < len(prompt):
		return MissDiverged(same)
	case own.cut, cached < same/st.BlockTokens*st.BlockTokens: // or the window slots there are gone
		return MissEvicted
	default:
		return ""
	}
}

// CommonPrefix returns the length of the longest common prefix.
func CommonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

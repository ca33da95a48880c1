package engine

import "fmt"

// A match is what the cache has of a prompt. The last token of a prompt is never part of it: its logits are needed, so
// it has to be computed.
type match struct {
	blocks []int32 // full blocks, shared as they are

	// The next block begins like tail for part tokens; none and 0 if there is nothing. It can be moved to the new
	// sequence when it is the agent's own partial block and all of it matches: then nobody else wants it. Else it is
	// copied.
	tail int32
	part int
	move bool

	idle int // how many of the blocks that will be pinned are not pinned now

	low    int // the first block whose local will be pinned
	branch int // how many of the prompt's full blocks others have; their locals may be gone
}

// tokens is how many of the prompt's are in the cache.
func (m *match) tokens(blockTokens int) int { return len(m.blocks)*blockTokens + m.part }

// match looks a prompt up, for the agent that asks. It changes nothing. The blocks are appended to dst.
func (st *store) match(agent string, prompt, dst []int32) match {
	size, own := st.index.blockTokens, st.agents[agent]
	m := match{blocks: st.index.walk(prompt, dst), tail: none}
	n := len(m.blocks)
	if n > 0 && (own == nil || len(own.blocks) < n || own.blocks[n-1] != m.blocks[n-1]) {
		m.branch = n
	}
	last := none
	if n*size == len(prompt) {
		// All of the prompt is there. Keep its last token out: the last block is copied without it.
		last = m.blocks[n-1]
		m.blocks = m.blocks[:n-1]
	}
	if k := st.local.usable(m.blocks); k < len(m.blocks) {
		m.blocks = m.blocks[:k]
	} else if last != none && st.local.has(last) {
		m.tail, m.part = last, size-1
	} else if last == none && own != nil {
		st.matchTail(&m, own, prompt)
	}
	if m.part == 0 {
		m.tail = none
	}
	m.low = st.local.low(m.tokens(size))
	for _, b := range m.blocks {
		if st.pool.idle(b) {
			m.idle++
		}
	}
	if m.move {
		m.idle++
	}
	return m
}

// matchTail compares the prompt with the block of the agent's own memory that follows the full blocks matched. Other
// agents' blocks that begin alike are not looked for: it would save less than a block, and 10000 agents with one system
// prompt have 10000 of them.
func (st *store) matchTail(m *match, own *memory, prompt []int32) {
	size, k := st.index.blockTokens, len(m.blocks)
	if k >= len(own.blocks) || k > 0 && own.blocks[k-1] != m.blocks[k-1] {
		return
	}
	if m.tail = own.blocks[k]; !st.local.has(m.tail) {
		return
	}
	rest := own.tokens[k*size : min(len(own.tokens), (k+1)*size)]
	m.part = common(rest, prompt[k*size:len(prompt)-1])
	m.move = m.part > 0 && m.part == len(rest) // it is partial: a full block would be among m.blocks
}

// miss says why no more than the cached tokens of a prompt were in the cache, in the words of Result.Miss.
func (st *store) miss(agent string, prompt []int32, cached int) string {
	if cached == len(prompt)-1 {
		return ""
	}
	own := st.agents[agent]
	if own == nil {
		if _, ok := st.evicted[agent]; ok {
			return "evicted"
		}
		return "new_agent"
	}
	switch same := common(own.tokens, prompt); {
	case same < len(own.tokens) && same < len(prompt):
		return fmt.Sprintf("diverged_at=%d", same)
	case own.cut, cached < same/st.index.blockTokens*st.index.blockTokens: // or the locals there
		return "evicted"
	default:
		return ""
	}
}

// common is the length of the longest common prefix.
func common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

package grammar

import (
	"encoding/binary"
	"slices"
)

// dead is the state after a byte that leaves the grammar.
const dead int32 = -1

// A machine runs a grammar over bytes. A state is the set of all stacks of symbols that may follow.
// Stacks share their lower parts, and equal stacks and equal states have equal numbers, so states
// are small and each transition is computed once. A machine is not safe for concurrent use.
type machine struct {
	g        *Grammar
	far      int32 // see near; 0 for no limit
	stacks   []stack
	nears    []int32 // by stack: the one that is like it nearby
	stackIDs map[stack]int32
	states   []state
	stateIDs map[string]int32
	seen     map[stack]bool // stacks that expand has handled for the state in the making
	key      []byte
}

// A stack is a list of symbols. Its top is the rest of an alternative, which begins at place at in
// the code, or, if at is negative, the repetition of rule ^at, of which at least low and at most
// high are left. below is the number of the stack below it, -1 if there is none.
type stack struct{ at, below, low, high int32 }

type state struct {
	tops   []int32     // the stacks, by number; each begins with a class
	accept bool        // the answer may end here
	near   int32       // a state with the same mask
	next   *[256]int32 // by byte: dead, or the next state plus 1, or 0 if it is not known yet
}

// newMachine makes a machine for masks of tokens of up to far bytes; 0 stands for any number.
func newMachine(g *Grammar, far int) *machine {
	return &machine{g: g, far: int32(far), stackIDs: make(map[stack]int32),
		stateIDs: make(map[string]int32), seen: make(map[stack]bool)}
}

// start returns the state before the first byte.
func (m *machine) start() int32 {
	var s state
	clear(m.seen)
	m.push(&s, m.g.root, -1)
	return m.intern(s)
}

// run returns the state after a text.
func (m *machine) run(at int32, text []byte) int32 {
	for _, c := range text {
		at = m.step(at, c)
	}
	return at
}

// step returns the state after a byte.
func (m *machine) step(at int32, c byte) int32 {
	if at == dead {
		return dead
	}
	known := m.states[at].next
	if known != nil {
		if n := known[c]; n != 0 {
			return max(n-1, dead)
		}
	} else if m.states[at].near == at { // the others are passed once, so nothing is kept for them
		known = new([256]int32)
		m.states[at].next = known
	}
	var s state
	clear(m.seen)
	for _, top := range m.states[at].tops {
		n := m.stacks[top]
		if m.g.classes[^m.g.code[n.at]].has(c) {
			m.expand(&s, stack{at: n.at + 1, below: n.below})
		}
	}
	next := dead
	if s.accept || len(s.tops) > 0 {
		next = m.intern(s)
	}
	if known != nil {
		known[c] = next + 1
		if next == dead {
			known[c] = dead
		}
	}
	return next
}

// expand replaces the rules at the top of a stack by their alternatives until each stack begins
// with a class, and adds those stacks to a state. It ends because no rule is left recursive. It
// handles no stack twice, because there may be exponentially many ways to the same stack.
func (m *machine) expand(s *state, n stack) {
	if m.seen[n] {
		return
	}
	m.seen[n] = true
	if n.at < 0 {
		if n.low == 0 {
			m.pop(s, n.below)
		}
		if n.high > 0 {
			below := n.below
			if n.high > 1 {
				below = m.stack(stack{n.at, n.below, max(n.low-1, 0), n.high - 1})
			}
			m.push(s, m.g.repeats[^n.at].s, below)
		}
		return
	}
	switch sym := m.g.code[n.at]; {
	case sym == end:
		m.pop(s, n.below)
	case sym < 0:
		s.tops = append(s.tops, m.stack(n))
	default:
		// If nothing is left of the top it is dropped, so long lists do not make deep stacks.
		below := n.below
		if m.g.code[n.at+1] != end {
			below = m.stack(stack{at: n.at + 1, below: n.below})
		}
		m.push(s, sym, below)
	}
}

// push expands a symbol on top of a stack.
func (m *machine) push(s *state, sym symbol, below int32) {
	if r := m.g.counts[sym]; r >= 0 {
		count := m.g.repeats[r]
		m.expand(s, stack{^r, below, count.low, count.high})
		return
	}
	for _, a := range m.g.rules[sym] {
		m.expand(s, stack{at: a, below: below})
	}
}

// pop expands what is left.
func (m *machine) pop(s *state, below int32) {
	if below < 0 {
		s.accept = true
		return
	}
	m.expand(s, m.stacks[below])
}

// stack returns the number of a stack.
func (m *machine) stack(n stack) int32 {
	id, ok := m.stackIDs[n]
	if ok {
		return id
	}
	id = int32(len(m.stacks))
	m.stacks = append(m.stacks, n)
	m.nears = append(m.nears, id)
	m.stackIDs[n] = id
	if m.far > 0 {
		// Whatever is repeated has a byte at least, so no more than far repetitions matter for a
		// text of far bytes.
		near := stack{n.at, n.below, min(n.low, m.far+1), min(n.high, m.far+1)}
		if n.below >= 0 {
			near.below = m.nears[n.below]
		}
		if near != n {
			m.nears[id] = m.stack(near)
		}
	}
	return id
}

// intern returns the number of a state.
func (m *machine) intern(s state) int32 {
	slices.Sort(s.tops)
	s.tops = slices.Compact(s.tops)
	m.key = append(m.key[:0], byte(btoi(s.accept)))
	for _, t := range s.tops {
		m.key = binary.LittleEndian.AppendUint32(m.key, uint32(t))
	}
	if id, ok := m.stateIDs[string(m.key)]; ok {
		return id
	}
	id := int32(len(m.states))
	s.near = id
	m.states = append(m.states, s)
	m.stateIDs[string(m.key)] = id
	if slices.ContainsFunc(s.tops, func(t int32) bool { return m.nears[t] != t }) {
		near := state{accept: s.accept}
		for _, t := range s.tops {
			near.tops = append(near.tops, m.nears[t])
		}
		n := m.intern(near)
		m.states[id].near = n
	}
	return id
}

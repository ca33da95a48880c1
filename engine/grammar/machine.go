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
	stacks   []stack
	stackIDs map[stack]int32
	states   []state
	stateIDs map[string]int32
	seen     map[stack]bool // stacks that expand has handled for the state in the making
}

// A stack is a list of symbols. Its top is the rest of an alternative, which begins at place at in the code;
// below is the number of the stack below it, -1 if there is none.
type stack struct{ at, below int32 }

type state struct {
	tops   []int32     // the stacks, by number; each begins with a class
	accept bool        // the answer may end here
	next   *[256]int32 // by byte: dead, or the next state plus 1, or 0 if it is not known yet
}

func newMachine(g *Grammar) *machine {
	return &machine{g: g, stackIDs: make(map[stack]int32), stateIDs: make(map[string]int32),
		seen: make(map[stack]bool)}
}

// start returns the state before the first byte.
func (m *machine) start() int32 {
	var s state
	clear(m.seen)
	for _, a := range m.g.rules[m.g.root] {
		m.expand(&s, a, -1)
	}
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
	if n := m.states[at].next[c]; n != 0 {
		return max(n-1, dead)
	}
	var s state
	clear(m.seen)
	for _, top := range m.states[at].tops {
		n := m.stacks[top]
		if m.g.classes[^m.g.code[n.at]].has(c) {
			m.expand(&s, n.at+1, n.below)
		}
	}
	next := dead
	if s.accept || len(s.tops) > 0 {
		next = m.intern(s)
	}
	m.states[at].next[c] = next + 1
	if next == dead {
		m.states[at].next[c] = dead
	}
	return next
}

// expand replaces the rules at the top of a stack by their alternatives until each stack begins
// with a class, and adds those stacks to a state. It ends because no rule is left recursive. It
// handles no stack twice, because there may be exponentially many ways to the same stack.
func (m *machine) expand(s *state, at, below int32) {
	if m.seen[stack{at, below}] {
		return
	}
	m.seen[stack{at, below}] = true
	switch sym := m.g.code[at]; {
	case sym == end && below < 0:
		s.accept = true
	case sym == end:
		n := m.stacks[below]
		m.expand(s, n.at, n.below)
	case sym < 0:
		s.tops = append(s.tops, m.stack(at, below))
	default:
		// If nothing is left of this stack, its top is dropped, so long lists do not make deep stacks.
		if m.g.code[at+1] != end {
			below = m.stack(at+1, below)
		}
		for _, a := range m.g.rules[sym] {
			m.expand(s, a, below)
		}
	}
}

// stack returns the number of a stack.
func (m *machine) stack(at, below int32) int32 {
	n := stack{at, below}
	id, ok := m.stackIDs[n]
	if !ok {
		id = int32(len(m.stacks))
		m.stacks = append(m.stacks, n)
		m.stackIDs[n] = id
	}
	return id
}

// intern returns the number of a state.
func (m *machine) intern(s state) int32 {
	slices.Sort(s.tops)
	s.tops = slices.Compact(s.tops)
	key := []byte{0}
	if s.accept {
		key[0] = 1
	}
	for _, t := range s.tops {
		key = binary.LittleEndian.AppendUint32(key, uint32(t))
	}
	id, ok := m.stateIDs[string(key)]
	if !ok {
		id = int32(len(m.states))
		s.next = new([256]int32)
		m.states = append(m.states, s)
		m.stateIDs[string(key)] = id
	}
	return id
}

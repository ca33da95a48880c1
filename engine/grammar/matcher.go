package grammar

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// A Vocabulary holds the bytes of every token, sorted, so that tokens with the same beginning are
// neighbours. It is immutable and safe for concurrent use.
type Vocabulary struct {
	size   int
	ids    []int32  // the tokens that have bytes and do not end an answer, sorted by their bytes
	texts  [][]byte // their bytes
	shared []int    // the number of bytes that a token has in common with the one before
	stops  []int32
}

// NewVocabulary reads tokens 0 to size-1. appendToken appends the bytes of a token, none for a
// control token. The tokens stops end an answer.
func NewVocabulary(size int, appendToken func(dst []byte, id int32) []byte,
	stops []int32) *Vocabulary {
	v := &Vocabulary{size: size, stops: stops}
	texts := make([][]byte, size)
	for id := range int32(size) {
		texts[id] = appendToken(nil, id)
		if len(texts[id]) > 0 && !slices.Contains(stops, id) {
			v.ids = append(v.ids, id)
		}
	}
	slices.SortFunc(v.ids, func(a, b int32) int { return bytes.Compare(texts[a], texts[b]) })
	var last []byte
	for _, id := range v.ids {
		n, text := 0, texts[id]
		for n < len(text) && n < len(last) && text[n] == last[n] {
			n++
		}
		v.texts, v.shared = append(v.texts, text), append(v.shared, n)
		last = text
	}
	return v
}

// Mask returns a mask for one answer. Before each token is drawn, the mask is called with the
// answer so far and the logits of the next token, by id. It sets the logits of tokens that would
// leave the grammar to -Inf, and those of the stop tokens unless the answer may end here. The
// answer only grows from call to call. A mask is not safe for concurrent use.
func (g *Grammar) Mask(v *Vocabulary) func(answer []int32, logits []float32) {
	m := newMachine(g)
	at, done := m.start(), 0            // the state after the first done tokens of the answer
	allowed := make(map[int32][]uint64) // by state: the set of allowed tokens
	texts := make(map[int32][]byte)     // the bytes of tokens of the answer
	return func(answer []int32, logits []float32) {
		for _, id := range answer[done:] {
			text, ok := texts[id]
			if !ok {
				if i := slices.Index(v.ids, id); i >= 0 {
					text = v.texts[i]
				}
				texts[id] = text
			}
			at = m.run(at, text)
		}
		done = len(answer)
		set, ok := allowed[at]
		if !ok {
			set = v.allowed(m, at)
			allowed[at] = set
		}
		ruleOut(logits, set)
	}
}

// impossible are the logits of 64 tokens that are ruled out.
var impossible = [64]float32(slices.Repeat([]float32{float32(math.Inf(-1))}, 64))

// ruleOut sets the logits of all tokens outside the set to -Inf. It handles 64 tokens at once if
// none or all of them are in the set.
func ruleOut(logits []float32, set []uint64) {
	for at := 0; at < len(logits); at += 64 {
		in, of := uint64(0), logits[at:min(at+64, len(logits))]
		if at>>6 < len(set) {
			in = set[at>>6]
		}
		switch in {
		case ^uint64(0):
			continue
		case 0:
			copy(of, impossible[:])
			continue
		}
		for i := range of {
			if in>>i&1 == 0 {
				of[i] = impossible[0]
			}
		}
	}
}

// allowed returns the set of tokens that are allowed in a state, as bits. It walks over all tokens
// and reuses the states of the beginning that a token shares with the one before.
func (v *Vocabulary) allowed(m *machine, from int32) []uint64 {
	set := make([]uint64, (v.size+63)/64)
	if from == dead {
		return set
	}
	if m.states[from].accept {
		for _, id := range v.stops {
			set[id>>6] |= 1 << (id & 63)
		}
	}
	// path[n] is the state after n bytes of the last token. It ends before the first dead state.
	path := []int32{from}
	for i, text := range v.texts {
		if v.shared[i] >= len(path) {
			continue // it fails at the byte at which the one before failed
		}
		path = path[:v.shared[i]+1]
		for _, c := range text[v.shared[i]:] {
			next := m.step(path[len(path)-1], c)
			if next == dead {
				break
			}
			path = append(path, next)
		}
		if len(path) > len(text) {
			id := v.ids[i]
			set[id>>6] |= 1 << (id & 63)
		}
	}
	return set
}

// dead is the state after a byte that leaves the grammar.
const dead int32 = -1

// A machine runs a grammar over bytes. A state is the set of all stacks of symbols that may follow.
// Stacks share their lower parts, and equal stacks and equal states have equal numbers, so states
// are small and each transition is computed once. A machine is not safe for concurrent use.
type machine struct {
	g        *Grammar
	nodes    []node
	nodeIDs  map[node]int32
	states   []state
	stateIDs map[string]int32
	seen     map[node]bool // stacks that expand has handled for the state in the making
}

// A node is a stack. Its top is the rest of an alternative, which begins at place at in the code;
// below is the number of the stack below it, -1 if there is none.
type node struct{ at, below int32 }

type state struct {
	tops   []int32     // the stacks, as numbers of nodes; each begins with a class
	accept bool        // the answer may end here
	next   *[256]int32 // by byte: dead, or the next state plus 1, or 0 if it is not known yet
}

func newMachine(g *Grammar) *machine {
	return &machine{g: g, nodeIDs: make(map[node]int32), stateIDs: make(map[string]int32),
		seen: make(map[node]bool)}
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
		n := m.nodes[top]
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
	if m.seen[node{at, below}] {
		return
	}
	m.seen[node{at, below}] = true
	switch sym := m.g.code[at]; {
	case sym == end && below < 0:
		s.accept = true
	case sym == end:
		n := m.nodes[below]
		m.expand(s, n.at, n.below)
	case sym < 0:
		s.tops = append(s.tops, m.node(at, below))
	default:
		// If nothing is left of this node it is dropped, so long lists do not make deep stacks.
		if m.g.code[at+1] != end {
			below = m.node(at+1, below)
		}
		for _, a := range m.g.rules[sym] {
			m.expand(s, a, below)
		}
	}
}

// node returns the number of a stack.
func (m *machine) node(at, below int32) int32 {
	n := node{at, below}
	id, ok := m.nodeIDs[n]
	if !ok {
		id = int32(len(m.nodes))
		m.nodes = append(m.nodes, n)
		m.nodeIDs[n] = id
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

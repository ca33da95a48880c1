package grammar

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// A Vocabulary is the bytes of every token, in an order in which the walk over all of them shares their beginnings.
type Vocabulary struct {
	size   int
	ids    []int32 // of the tokens that have bytes and do not end an answer, by their bytes
	texts  [][]byte
	shared []int // bytes in common with the token before
	stops  []int32
}

// NewVocabulary reads the tokens 0..size-1. appendToken appends a token's bytes, none for control tokens; stops end an answer.
func NewVocabulary(size int, appendToken func(dst []byte, id int32) []byte, stops []int32) *Vocabulary {
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

// Mask returns a mask for one answer, to be called before each token is drawn with the answer so far: it sets the logits of
// tokens that would leave the grammar to -Inf, and those of the stop tokens unless the answer may end here.
func (g *Grammar) Mask(v *Vocabulary) func(answer []int32, logits []float32) {
	m := newMachine(g)
	at, done := m.start(), 0
	allowed := make(map[int32][]uint64) // by state
	texts := make(map[int32][]byte)
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
		rule(logits, set)
	}
}

// impossible is the logits of 64 tokens that are ruled out.
var impossible = [64]float32(slices.Repeat([]float32{float32(math.Inf(-1))}, 64))

// rule sets the logits of all tokens that are not in the set to -Inf: by 64 together where none or all of them are in it.
func rule(logits []float32, set []uint64) {
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

// allowed walks over all tokens from a state.
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
	path := []int32{from} // path[n] is the state after n bytes of the token before; it ends where that died
	for i, text := range v.texts {
		if v.shared[i] >= len(path) {
			continue // dies where the one before died
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

const dead int32 = -1

// A machine runs a grammar over bytes. A state is the set of all stacks of symbols that may follow; stacks share their
// tails, and equal ones are the same number, so states are small and a transition is found once.
type machine struct {
	g        *Grammar
	nodes    []node
	nodeIDs  map[node]int32
	states   []state
	stateIDs map[string]int32
	seen     map[node]bool // places that expand has been at for the state in the making
}

// A node is a stack: the symbol at a place in the code and what follows it there, then the stack below, -1 for none.
type node struct{ at, below int32 }

type state struct {
	tops   []int32 // nodes at a class
	accept bool
	next   *[256]int32 // dead, or a state plus 1; 0: not known yet
}

func newMachine(g *Grammar) *machine {
	return &machine{g: g, nodeIDs: make(map[node]int32), stateIDs: make(map[string]int32), seen: make(map[node]bool)}
}

func (m *machine) start() int32 {
	var s state
	clear(m.seen)
	for _, a := range m.g.rules[m.g.root] {
		m.expand(&s, a, -1)
	}
	return m.intern(s)
}

func (m *machine) run(at int32, text []byte) int32 {
	for _, c := range text {
		at = m.step(at, c)
	}
	return at
}

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

// expand adds what a stack may begin with to a state. It ends because no rule is left recursive,
// and is at no place twice: ways to the same place can be exponentially many.
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
		if m.g.code[at+1] != end { // else the rule takes the stack's place, so that lists do not pile up
			below = m.node(at+1, below)
		}
		for _, a := range m.g.rules[sym] {
			m.expand(s, a, below)
		}
	}
}

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

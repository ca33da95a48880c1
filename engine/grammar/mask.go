package grammar

import (
	"bytes"
	"math"
	"slices"
)

// A Vocabulary holds the bytes of every token, sorted, so that tokens with the same beginning are
// neighbours. It is immutable and safe for concurrent use.
type Vocabulary struct {
	size   int
	ids    []int32  // the tokens that have bytes and do not end an answer, sorted by their bytes
	texts  [][]byte // their bytes
	maxLen int      // the length of the longest
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
		v.maxLen = max(v.maxLen, len(text))
	}
	return v
}

// Longest returns the number of bytes of the longest token.
func (v *Vocabulary) Longest() int { return v.maxLen }

// A Mask holds one answer to a grammar. It is not safe for concurrent use. The answer that its
// methods are given only grows from call to call.
type Mask struct {
	v       *Vocabulary
	m       *machine
	at      int32 // the state after the first done tokens of the answer
	done    int
	allowed map[int32][]uint64 // by state: the set of allowed tokens
	texts   map[int32][]byte   // the bytes of tokens of the answer
}

// Mask returns a mask for one answer.
func (g *Grammar) Mask(v *Vocabulary) *Mask {
	m := newMachine(g, v.maxLen)
	return &Mask{v: v, m: m, at: m.start(),
		allowed: make(map[int32][]uint64), texts: make(map[int32][]byte)}
}

// Rule is to be called before each token is drawn, with the answer so far and the logits of the
// next token, by id. It sets the logits of tokens that would leave the grammar to -Inf, and those
// of the stop tokens unless the answer may end here.
func (k *Mask) Rule(answer []int32, logits []float32) {
	k.follow(answer)
	ruleOut(logits, k.allowedAt(k.at))
}

// follow moves on to the state after an answer.
func (k *Mask) follow(answer []int32) {
	for _, id := range answer[k.done:] {
		k.at = k.m.run(k.at, k.textOf(id))
	}
	k.done = len(answer)
}

// textOf returns the bytes of a token, none for one that ends an answer.
func (k *Mask) textOf(id int32) []byte {
	text, ok := k.texts[id]
	if !ok {
		if i := slices.Index(k.v.ids, id); i >= 0 {
			text = k.v.texts[i]
		}
		k.texts[id] = text
	}
	return text
}

// allowedAt returns the set of tokens that are allowed in a state.
func (k *Mask) allowedAt(at int32) []uint64 {
	near := at
	if at != dead {
		near = k.m.states[at].near
	}
	set, ok := k.allowed[near]
	if !ok {
		set = k.v.allowed(k.m, near)
		k.allowed[near] = set
	}
	return set
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

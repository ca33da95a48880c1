package generate

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"sync"

	"loadstone/engine/grammar"
)

// grammars remembers compiled grammars: an agent sends the same tools with every turn, and all its
// turns have the same grammar. Beyond a number of bytes, those that were used longest ago are
// forgotten.
type grammars struct {
	limit int // bytes

	mu     sync.Mutex
	bytes  int
	recent *list.List // of *compiledSpec, the one used last in front
	known  map[specKey]*list.Element
}

// specKey is a hash of all that a grammar depends on.
type specKey [sha256.Size]byte

type compiledSpec struct {
	key     specKey
	grammar *grammar.Grammar
	unheld  []*grammar.SchemaError
}

func newGrammars(limit int) *grammars {
	return &grammars{limit: limit, recent: list.New(), known: make(map[specKey]*list.Element)}
}

// keyOf returns the key of a spec.
func keyOf(s grammar.Spec) (key specKey) {
	h := sha256.New()
	var b []byte
	// Before each text stands its length, so that where it ends is a part of what is hashed.
	add := func(flags []bool, texts ...string) {
		b = b[:0]
		for _, set := range flags {
			b = strconv.AppendBool(b, set)
		}
		for _, text := range texts {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		h.Write(b)
	}
	add([]bool{s.Format != nil, s.Loose, s.Required, s.Many, s.Thinking.Begun,
		s.Form.AtStart, s.Form.XML}, string(s.Format),
		strconv.Itoa(s.Reach), s.Form.Open, s.Form.Name, s.Form.Args, s.Form.Close,
		s.Form.Next, s.Form.End, s.Form.Lead, s.Form.ID,
		s.Thinking.Open, s.Thinking.Close)
	for _, t := range s.Tools {
		add([]bool{t.Parameters != nil, t.Loose}, t.Name, string(t.Parameters))
	}
	h.Sum(key[:0])
	return key
}

// find returns what was kept under a key, nil if nothing was.
func (g *grammars) find(key specKey) *compiledSpec {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.known[key]
	if !ok {
		return nil
	}
	g.recent.MoveToFront(e)
	return e.Value.(*compiledSpec)
}

// keep remembers a grammar, unless it alone is beyond the limit.
func (g *grammars) keep(c *compiledSpec) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[c.key]; ok || c.grammar.Size() > g.limit {
		return
	}
	g.known[c.key] = g.recent.PushFront(c)
	g.bytes += c.grammar.Size()
	for g.bytes > g.limit {
		last := g.recent.Remove(g.recent.Back()).(*compiledSpec)
		delete(g.known, last.key)
		g.bytes -= last.grammar.Size()
	}
}

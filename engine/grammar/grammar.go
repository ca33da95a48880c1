// Package grammar holds answers to a form: it compiles a JSON schema, or the form of tool calls, into a context-free
// grammar over bytes and says which tokens keep an answer within it.
//
// It is sound: an answer that ends where the grammar lets it end is valid under the schema. It is not complete: of the many
// ways to write a value down it knows one or a few (an object's properties come in the schema's order), and a schema with a
// keyword that it cannot guarantee is refused.
package grammar

import (
	"errors"
	"math"
)

// A symbol is a rule, or, when negative, a class of bytes: ^s is its index.
type symbol int32

// end stands behind the last symbol of an alternative.
const end symbol = math.MinInt32

// A class is a set of bytes.
type class [4]uint64

func (c *class) add(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		c[b>>6] |= 1 << (b & 63)
	}
}

func (c *class) has(b byte) bool { return c[b>>6]>>(b&63)&1 != 0 }

// A Grammar is immutable.
type Grammar struct {
	code    []symbol  // every alternative, each with end behind it
	rules   [][]int32 // where in code a rule's alternatives are
	classes []class
	root    symbol
}

// maxRules bounds what a schema may be compiled to.
const maxRules = 100_000

// A builder makes a grammar rule by rule.
type builder struct {
	rules   [][][]symbol
	classes []class
	known   map[class]symbol
}

func newBuilder() *builder { return &builder{known: make(map[class]symbol)} }

// reserve makes a rule whose alternatives are set later.
func (b *builder) reserve() symbol {
	b.rules = append(b.rules, nil)
	return symbol(len(b.rules) - 1)
}

// oneOf is a rule with alternatives, each a sequence.
func (b *builder) oneOf(alternatives ...[]symbol) symbol {
	b.rules = append(b.rules, alternatives)
	return symbol(len(b.rules) - 1)
}

func (b *builder) seq(s ...symbol) symbol { return b.oneOf(s) }

func (b *builder) optional(s ...symbol) symbol { return b.oneOf(nil, s) }

func (b *builder) class(c class) symbol {
	if s, ok := b.known[c]; ok {
		return s
	}
	b.classes = append(b.classes, c)
	s := ^symbol(len(b.classes) - 1)
	b.known[c] = s
	return s
}

// bytes is the class of the ranges given as pairs.
func (b *builder) bytes(pairs string) symbol {
	var c class
	for i := 0; i < len(pairs); i += 2 {
		c.add(pairs[i], pairs[i+1])
	}
	return b.class(c)
}

func (b *builder) literal(text string) symbol {
	var s []symbol
	for i := range len(text) {
		s = append(s, b.bytes(text[i:i+1]+text[i:i+1]))
	}
	return b.seq(s...)
}

// repeat is s at least low times and at most high, which is -1 for any number.
func (b *builder) repeat(s symbol, low, high int) symbol {
	if len(b.rules) > maxRules {
		return s // build refuses it
	}
	var tail symbol
	if high < 0 {
		tail = b.reserve()
		b.rules[tail] = [][]symbol{nil, {s, tail}}
	} else {
		tail = b.seq()
		for range high - low {
			tail = b.optional(s, tail)
		}
	}
	for range low {
		tail = b.seq(s, tail)
	}
	return tail
}

var (
	errEmpty = errors.New("nothing satisfies it")
	errLoop  = errors.New("it refers to itself without anything in between")
	errSize  = errors.New("it is too large")
)

// build checks the rules and lays them out.
func (b *builder) build(root symbol) (*Grammar, error) {
	if len(b.rules) > maxRules {
		return nil, errSize
	}
	b.prune()
	if len(b.rules[root]) == 0 {
		return nil, errEmpty
	}
	if b.leftRecursive() {
		return nil, errLoop
	}
	g := &Grammar{classes: b.classes, root: root}
	for _, alternatives := range b.rules {
		var starts []int32
		for _, a := range alternatives {
			starts = append(starts, int32(len(g.code)))
			g.code = append(append(g.code, a...), end)
		}
		g.rules = append(g.rules, starts)
	}
	return g, nil
}

// prune takes out the alternatives that no text of finite length can satisfy, so that an answer never runs into a dead end.
func (b *builder) prune() {
	finite := make([]bool, len(b.rules))
	good := func(a []symbol) bool {
		for _, s := range a {
			if s >= 0 && !finite[s] {
				return false
			}
		}
		return true
	}
	for changed := true; changed; {
		changed = false
		for i := range b.rules { // a rule mostly refers to earlier ones, so few rounds do
			for _, a := range b.rules[i] {
				if !finite[i] && good(a) {
					finite[i], changed = true, true
				}
			}
		}
	}
	for i, alternatives := range b.rules {
		var kept [][]symbol
		for _, a := range alternatives {
			if good(a) {
				kept = append(kept, a)
			}
		}
		b.rules[i] = kept
	}
}

// leftRecursive says whether a rule can come to itself before any byte.
func (b *builder) leftRecursive() bool {
	empty := make([]bool, len(b.rules))
	for changed := true; changed; {
		changed = false
		for i, alternatives := range b.rules {
			for _, a := range alternatives {
				all := true
				for _, s := range a {
					all = all && s >= 0 && empty[s]
				}
				if all && !empty[i] {
					empty[i], changed = true, true
				}
			}
		}
	}
	state := make([]byte, len(b.rules)) // 1: on the path, 2: done
	var visit func(symbol) bool
	visit = func(r symbol) bool {
		if state[r] != 0 {
			return state[r] == 1
		}
		state[r] = 1
		for _, a := range b.rules[r] {
			for _, s := range a {
				if s < 0 {
					break
				}
				if visit(s) {
					return true
				}
				if !empty[s] {
					break
				}
			}
		}
		state[r] = 2
		return false
	}
	for r := range b.rules {
		if visit(symbol(r)) {
			return true
		}
	}
	return false
}

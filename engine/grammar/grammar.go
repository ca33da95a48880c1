// Package grammar makes answers conform to a form. It compiles a JSON schema, or the form of tool
// calls, into a context-free grammar over bytes and tells which tokens keep an answer within that
// grammar.
//
// It is sound: an answer that ends where the grammar lets it end is valid under the schema. It is
// not complete:
//
//   - Of the many ways to write a value down it knows a few. Properties of an object come in the schema's order. White
//     space is bounded. A value of enum or const is written as the schema writes it, without white space.
//   - Some valid values cannot be written: properties that the schema allows but does not name, unless it names none;
//     numbers with more than 15 digits before or after the point, numbers of bounded range with an exponent or more than 3
//     digits after the point, and numbers between a fractional bound and the next whole number.
//   - A schema with a keyword that cannot be guaranteed is refused.
package grammar

import (
	"errors"
	"math"
)

// A symbol is the index of a rule or, if it is negative, a class of bytes, whose index is ^s.
type symbol int32

// end follows the last symbol of an alternative.
const end symbol = math.MinInt32

// A class is a set of bytes.
type class [4]uint64

// add adds the bytes from lo to hi, both included.
func (c *class) add(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		c[b>>6] |= 1 << (b & 63)
	}
}

// has reports whether b is in the set.
func (c *class) has(b byte) bool { return c[b>>6]>>(b&63)&1 != 0 }

// A Grammar is a set of answers. It is immutable and safe for concurrent use.
type Grammar struct {
	code    []symbol  // all alternatives, each followed by end
	rules   [][]int32 // by rule: the places in code of its alternatives
	classes []class
	root    symbol
}

// maxRules bounds the number of rules of a grammar.
const maxRules = 100_000

// A builder makes a grammar rule by rule.
type builder struct {
	rules   [][][]symbol // by rule: its alternatives, each a sequence of symbols
	classes []class
	known   map[class]symbol // the symbols of classes
}

func newBuilder() *builder { return &builder{known: make(map[class]symbol)} }

// reserve makes a rule whose alternatives are set later.
func (b *builder) reserve() symbol {
	b.rules = append(b.rules, nil)
	return symbol(len(b.rules) - 1)
}

// oneOf makes a rule with alternatives, each a sequence. Nothing matches a rule without
// alternatives.
func (b *builder) oneOf(alternatives ...[]symbol) symbol {
	b.rules = append(b.rules, alternatives)
	return symbol(len(b.rules) - 1)
}

// seq makes a rule for a sequence.
func (b *builder) seq(s ...symbol) symbol { return b.oneOf(s) }

// optional makes a rule for a sequence or nothing.
func (b *builder) optional(s ...symbol) symbol { return b.oneOf(nil, s) }

// class returns the symbol of a class.
func (b *builder) class(c class) symbol {
	if s, ok := b.known[c]; ok {
		return s
	}
	b.classes = append(b.classes, c)
	s := ^symbol(len(b.classes) - 1)
	b.known[c] = s
	return s
}

// bytes returns the class of the ranges that are given as pairs of their first and last bytes.
func (b *builder) bytes(pairs string) symbol {
	var c class
	for i := 0; i < len(pairs); i += 2 {
		c.add(pairs[i], pairs[i+1])
	}
	return b.class(c)
}

// literal makes a rule for a text.
func (b *builder) literal(text string) symbol {
	var s []symbol
	for i := range len(text) {
		s = append(s, b.bytes(text[i:i+1]+text[i:i+1]))
	}
	return b.seq(s...)
}

// repeat makes a rule for s at least low and at most high times. A negative high stands for no
// limit.
func (b *builder) repeat(s symbol, low, high int) symbol {
	if len(b.rules) > maxRules {
		return s // build will refuse the grammar
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

// build checks the rules and makes the grammar.
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

// prune removes the alternatives that no text of finite length matches, so an answer never runs
// into a dead end.
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
		for i := range b.rules { // most rules refer to earlier ones, so few rounds are needed
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

// leftRecursive reports whether a rule can come to itself before any byte.
func (b *builder) leftRecursive() bool {
	empty := b.empty()
	const onPath, done = 1, 2
	state := make([]byte, len(b.rules))
	var visit func(symbol) bool
	visit = func(r symbol) bool {
		if state[r] != 0 {
			return state[r] == onPath
		}
		state[r] = onPath
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
		state[r] = done
		return false
	}
	for r := range b.rules {
		if visit(symbol(r)) {
			return true
		}
	}
	return false
}

// empty reports for each rule whether it matches the empty text.
func (b *builder) empty() []bool {
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
	return empty
}

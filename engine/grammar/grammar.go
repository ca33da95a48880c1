// Package grammar makes answers conform to a form. It compiles a JSON schema, or the form of tool
// calls, into a context-free grammar over bytes and tells which tokens keep an answer within that
// grammar.
//
// It is sound: an answer that ends where the grammar lets it end is valid under the schema, as
// JSON Schema 2020-12 defines that, with the formats that it knows as assertions. Keywords that
// JSON Schema does not define are annotations (core, section 6.5). A keyword that asserts something
// and cannot be held makes the schema refused or, where the schema is a hint (Tool.Loose,
// Spec.Loose), is left out and named.
//
// It is not complete:
//
//   - Of the many ways to write a value down it knows a few. Properties of an object come in the
//     schema's order. White space is bounded. A value of enum or const is written without white
//     space, in the characters that the schema means rather than in its escapes.
//   - Some valid values cannot be written: properties that the schema allows but does not name,
//     unless it names none; numbers with more than 15 digits before or after the point and, between
//     bounds, with more than 15 digits in all (19 if all whole numbers between them have more) or
//     with an exponent; the longest strings of a pattern or format beside a length that is far
//     beyond it; and unusual strings of some formats, such as labels of host names that have two
//     hyphens in a row.
//   - Of what a schema under not, if or a oneOf with values in common excludes, a part may be
//     excluded that need not be: where that turns on properties that the schema does not name, on
//     formats or on uniqueItems.
//
// The official JSON-Schema-Test-Suite shows what is held: testdata/json-schema-test-suite.txt.
//
// A schema goes through these steps:
//
//	text --parse--> document --add, opposite--> conjunction --typed--> rules
//	rules --check, build--> Grammar
//	pattern, format --pattern--> lang --states--> rules
//	Grammar --newMachine--> machine --allowed--> mask
package grammar

import (
	"maps"
	"math"
	"slices"
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
	counts  []int32   // by rule: its place in repeats, or -1 if it does not repeat
	repeats []repetition
	classes []class
	root    symbol
}

// Size returns the bytes of memory that the grammar takes, without what is the same for all.
func (g *Grammar) Size() int {
	size := 4*len(g.code) + 32*len(g.classes) + 12*len(g.repeats)
	for _, starts := range g.rules {
		size += 24 + 4 + 4*len(starts)
	}
	return size
}

// maxRules bounds the number of rules of a grammar.
const maxRules = 100_000

// A builder makes a grammar rule by rule.
type builder struct {
	rules   [][][]symbol // by rule: its alternatives, each a sequence of symbols
	classes []class
	known   map[class]symbol // the symbols of classes
	repeats map[repetition]symbol
	counts  map[symbol]repetition // rules whose only alternative with symbols is repeated
	texts   map[string]symbol     // literals
	finite  []bool                // by rule that is checked: a text of finite length matches it
	empty   []bool                // by rule that is checked: the empty text matches it
}

func newBuilder() *builder {
	return &builder{known: make(map[class]symbol), repeats: make(map[repetition]symbol),
		counts: make(map[symbol]repetition), texts: make(map[string]symbol)}
}

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
	if sym, ok := b.texts[text]; ok {
		return sym
	}
	s := make([]symbol, len(text))
	for i := range len(text) {
		var c class
		c.add(text[i], text[i])
		s[i] = b.class(c)
	}
	sym := b.seq(s...)
	b.texts[text] = sym
	return sym
}

// A repetition is a number of repetitions of a symbol, which matches a byte at least.
type repetition struct {
	s         symbol
	low, high int32
}

// repeat makes a rule for s at least low and at most high times. A negative high stands for no
// limit. s must match a byte at least.
func (b *builder) repeat(s symbol, low, high int) symbol {
	if s < 0 && high > 1 {
		s = b.repeat(s, 1, 1) // what is repeated is a rule
	}
	r := repetition{s, int32(low), int32(max(high, -1))}
	if sym, ok := b.repeats[r]; ok {
		return sym
	}
	var sym symbol
	switch {
	case high < 0 && low == 0:
		sym = b.reserve()
		b.rules[sym] = [][]symbol{nil, {s, sym}}
	case high < 0:
		sym = b.seq(b.repeat(s, low, low), b.repeat(s, 0, -1))
	case high == 0:
		sym = b.seq()
	case low == 0: // for all that check asks, this is what matters of it
		sym = b.optional(s)
	default:
		sym = b.seq(s)
	}
	b.repeats[r] = sym
	if r.high > 1 {
		b.counts[sym] = r
	}
	return sym
}

// build makes the grammar of a root that is checked.
func (b *builder) build(root symbol) *Grammar {
	g := &Grammar{classes: b.classes, root: root, rules: make([][]int32, len(b.rules)),
		counts: make([]int32, len(b.rules))}
	alternatives, symbols := 0, 0
	for _, list := range b.rules {
		alternatives += len(list)
		for _, a := range list {
			symbols += len(a) + 1
		}
	}
	starts := make([]int32, 0, alternatives)
	g.code = make([]symbol, 0, symbols)
	for i, list := range b.rules {
		from := len(starts)
		for _, a := range list {
			starts = append(starts, int32(len(g.code)))
			g.code = append(append(g.code, a...), end)
		}
		g.rules[i] = starts[from:len(starts):len(starts)]
		g.counts[i] = -1
		// What cannot be repeated even once has lost its alternative.
		if r, ok := b.counts[symbol(i)]; ok && len(list) > btoi(r.low == 0) {
			g.counts[i] = int32(len(g.repeats))
			g.repeats = append(g.repeats, r)
		}
	}
	return g
}

// cut removes the rules from mark on.
func (b *builder) cut(mark int) {
	b.rules = b.rules[:mark]
	b.finite, b.empty = b.finite[:min(mark, len(b.finite))], b.empty[:min(mark, len(b.empty))]
	gone := func(s symbol) bool { return int(s) >= mark }
	maps.DeleteFunc(b.texts, func(_ string, s symbol) bool { return gone(s) })
	maps.DeleteFunc(b.repeats, func(r repetition, s symbol) bool { return gone(s) || gone(r.s) })
	maps.DeleteFunc(b.counts, func(s symbol, _ repetition) bool { return gone(s) })
}

// check checks the rules that are new since the last call, which must refer to nothing that is
// still to come. It removes the alternatives that no text of finite length matches, so an answer
// never runs into a dead end, and returns false if a rule can come to itself before any byte.
func (b *builder) check() bool {
	from := len(b.finite)
	b.finite = b.matched(b.finite, func(s symbol) bool { return s < 0 })
	for i, list := range b.rules[from:] {
		b.rules[from+i] = slices.DeleteFunc(list, func(a []symbol) bool {
			return slices.ContainsFunc(a, func(s symbol) bool { return s >= 0 && !b.finite[s] })
		})
	}
	b.empty = b.matched(b.empty, func(symbol) bool { return false })
	return !b.leftRecursive(from)
}

// matched extends a list that says for each rule whether it has an alternative all of whose symbols
// hold: a class holds if leaf says so, a rule if it is matched itself. It takes time in proportion
// to the size of the new rules.
func (b *builder) matched(list []bool, leaf func(symbol) bool) []bool {
	from := len(list)
	list = append(list, make([]bool, len(b.rules)-from)...)
	type use struct{ rule, alternative int32 }
	uses := make([][]use, len(b.rules)-from) // by rule: the alternatives that wait for it
	open := make([][]int32, len(b.rules)-from)
	var ready []int
	mark := func(rule int) {
		if !list[rule] {
			list[rule] = true
			ready = append(ready, rule)
		}
	}
	for i, alternatives := range b.rules[from:] {
		open[i] = make([]int32, len(alternatives)) // by alternative: how many symbols it waits for
		for j, a := range alternatives {
			for _, s := range a {
				switch {
				case s < 0 && leaf(s), s >= 0 && int(s) < from && list[s]:
				case s < 0 || int(s) < from:
					open[i][j] += math.MaxInt32 / 2 // for ever
				default:
					open[i][j]++
					uses[int(s)-from] = append(uses[int(s)-from], use{int32(i), int32(j)})
				}
				if open[i][j] >= math.MaxInt32/2 {
					break
				}
			}
			if open[i][j] == 0 {
				mark(from + i)
			}
		}
	}
	for len(ready) > 0 {
		rule := ready[len(ready)-1] - from
		ready = ready[:len(ready)-1]
		for _, u := range uses[rule] {
			if open[u.rule][u.alternative]--; open[u.rule][u.alternative] == 0 {
				mark(from + int(u.rule))
			}
		}
	}
	return list
}

// leftRecursive reports whether a rule from a place on can come to itself before any byte.
func (b *builder) leftRecursive(from int) bool {
	const onPath, done = 1, 2
	state := make([]byte, len(b.rules)-from)
	var visit func(symbol) bool
	visit = func(r symbol) bool {
		if int(r) < from {
			return false
		}
		if state[int(r)-from] != 0 {
			return state[int(r)-from] == onPath
		}
		state[int(r)-from] = onPath
		for _, a := range b.rules[r] {
			for _, s := range a {
				if s < 0 {
					break
				}
				if visit(s) {
					return true
				}
				if !b.empty[s] {
					break
				}
			}
		}
		state[int(r)-from] = done
		return false
	}
	for r := range b.rules[from:] {
		if visit(symbol(from + r)) {
			return true
		}
	}
	return false
}

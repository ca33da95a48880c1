package grammar

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// stringOf compiles the strings of a conjunction.
func (c *compiler) stringOf(f *conjunction) (symbol, error) {
	l, low, high, err := c.strings(f)
	if err != nil {
		return 0, err
	}
	if high >= 0 && low > high {
		return c.oneOf(), nil
	}
	if l != anything {
		// A length that all strings have need not be counted.
		if states, edges, ok := c.states(l, func() bool { return c.ctx.Err() != nil }); ok {
			shortest, longest := c.lengths(states, edges)
			if low <= shortest {
				low = 0
			}
			if longest >= 0 && longest <= high {
				high = -1
			}
		}
		sym, ok, err := c.automaton(c.and(l, c.times(anyChar, low, high)))
		if !ok && err == nil {
			sym, ok, err = c.shortened(l, low, high)
		}
		if ok || err != nil {
			return sym, err
		}
		at, keyword := c.having(f, "pattern"), "pattern"
		switch {
		case at.get(keyword) != nil:
		case c.having(f, "format").get("format") != nil:
			at, keyword = c.having(f, "format"), "format"
		default: // opposites alone
			at = f.nodes[slices.IndexFunc(f.nodes, func(n *node) bool { return n.kind == broken })]
			keyword = at.as
		}
		if err := c.refuse(at, keyword, fmt.Sprintf("is too large: together with the length of "+
			"the string its automaton has more than %d states, or finding them takes too much work",
			maxStates)); err != nil {
			return 0, err
		}
	}
	if low == 0 && high < 0 {
		return c.str, nil
	}
	return c.quoted(c.repeat(c.char, low, high)), nil
}

// shortened makes the rules for strings of a language that has few states, but too many together
// with the length. It leaves out the longest strings.
func (c *compiler) shortened(l lang, low, high int) (sym symbol, ok bool, err error) {
	states, _, ok := c.states(l, func() bool { return c.ctx.Err() != nil })
	if err := c.ctx.Err(); err != nil || !ok {
		return 0, false, err
	}
	maxLength := maxStates/4/len(states) + low
	if maxLength >= high {
		return 0, false, nil
	}
	l = c.and(l, c.times(anyChar, low, maxLength))
	if c.isEmpty(l) {
		return 0, false, nil
	}
	return c.automaton(l)
}

// strings returns the language of the strings of a conjunction, but for their length, and the
// bounds of that.
func (c *compiler) strings(f *conjunction) (l lang, low, high int, err error) {
	return c.stringsBy(f, c.format)
}

// outerStrings returns what strings does, with all strings that may be taken for one of a format.
func (c *compiler) outerStrings(f *conjunction) (l lang, low, high int, err error) {
	return c.stringsBy(f, func(name string, _ int) (lang, bool) {
		l, _ := c.outerFormat(name)
		return l, true
	})
}

func (c *compiler) stringsBy(f *conjunction, format func(name string, high int) (lang, bool)) (
	l lang, low, high int, err error) {
	l = anything
	if low, high, err = c.span(f, "minLength", "maxLength"); err != nil {
		return 0, 0, 0, err
	}
	if l, err = c.denied(f, l); err != nil {
		return 0, 0, 0, err
	}
	for _, n := range f.nodes {
		if p := n.get("pattern"); p != nil {
			one, err := c.patternOf(n, "pattern", p.text)
			if err != nil {
				return 0, 0, 0, err
			}
			if one >= 0 {
				l = c.and(l, one)
			}
		}
		if p := n.get("format"); p != nil && p.kind == '"' {
			one, known := format(p.text, high)
			if !known && hasPattern(n) {
				continue
			}
			if !known {
				err := c.refuse(n, "format", fmt.Sprintf("%q is not supported", p.text))
				if err != nil {
					return 0, 0, 0, err
				}
				continue
			}
			l = c.and(l, one)
		}
	}
	return l, low, high, nil
}

// hasPattern reports whether a schema has a pattern, or several, which then are in its allOf.
// Beside a format that is known to its inventor alone, such as Zod's cidrv4 and ulid, that is what
// the inventor checks.
func hasPattern(n *node) bool {
	all := n.get("allOf")
	return n.get("pattern") != nil || all != nil && all.kind == '[' &&
		slices.ContainsFunc(all.values, func(sub *node) bool { return sub.get("pattern") != nil })
}

// denied returns the strings of a language that break no opposite in a conjunction.
func (c *compiler) denied(f *conjunction, l lang) (lang, error) {
	for _, n := range f.nodes {
		if p := n.denies("pattern"); p != nil {
			one, err := c.patternOf(n.values[0], "pattern", p.text)
			if err != nil {
				return 0, err
			}
			if one >= 0 {
				l = c.and(l, c.not(one))
			}
		}
		if p := n.denies("format"); p != nil {
			outer, _ := c.outerFormat(p.text)
			l = c.and(l, c.not(outer))
		}
	}
	texts := []lang{}
	for _, v := range f.denied() {
		if v.kind == '"' {
			texts = append(texts, c.text(v.text))
		}
	}
	if len(texts) > 0 {
		l = c.and(l, c.not(c.or(texts...)))
	}
	return l, nil
}

// patternOf reads a regular expression in a keyword of a schema. It returns a negative number for
// one that is not held.
func (c *compiler) patternOf(n *node, keyword, source string) (lang, error) {
	if v := n.get(keyword); v.kind != '"' && v.kind != '{' {
		return -1, c.refuse(n, keyword, "must be a regular expression")
	}
	l, err := c.pattern(source)
	if err != nil {
		return -1, c.refuse(n, keyword, fmt.Sprintf("cannot be held: %q %v", source, err))
	}
	return l, nil
}

// automaton makes the rules for the strings of a language, in quotes. It returns false if they are
// too many.
func (c *compiler) automaton(l lang) (sym symbol, ok bool, err error) {
	if l == anything {
		return c.str, true, nil
	}
	if sym, ok := c.automata[l]; ok {
		return sym, true, nil
	}
	states, edges, ok := c.states(l, func() bool { return c.ctx.Err() != nil })
	if err := c.ctx.Err(); err != nil {
		return 0, false, err
	}
	if !ok || len(c.rules)+len(states) > maxRules+maxStates {
		return 0, false, nil
	}
	rules := make(map[lang]symbol, len(states))
	for _, s := range states {
		rules[s] = c.reserve()
	}
	for _, s := range states {
		if s == anything {
			c.rules[rules[s]] = [][]symbol{{c.repeat(c.char, 0, -1)}}
			continue
		}
		var alternatives [][]symbol
		if c.exprs[s].nullable {
			alternatives = append(alternatives, nil)
		}
		for _, e := range edges[s] {
			alternatives = append(alternatives, []symbol{c.charOf(e.set), rules[e.to]})
		}
		c.rules[rules[s]] = alternatives
	}
	sym = c.quoted(rules[l])
	c.automata[l] = sym
	return sym, true, nil
}

// escapes are the characters that JSON must escape and has short escapes for.
var escapes = map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`,
	'\r': `\r`, '\t': `\t`}

// charOf makes the rule for a character of a set within a string. Unless the set has all
// characters, they are escaped only where they must be.
func (c *compiler) charOf(set runes) symbol {
	key := string(set)
	if sym, ok := c.sets[key]; ok {
		return sym
	}
	literal := set.both(runes{' ', '!', '#', '[', ']', utf8.MaxRune})
	var alternatives [][]symbol
	for i := 0; i < len(literal); i += 2 {
		alternatives = c.utf8(alternatives, literal[i], literal[i+1])
	}
	for r := range rune(' ') {
		if text, ok := escapes[r]; !ok && set.has(r) {
			alternatives = append(alternatives, []symbol{c.literal(fmt.Sprintf(`\u%04x`, r))})
		} else if set.has(r) {
			alternatives = append(alternatives, []symbol{c.literal(text)})
		}
	}
	for _, r := range `"\` {
		if set.has(r) {
			alternatives = append(alternatives, []symbol{c.literal(escapes[r])})
		}
	}
	sym := c.oneOf(alternatives...)
	if len(set) == len(every) && set[0] == 0 && set[1] == every[1] && set[3] == every[3] {
		sym = c.char
	}
	c.sets[key] = sym
	return sym
}

// utf8 appends the byte sequences of the characters from lo to hi. It splits the range until the
// bytes of each part vary independently.
func (c *compiler) utf8(to [][]symbol, lo, hi rune) [][]symbol {
	for _, last := range []rune{0x7f, 0x7ff, 0xffff} {
		if lo <= last && last < hi {
			return c.utf8(c.utf8(to, lo, last), last+1, hi)
		}
	}
	n := utf8.RuneLen(lo)
	for i := 1; i < n; i++ {
		mask := rune(1)<<(6*i) - 1
		if lo&^mask == hi&^mask {
			continue
		}
		if lo&mask != 0 {
			return c.utf8(c.utf8(to, lo, lo|mask), lo|mask+1, hi)
		}
		if hi&mask != mask {
			return c.utf8(c.utf8(to, lo, hi&^mask-1), hi&^mask, hi)
		}
	}
	var a, b [utf8.UTFMax]byte
	utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	var s []symbol
	for i := range n {
		s = append(s, c.bytes(string([]byte{a[i], b[i]})))
	}
	return append(to, s)
}

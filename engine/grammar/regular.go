package grammar

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// A lang is a regular language over characters, as a number within its langs. Equal numbers mean
// equal languages; the reverse does not hold.
type lang int32

// These languages have fixed numbers.
const (
	nothing  lang = iota // no string
	blank                // the empty string
	anyChar              // any one character
	anything             // all strings
)

// langs makes regular languages from smaller ones and derives them: the derivative of a language by
// a character is what may follow that character (J. A. Brzozowski, Derivatives of regular
// expressions, J. ACM 11 (1964)). Languages that are derived from each other are the states of a
// deterministic automaton, and that works for intersections and complements as for any other
// expression.
type langs struct {
	work  int // spent so far; see maxWork
	exprs []expr
	ids   map[string]lang
	ders  map[derKey]lang
	known map[string]lang // patterns
}

// maxWork bounds the work for all languages of a request to less than 1 s and about 100 MB: an
// automaton may have exponentially many states, and each may take long to find. The unit is a
// derivative, an expression or a few characters of an alphabet.
const maxWork = 1_000_000

// An expr is an expression for a language.
type expr struct {
	op        byte
	set       runes  // of a character
	subs      []lang // what it is made of
	low, high int    // of a repetition; high is -1 for no limit
	nullable  bool   // it has the empty string
}

const (
	opNothing byte = iota
	opBlank
	opChar
	opConcat
	opOr
	opAnd
	opNot
	opRepeat
	opVariable
)

type derKey struct {
	l lang
	r rune
}

// runes is a set of characters: sorted pairs of the first and last of each range.
type runes []rune

// every is the set of all characters. Surrogates are not characters.
var every = runes{0, 0xd7ff, 0xe000, utf8.MaxRune}

// has reports whether r is in the set.
func (s runes) has(r rune) bool {
	i, exact := slices.BinarySearch(s, r)
	return exact || i%2 == 1
}

// normal sorts and joins ranges.
func (s runes) normal() runes {
	type span struct{ lo, hi rune }
	var spans []span
	for i := 0; i < len(s); i += 2 {
		spans = append(spans, span{s[i], s[i+1]})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.lo - b.lo) })
	var out runes
	for _, p := range spans {
		if n := len(out); n > 0 && p.lo <= out[n-1]+1 {
			out[n-1] = max(out[n-1], p.hi)
			continue
		}
		out = append(out, p.lo, p.hi)
	}
	return out.both(every)
}

// both returns the characters that are in s and t, which are sorted.
func (s runes) both(t runes) runes {
	var out runes
	for i, j := 0, 0; i < len(s) && j < len(t); {
		if lo, hi := max(s[i], t[j]), min(s[i+1], t[j+1]); lo <= hi {
			out = append(out, lo, hi)
		}
		if s[i+1] < t[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return out
}

// not returns the characters that are not in s, which is sorted.
func (s runes) not() runes {
	var out runes
	from := rune(0)
	for i := 0; i < len(s); i += 2 {
		if from < s[i] {
			out = append(out, from, s[i]-1)
		}
		from = s[i+1] + 1
	}
	if from <= utf8.MaxRune {
		out = append(out, from, utf8.MaxRune)
	}
	return out.both(every)
}

func newLangs() *langs {
	g := &langs{ids: make(map[string]lang), ders: make(map[derKey]lang),
		known: make(map[string]lang)}
	g.intern(expr{op: opNothing})
	g.intern(expr{op: opBlank, nullable: true})
	g.intern(expr{op: opChar, set: every})
	g.intern(expr{op: opRepeat, subs: []lang{anyChar}, high: -1, nullable: true})
	return g
}

// intern returns the number of an expression.
func (g *langs) intern(e expr) lang {
	g.work += 1 + (len(e.subs)+len(e.set))/4
	key := []byte{e.op}
	for _, r := range e.set {
		key = binary.AppendVarint(key, int64(r))
	}
	for _, s := range e.subs {
		key = binary.AppendVarint(key, int64(s))
	}
	key = binary.AppendVarint(binary.AppendVarint(key, int64(e.low)), int64(e.high))
	if l, ok := g.ids[string(key)]; ok {
		return l
	}
	l := lang(len(g.exprs))
	g.exprs = append(g.exprs, e)
	g.ids[string(key)] = l
	return l
}

// variable makes a language that is defined later, by its only sub, perhaps in terms of itself:
// then a character at least comes before it there.
func (g *langs) variable(nullable bool) lang {
	return g.intern(expr{op: opVariable, low: len(g.exprs), nullable: nullable})
}

// chars is one character of a set.
func (g *langs) chars(set runes) lang {
	if set = set.normal(); len(set) == 0 {
		return nothing
	}
	return g.intern(expr{op: opChar, set: set})
}

// concat is a string of a followed by one of b.
func (g *langs) concat(a, b lang) lang {
	switch ea := g.exprs[a]; {
	case a == nothing || b == nothing:
		return nothing
	case a == blank || a == anything && b == anything:
		return b
	case b == blank:
		return a
	case ea.op == opConcat:
		return g.concat(ea.subs[0], g.concat(ea.subs[1], b))
	}
	nullable := g.exprs[a].nullable && g.exprs[b].nullable
	return g.intern(expr{op: opConcat, subs: []lang{a, b}, nullable: nullable})
}

// or is a string of any of the languages.
func (g *langs) or(list ...lang) lang { return g.combine(opOr, list, nothing, anything) }

// and is a string of all of the languages.
func (g *langs) and(list ...lang) lang { return g.combine(opAnd, list, anything, nothing) }

// combine makes a union or an intersection. unit changes nothing in it, zero makes it zero.
func (g *langs) combine(op byte, list []lang, unit, zero lang) lang {
	var subs []lang
	var set runes
	for _, l := range list {
		e := &g.exprs[l]
		switch {
		case l == zero:
			return zero
		case l == unit:
		case e.op == op:
			subs = append(subs, e.subs...)
		case op == opOr && e.op == opChar:
			set = append(set, e.set...)
		default:
			subs = append(subs, l)
		}
	}
	if op == opOr { // characters of unions within unions are joined, too
		subs = slices.DeleteFunc(subs, func(l lang) bool {
			if g.exprs[l].op == opChar {
				set = append(set, g.exprs[l].set...)
				return true
			}
			return false
		})
		if set != nil {
			subs = append(subs, g.chars(set))
		}
		subs = g.factor(subs)
	}
	slices.Sort(subs)
	subs = slices.Compact(subs)
	isNullable := func(l lang) bool { return g.exprs[l].nullable }
	nullable := slices.ContainsFunc(subs, isNullable)
	if op == opAnd {
		nullable = !slices.ContainsFunc(subs, func(l lang) bool { return !isNullable(l) })
	}
	if op == opAnd && slices.Contains(subs, blank) {
		if nullable {
			return blank
		}
		return nothing
	}
	switch len(subs) {
	case 0:
		return unit
	case 1:
		return subs[0]
	}
	return g.intern(expr{op: op, subs: subs, nullable: nullable})
}

// factor joins languages of a union that begin alike, and repetitions of the same language:
// otherwise what counts in two ways has a state for each set of counts.
func (g *langs) factor(subs []lang) []lang {
	if len(subs) < 2 {
		return subs
	}
	type class struct {
		op byte
		of lang
	}
	at := make(map[class]int) // places in out
	var out []lang
	for _, l := range subs {
		e := g.exprs[l]
		if e.op != opConcat && !(e.op == opRepeat && e.low == 0) {
			out = append(out, l)
			continue
		}
		key := class{e.op, e.subs[0]}
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, l)
			continue
		}
		other := g.exprs[out[i]]
		if e.op == opConcat {
			out[i] = g.concat(e.subs[0], g.or(e.subs[1], other.subs[1]))
		} else if other.high >= 0 && (e.high < 0 || e.high > other.high) {
			out[i] = l
		}
	}
	return out
}

// not is any string that is not in l.
func (g *langs) not(l lang) lang {
	switch e := g.exprs[l]; {
	case l == nothing:
		return anything
	case l == anything:
		return nothing
	case e.op == opNot:
		return e.subs[0]
	}
	return g.intern(expr{op: opNot, subs: []lang{l}, nullable: !g.exprs[l].nullable})
}

// times is low to high strings of l; a negative high stands for no limit.
func (g *langs) times(l lang, low, high int) lang {
	if g.exprs[l].nullable {
		low = 0
	}
	switch e := g.exprs[l]; {
	case high == 0 || l == blank:
		return blank
	case low == 1 && high == 1:
		return l
	case l == nothing && low == 0:
		return blank
	case l == nothing:
		return nothing
	case e.op == opRepeat && e.low == 0 && e.high < 0 && high < 0:
		return l
	}
	return g.intern(expr{op: opRepeat, subs: []lang{l}, low: low, high: max(high, -1),
		nullable: low == 0})
}

// derive returns what may follow character r.
func (g *langs) derive(l lang, r rune) lang {
	switch e := &g.exprs[l]; {
	case e.op == opChar && e.set.has(r):
		return blank
	case e.op == opChar || l == nothing || l == blank:
		return nothing
	}
	key := derKey{l, r}
	if d, ok := g.ders[key]; ok {
		return d
	}
	e := g.exprs[l] // a copy: exprs moves while it grows
	g.work += 1 + len(e.subs)/4
	var d lang
	switch e.op {
	case opConcat:
		d = g.concat(g.derive(e.subs[0], r), e.subs[1])
		if g.exprs[e.subs[0]].nullable {
			d = g.or(d, g.derive(e.subs[1], r))
		}
	case opNot:
		d = g.not(g.derive(e.subs[0], r))
	case opVariable:
		d = g.derive(e.subs[0], r)
	case opRepeat:
		high := e.high
		if high > 0 {
			high--
		}
		d = g.concat(g.derive(e.subs[0], r), g.times(e.subs[0], max(e.low-1, 0), high))
	default:
		list := make([]lang, len(e.subs))
		for i, s := range e.subs {
			list[i] = g.derive(s, r)
		}
		if e.op == opOr {
			d = g.or(list...)
		} else {
			d = g.and(list...)
		}
	}
	g.ders[key] = d
	return d
}

// match reports whether a string is in l.
func (g *langs) match(l lang, s string) bool {
	for _, r := range s {
		l = g.derive(l, r)
	}
	return g.exprs[l].nullable
}

// text is the language of one string.
func (g *langs) text(s string) lang {
	l := blank
	for _, r := range slices.Backward([]rune(s)) {
		l = g.concat(g.chars(runes{r, r}), l)
	}
	return l
}

// An edge is a transition of an automaton.
type edge struct {
	set runes
	to  lang
}

// alphabet divides all characters into sets, so that the derivatives of each language, and of all
// that is derived from it, are the same for the characters of a set.
func (g *langs) alphabet(list ...lang) []runes {
	sets := g.charSets(list)
	ends := []rune{0, utf8.MaxRune + 1}
	for _, set := range sets {
		for i := 0; i < len(set); i += 2 {
			ends = append(ends, set[i], set[i+1]+1)
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	g.work += len(ends) * len(sets) / 4
	if g.work > maxWork {
		return nil // states will notice
	}
	groups := make(map[string]int) // by the sets that the characters are in
	var parts []runes
	in := make([]byte, len(sets))
	for i, from := range ends[:len(ends)-1] {
		span := runes{from, ends[i+1] - 1}.both(every)
		if len(span) == 0 {
			continue
		}
		for j, set := range sets {
			in[j] = byte(btoi(set.has(span[0])))
		}
		group, ok := groups[string(in)]
		if !ok {
			group = len(parts)
			groups[string(in)] = group
			parts = append(parts, nil)
		}
		parts[group] = append(parts[group], span...)
	}
	return parts
}

// charSets returns the sets of characters that languages are made of.
func (g *langs) charSets(list []lang) (sets []runes) {
	seen := make(map[lang]bool)
	var visit func(lang)
	visit = func(l lang) {
		if seen[l] {
			return
		}
		seen[l] = true
		if g.exprs[l].op == opChar {
			sets = append(sets, g.exprs[l].set)
		}
		for _, s := range g.exprs[l].subs {
			visit(s)
		}
	}
	for _, l := range list {
		visit(l)
	}
	return sets
}

// edges returns the transitions from a language to others by the sets of an alphabet. unions has
// the unions of sets that have been made.
func (g *langs) edges(l lang, alphabet []runes, unions map[string]runes) []edge {
	var list []edge
	var parts [][]byte // by edge: the numbers of its sets
	for i, set := range alphabet {
		to := nothing
		if g.work <= maxWork { // or states will notice
			to = g.derive(l, set[0])
		}
		if to == nothing {
			continue
		}
		at := slices.IndexFunc(list, func(e edge) bool { return e.to == to })
		if at < 0 {
			at, list, parts = len(list), append(list, edge{to: to}), append(parts, nil)
		}
		parts[at] = binary.AppendUvarint(parts[at], uint64(i))
	}
	for i, part := range parts {
		set, ok := unions[string(part)]
		if !ok {
			for rest := part; len(rest) > 0; {
				n, size := binary.Uvarint(rest)
				set, rest = append(set, alphabet[n]...), rest[size:]
			}
			set = set.normal()
			unions[string(part)] = set
		}
		list[i].set = set
	}
	return list
}

// maxStates bounds the automaton of one string.
const maxStates = 8192

// states lists the languages that strings of l lead to, l first. It returns false if there are more
// than maxStates, if they take too much work or if stop says so.
func (g *langs) states(l lang, stop func() bool) (list []lang, all map[lang][]edge, ok bool) {
	all = make(map[lang][]edge)
	alphabet, unions := g.alphabet(l), make(map[string]runes)
	list = []lang{l}
	seen := map[lang]bool{l: true}
	for i := 0; i < len(list); i++ {
		edges := g.edges(list[i], alphabet, unions)
		if len(list) > maxStates || g.work > maxWork || stop() {
			return nil, nil, false
		}
		all[list[i]] = edges
		for _, e := range edges {
			if !seen[e.to] {
				seen[e.to] = true
				list = append(list, e.to)
			}
		}
	}
	return list, all, true
}

// isEmpty reports whether l is known to have no string at all.
func (g *langs) isEmpty(l lang) bool {
	list, _, ok := g.states(l, func() bool { return false })
	return ok && !slices.ContainsFunc(list, func(s lang) bool { return g.exprs[s].nullable })
}

// lengths returns the lengths of the shortest and the longest string of a language with the states
// and edges that states has found; longest is -1 if there is none. For the language of no strings,
// shortest is -1.
func (g *langs) lengths(list []lang, edges map[lang][]edge) (shortest, longest int) {
	minLeft := g.minLeft(list, edges)
	shortest, ok := minLeft[list[0]]
	if !ok {
		return -1, -1
	}
	maxLeft := make(map[lang]int) // characters to the last end; -1 while that is being found
	var visit func(s lang) bool
	visit = func(s lang) bool {
		if n, ok := maxLeft[s]; ok {
			return n >= 0
		}
		maxLeft[s] = -1
		n := 0
		for _, e := range edges[s] {
			if _, reaches := minLeft[e.to]; !reaches {
				continue
			}
			if !visit(e.to) {
				return false
			}
			n = max(n, maxLeft[e.to]+1)
		}
		maxLeft[s] = n
		return true
	}
	if !visit(list[0]) {
		return shortest, -1
	}
	return shortest, maxLeft[list[0]]
}

// minLeft returns, for each state from which an end can be reached, how many characters that takes
// at least.
func (g *langs) minLeft(list []lang, edges map[lang][]edge) map[lang]int {
	before := make(map[lang][]lang)
	for _, s := range list {
		for _, e := range edges[s] {
			before[e.to] = append(before[e.to], s)
		}
	}
	left := make(map[lang]int)
	var queue []lang
	for _, s := range list {
		if g.exprs[s].nullable {
			left[s] = 0
			queue = append(queue, s)
		}
	}
	for i := 0; i < len(queue); i++ {
		for _, s := range before[queue[i]] {
			if _, ok := left[s]; !ok {
				left[s] = left[queue[i]] + 1
				queue = append(queue, s)
			}
		}
	}
	return left
}

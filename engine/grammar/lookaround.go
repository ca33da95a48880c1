package grammar

// maxBehind bounds the different things that a pattern looks for behind, and maxUnrolled the
// numbers in the braces of what looks around itself.
const (
	maxBehind   = 4
	maxUnrolled = 300
)

// A spot holds what a part of a pattern depends on in the text before it.
type spot struct {
	start  bool            // that text is empty
	behind [maxBehind]lang // what may follow it for each thing to have been seen
}

// A matcher makes the language of a pattern.
type matcher struct {
	*langs
	behind  int     // how many things the pattern looks for behind
	classes []runes // characters that are alike for these things
}

// pattern returns the strings in which a regular expression matches somewhere. Back references are
// not supported, nor is looking around within what is looked for behind.
func (g *langs) pattern(source string) (lang, error) {
	if l, ok := g.known[source]; ok {
		return l, nil
	}
	r := &patternReader{rest: source}
	p, err := r.or()
	if err == nil && r.rest != "" {
		err = errPattern("has a parenthesis too many")
	}
	if err != nil {
		return 0, err
	}
	l, err := g.search(p, r.behind)
	if err == nil {
		g.known[source] = l
	}
	return l, err
}

// search returns the strings in which a part matches somewhere.
func (g *langs) search(p *pat, behind []*pat) (lang, error) {
	m := &matcher{langs: g}
	if len(behind) > maxBehind {
		return 0, errPattern("looks behind for too many things")
	}
	begin := spot{start: true}
	for i, b := range behind {
		if b.asserts() {
			return 0, errPattern("looks around within what it looks for behind")
		}
		l, err := m.match(b, spot{}, rest(blank))
		if err != nil {
			return 0, err
		}
		begin.behind[i] = g.concat(anything, l)
	}
	if m.behind = len(behind); m.behind > 0 {
		if m.classes = g.alphabet(begin.behind[:len(behind)]...); m.classes == nil {
			return 0, errPattern("takes too much work")
		}
		before := &pat{op: patRepeat, subs: []*pat{{op: patChar, set: every}}, high: -1}
		return m.match(&pat{op: patConcat, subs: []*pat{before, p}}, begin, rest(anything))
	}
	first, err := m.match(p, begin, rest(anything))
	if err != nil {
		return 0, err
	}
	later, err := m.match(p, spot{}, rest(anything))
	return g.or(first, g.concat(g.concat(anyChar, anything), later)), err
}

// A following returns the strings that may follow a spot.
type following func(spot) (lang, error)

// rest returns a following that is l at every spot.
func rest(l lang) following { return func(spot) (lang, error) { return l, nil } }

// match returns the strings that begin with a match of p and go on as then allows. A part that
// looks ahead thereby sees all that follows.
func (m *matcher) match(p *pat, at spot, then following) (lang, error) {
	switch p.op {
	case patChar:
		return m.char(p.set, at, then)
	case patStart:
		if !at.start {
			return nothing, nil
		}
		return then(at)
	case patBehind:
		if m.exprs[at.behind[p.index]].nullable == p.negative {
			return nothing, nil
		}
		return then(at)
	case patEnd:
		l, err := then(at)
		return m.and(l, blank), err
	case patLook:
		ahead, err := m.match(p.subs[0], at, rest(anything))
		if err != nil {
			return 0, err
		}
		if p.negative {
			ahead = m.not(ahead)
		}
		l, err := then(at)
		return m.and(ahead, l), err
	case patOr:
		list := make([]lang, len(p.subs))
		for i, s := range p.subs {
			var err error
			if list[i], err = m.match(s, at, then); err != nil {
				return 0, err
			}
		}
		return m.or(list...), nil
	case patConcat:
		return m.concatenation(p.subs, at, then)
	}
	return m.repetition(p, at, then)
}

// char matches a character of a set.
func (m *matcher) char(set runes, at spot, then following) (lang, error) {
	if m.behind == 0 {
		l, err := then(spot{})
		return m.concat(m.chars(set), l), err
	}
	set = set.normal()
	sets := make(map[spot]runes)
	var order []spot
	for _, class := range m.classes {
		both := set.both(class)
		if len(both) == 0 {
			continue
		}
		var next spot
		for i := range m.behind {
			next.behind[i] = m.derive(at.behind[i], both[0])
		}
		if sets[next] == nil {
			order = append(order, next)
		}
		sets[next] = append(sets[next], both...)
	}
	list := make([]lang, len(order))
	for i, next := range order {
		l, err := then(next)
		if err != nil {
			return 0, err
		}
		list[i] = m.concat(m.chars(sets[next]), l)
	}
	return m.or(list...), nil
}

// once returns a following that computes then once for each spot.
func once(then following) following {
	known := make(map[spot]lang)
	return func(at spot) (lang, error) {
		if l, ok := known[at]; ok {
			return l, nil
		}
		l, err := then(at)
		known[at] = l
		return l, err
	}
}

func (m *matcher) concatenation(list []*pat, at spot, then following) (lang, error) {
	for i := len(list) - 1; i > 0; i-- {
		part, after := list[i], then
		then = once(func(at spot) (lang, error) { return m.match(part, at, after) })
	}
	if len(list) == 0 {
		return then(at)
	}
	return m.match(list[0], at, then)
}

func (m *matcher) repetition(p *pat, at spot, then following) (lang, error) {
	sub := p.subs[0]
	switch {
	case m.behind == 0 && !sub.asserts():
		return m.plainly(p, at, then)
	case sub.nullable() && (p.low > 0 || p.high != 1):
		return 0, errPattern("repeats what may be empty beside what looks around itself, " +
			"which is not supported")
	case max(p.low, p.high) > maxUnrolled:
		return 0, errPattern("repeats what looks around itself too often")
	}
	then = once(then)
	follow := then
	if p.high < 0 {
		follow = m.loop(sub, then)
	}
	for i := max(p.low, p.high); i > 0; i-- {
		after, mayEnd := follow, i > p.low
		follow = once(func(at spot) (lang, error) {
			l, err := m.match(sub, at, after)
			if err != nil || !mayEnd {
				return l, err
			}
			end, err := then(at)
			return m.or(l, end), err
		})
	}
	return follow(at)
}

// plainly matches a repetition of a part that does not look around.
func (m *matcher) plainly(p *pat, at spot, then following) (lang, error) {
	one, err := m.match(p.subs[0], spot{}, rest(blank))
	if err != nil {
		return 0, err
	}
	all := m.times(one, p.low, p.high)
	after, err := then(spot{})
	if err != nil || !at.start || !m.exprs[all].nullable {
		return m.concat(all, after), err
	}
	first, err := then(at)
	if err != nil || first == after {
		return m.concat(all, after), err
	}
	return m.or(first, m.concat(m.and(all, m.concat(anyChar, anything)), after)), nil
}

// loop matches any number of repetitions of a part that is not empty.
func (m *matcher) loop(sub *pat, then following) following {
	known := make(map[spot]lang)
	var follow following
	follow = func(at spot) (lang, error) {
		if l, ok := known[at]; ok {
			return l, nil
		}
		end, err := then(at)
		if err != nil {
			return 0, err
		}
		l := m.variable(m.exprs[end].nullable)
		known[at] = l
		more, err := m.match(sub, at, follow)
		m.exprs[l].subs = []lang{m.or(end, more)}
		return l, err
	}
	return follow
}

package grammar

import "slices"

// A count bounds how many items of an array satisfy a schema.
type count struct {
	owner     *node // the schema with the keyword contains
	schema    *node
	low, high int // a negative high stands for no limit
}

// maxCounts bounds the keywords contains that hold for the same array, and maxCounted the states of
// their automaton.
const (
	maxCounts  = 3
	maxCounted = 2000
)

// containsBounds reads minContains and maxContains; high is -1 if there is none.
func containsBounds(n *node) (low, high int, ok bool) {
	low, high = 1, -1
	if v := n.get("minContains"); v != nil {
		if low, ok = wholeNumber(v); !ok {
			return 0, 0, false
		}
	}
	if v := n.get("maxContains"); v != nil {
		if high, ok = wholeNumber(v); !ok {
			return 0, 0, false
		}
	}
	return low, high, true
}

// counts reads the keyword contains of all schemas of a conjunction, and narrows the length of the
// array to what they ask for.
func (c *compiler) counts(f *conjunction, low, high *int) (list []count, err error) {
	for _, n := range f.nodes {
		sub := n.get("contains")
		if sub == nil {
			continue
		}
		one := count{owner: n, schema: sub}
		ok := false
		if one.low, one.high, ok = containsBounds(n); !ok {
			if err := c.refuse(n, "contains", "has bounds that are no whole numbers"); err != nil {
				return nil, err
			}
			continue
		}
		*low = max(*low, one.low)
		switch {
		case isTrue(sub):
			if one.high >= 0 && (*high < 0 || one.high < *high) {
				*high = one.high
			}
		case one.low > 0 || one.high >= 0:
			list = append(list, one)
		}
	}
	return list, nil
}

// counting compiles arrays whose items are counted.
func (c *compiler) counting(f *conjunction, counts []count, prefix, low, high int) (symbol, error) {
	last := max(prefix, low, high) // beyond it, places are alike
	size := last + 1
	for _, one := range counts {
		size *= max(one.low, one.high) + 1
		size = min(size, maxCounted+1)
	}
	if at := counts[0].owner; size > maxCounted || len(counts) > maxCounts {
		err := c.refuse(at, "contains", "is supported for few items only, together with minItems, "+
			"maxItems, minContains and maxContains")
		return c.array(c.value, low, high), err
	}
	a := counter{compiler: c, f: f, counts: counts, prefix: prefix, low: low, high: high,
		last: last, known: make(map[counterState]symbol), items: make(map[counterItem]symbol)}
	rest, err := a.state(counterState{})
	if err != nil {
		return 0, err
	}
	return c.seq(c.literal("["), c.space, rest), nil
}

// A counter makes the automaton of arrays whose items are counted.
type counter struct {
	*compiler
	f                       *conjunction
	counts                  []count
	prefix, low, high, last int
	known                   map[counterState]symbol
	items                   map[counterItem]symbol
}

// A counterState holds what the rest of an array depends on: the place of the next item, and how
// many items so far satisfy each schema.
type counterState struct {
	place   int // of the next item
	matches [maxCounts]int
}

// A counterItem is an item at a place. The bits of satisfies say which of the counted schemas it
// satisfies.
type counterItem struct{ place, satisfies int }

// state makes the rule for what may follow, with the closing bracket.
func (a *counter) state(s counterState) (symbol, error) {
	if sym, ok := a.known[s]; ok {
		return sym, nil
	}
	sym := a.reserve()
	a.known[s] = sym
	var alternatives [][]symbol
	done := s.place >= a.low
	for i, one := range a.counts {
		done = done && s.matches[i] >= one.low
	}
	if done {
		alternatives = append(alternatives, []symbol{a.literal("]")})
	}
	if a.high < 0 || s.place < a.high {
		for satisfies := range 1 << len(a.counts) {
			next, ok := a.after(s, satisfies)
			if !ok {
				continue
			}
			item, err := a.item(counterItem{min(s.place, a.prefix), satisfies})
			if err != nil {
				return 0, err
			}
			rest, err := a.state(next)
			if err != nil {
				return 0, err
			}
			one := []symbol{item, a.space, rest}
			if s.place > 0 {
				one = append([]symbol{a.literal(","), a.space}, one...)
			}
			alternatives = append(alternatives, one)
		}
	}
	a.rules[sym] = alternatives
	return sym, nil
}

// after returns the state after an item, and whether the item may be there.
func (a *counter) after(s counterState, satisfies int) (next counterState, ok bool) {
	next = s
	next.place = min(s.place+1, max(a.last, 1))
	for i, one := range a.counts {
		if satisfies>>i&1 == 0 {
			continue
		}
		switch {
		case one.high >= 0 && s.matches[i] == one.high:
			return s, false
		case one.high < 0 && s.matches[i] == one.low:
			return s, false // whether it satisfies the schema no longer matters
		}
		next.matches[i]++
	}
	return next, true
}

// item compiles the items at a place that satisfy the schemas of k. They may satisfy further
// schemas if those have no upper bound.
func (a *counter) item(k counterItem) (symbol, error) {
	if sym, ok := a.items[k]; ok {
		return sym, nil
	}
	list, _ := itemSchemas(a.f, k.place)
	list = slices.Clone(list)
	for i, one := range a.counts {
		m := maker{a.compiler, one.owner, "contains"}
		switch {
		case k.satisfies>>i&1 != 0:
			list = append(list, one.schema)
		case one.high >= 0:
			list = append(list, m.not(one.schema))
		}
	}
	sym, err := a.inner(list...)
	a.items[k] = sym
	return sym, err
}

package grammar

import "slices"

// arrayOf compiles the arrays of a conjunction.
func (c *compiler) arrayOf(f *conjunction) (symbol, error) {
	if err := c.refuseUnevaluated(f, "unevaluatedItems"); err != nil {
		return 0, err
	}
	low, high, err := c.span(f, "minItems", "maxItems")
	if err != nil {
		return 0, err
	}
	prefix := 0 // the number of items that have schemas of their own
	for _, n := range f.nodes {
		prefix = max(prefix, len(firstItems(n)))
	}
	counts, err := c.counts(f, &low, &high)
	if err != nil {
		return 0, err
	}
	if high < 0 || high > 1 {
		plain := prefix+len(counts) == 0
		if sym, ok, err := c.uniqueItems(f, plain, low, high); ok || err != nil {
			return sym, err
		}
	}
	if high >= 0 {
		prefix = min(prefix, high)
	}
	if len(counts) > 0 {
		return c.counting(f, counts, prefix, low, high)
	}
	return c.plainArray(f, prefix, low, high)
}

// plainArray compiles arrays of low to high items, of which the first, as many as prefix says, have
// schemas of their own.
func (c *compiler) plainArray(f *conjunction, prefix, low, high int) (symbol, error) {
	var items []symbol
	for i := range prefix {
		list, never := itemSchemas(f, i)
		if never {
			high = i
			break
		}
		sym, err := c.inner(list...)
		if err != nil {
			return 0, err
		}
		items = append(items, sym)
	}
	list, never := itemSchemas(f, len(items))
	if never && (high < 0 || high > len(items)) {
		high = len(items)
	}
	if high >= 0 && low > high {
		return c.oneOf(), nil
	}
	rest := c.value
	if high < 0 || high > len(items) {
		sym, err := c.inner(list...)
		if err != nil {
			return 0, err
		}
		rest = sym
	}
	if len(items) == 0 {
		return c.array(rest, low, high), nil
	}
	return c.arrayAfter(items, rest, low, high), nil
}

// uniqueItems compiles arrays under the keyword uniqueItems; ok is false if no schema has it. plain
// says that no other keyword tells the items apart, without which uniqueItems cannot be held.
func (c *compiler) uniqueItems(
	f *conjunction, plain bool, low, high int,
) (sym symbol, ok bool, err error) {
	for _, n := range f.nodes {
		if v := n.get("uniqueItems"); v == nil || v.kind != 't' {
			continue
		}
		if list, ok, err := c.listed(f); ok && plain || err != nil {
			return c.unique(list, low, high), true, err
		}
		if err := c.refuse(n, "uniqueItems", "is supported only for items of an enum"); err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}

// arrayAfter compiles arrays of low to high items, of which the first are those of items and all
// others rest.
func (c *compiler) arrayAfter(items []symbol, rest symbol, low, high int) symbol {
	left := -1
	if high >= 0 {
		left = high - len(items)
	}
	// more matches what follows the first i items.
	more := c.repeat(c.seq(c.literal(","), c.space, rest, c.space), max(low-len(items), 0), left)
	for i, item := range slices.Backward(items) {
		if i < len(items)-1 && i+1 >= low {
			more = c.oneOf(nil, []symbol{more})
		}
		first := []symbol{item, c.space, more}
		if i > 0 {
			first = []symbol{c.literal(","), c.space, item, c.space, more}
		}
		more = c.seq(first...)
	}
	if low == 0 {
		more = c.optional(more)
	}
	return c.seq(c.literal("["), c.space, more, c.literal("]"))
}

// listed returns the values that the items of an array have by an enum or const.
func (c *compiler) listed(f *conjunction) (list []*node, ok bool, err error) {
	items, never := itemSchemas(f, 0)
	var all conjunction
	for _, n := range items {
		if err := c.add(&all, n, nil); err != nil {
			return nil, false, err
		}
	}
	if never || all.never {
		return nil, true, nil
	}
	return c.candidates(&all)
}

// maxShuffled is the largest number of values whose every order can be written: each set of values
// that are left takes a rule.
const maxShuffled = 8

// unique compiles the arrays of low to high of the values in which no value stands twice. If there
// are more than maxShuffled values, they stand in the order of the list.
func (c *compiler) unique(list []*node, low, high int) symbol {
	var values []symbol
	seen := make(map[string]bool)
	for _, v := range list {
		if key := v.canonical(); !seen[key] {
			seen[key] = true
			values = append(values, c.seq(c.literal(string(v.write(nil))), c.space))
		}
	}
	if high < 0 {
		high = len(values)
	}
	// A state holds which values have been written, as bits; or how many, and the first that may
	// follow.
	type state struct{ written, count, next int }
	known := make(map[state]symbol)
	var rest func(s state) symbol
	rest = func(s state) symbol {
		if sym, ok := known[s]; ok {
			return sym
		}
		var alternatives [][]symbol
		if s.count >= low {
			alternatives = append(alternatives, nil)
		}
		for i := s.next; i < len(values) && s.count < high; i++ {
			to := state{s.written | 1<<i, s.count + 1, 0}
			if s.written>>i&1 != 0 {
				continue
			}
			if len(values) > maxShuffled {
				to = state{0, min(s.count+1, max(low, high)), i + 1}
			}
			one := []symbol{values[i], rest(to)}
			if s.count > 0 {
				one = append([]symbol{c.literal(","), c.space}, one...)
			}
			alternatives = append(alternatives, one)
		}
		sym := c.oneOf(alternatives...)
		known[s] = sym
		return sym
	}
	return c.seq(c.literal("["), c.space, rest(state{}), c.literal("]"))
}

// firstItems returns the schemas of the first items of an array.
func firstItems(n *node) []*node {
	if p := n.get("prefixItems"); p != nil && p.kind == '[' {
		return p.values
	}
	if p := n.get("items"); p != nil && p.kind == '[' { // before draft 2020-12
		return p.values
	}
	return nil
}

// itemSchemas returns the schemas that hold for the item at a place; never tells that one of them
// allows nothing.
func itemSchemas(f *conjunction, place int) (list []*node, never bool) {
	evaluated := false
	add := func(sub *node) { list, never = append(list, sub), never || sub.kind == 'f' }
	for _, n := range f.nodes {
		first := firstItems(n)
		sub := n.get("items")
		if sub != nil && sub.kind == '[' {
			sub = n.get("additionalItems")
		}
		if place < len(first) {
			sub = first[place]
		}
		if sub != nil {
			add(sub)
			evaluated = evaluated || f.loud(n)
		}
	}
	if rest := f.top.get("unevaluatedItems"); rest != nil && !evaluated {
		add(rest)
	}
	return list, never
}

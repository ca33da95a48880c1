package jinja

import (
	"sort"
	"strconv"
	"strings"
)

func batch(s *state, v any, a *args) any {
	b := a.bind("batch", "linecount", "fill_with?")
	n := b.int(0, 0)
	var rows []any
	var row List
	for _, e := range elements(s, v) {
		if len(row) == n {
			rows = append(rows, row)
			row = List{}
		}
		row = append(row, e)
	}
	if len(row) > 0 {
		for b.given(1) && len(row) < n {
			s.spend(valueSteps)
			row = append(row, b[1])
		}
		rows = append(rows, row)
	}
	return &generator{iterate(s, List(rows))}
}

func slices(s *state, v any, a *args) any {
	b := a.bind("slice", "slices", "fill_with?")
	list := elements(s, v)
	n := b.int(0, 0)
	if n == 0 {
		fail("integer division or modulo by zero")
	}
	var columns []any
	at := 0
	for i := range max(n, 0) {
		s.spend(valueSteps)
		size := len(list) / n
		extra := i < len(list)%n
		if extra {
			size++
		}
		column := append(List{}, list[at:at+size]...)
		at += size
		if b.given(1) && !extra {
			column = append(column, b[1])
		}
		columns = append(columns, column)
	}
	return &generator{iterate(s, List(columns))}
}

// sorted sorts list by keys, which it changes too.
func sorted(s *state, list, keys []any, reverse bool) List {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool {
		if reverse {
			return s.less(keys[order[j]], keys[order[i]])
		}
		return s.less(keys[order[i]], keys[order[j]])
	})
	result := make(List, len(list))
	for i, o := range order {
		result[i] = list[o]
	}
	return result
}

func dictSort(s *state, v any, a *args) any {
	b := a.bind("dictsort", "case_sensitive?", "by?", "reverse?")
	d, ok := defined(v).(*Dict)
	if !ok {
		fail("'%s' object has no attribute 'items'", typeName(v))
	}
	var keys []any
	switch b.text(1, "key").s {
	case "key":
		keys = append(keys, d.keys...)
	case "value":
		keys = append(keys, d.values...)
	default:
		fail(`You can only sort by either "key" or "value"`)
	}
	for i := range keys {
		if !b.bool(0, false) {
			keys[i] = ignoreCase(keys[i])
		}
	}
	return sorted(s, d.pairs(), keys, b.bool(2, false))
}

// getter returns a function that gets an attribute such as a.b.0 of an element; nil gets the
// element itself.
func getter(s *state, attribute any, fallback any) func(any) any {
	var path []any
	switch a := attribute.(type) {
	case nil:
		return func(v any) any { return v }
	case Text:
		for _, p := range strings.Split(a.s, ".") {
			if i, err := strconv.Atoi(p); err == nil && p[0] != '-' && p[0] != '+' {
				path = append(path, i)
			} else {
				path = append(path, Text{s: p})
			}
		}
	default:
		path = append(path, a)
	}
	return func(v any) any {
		s.spend(1 + len(path))
		for _, p := range path {
			v = getItem(s, v, p)
			if _, ok := v.(*undefined); ok && fallback != nil {
				v = fallback
			}
		}
		return v
	}
}

// keys returns what get says of each element.
func keys(s *state, list []any, get func(any) any, caseSensitive bool) []any {
	result := make([]any, len(list))
	for i, e := range list {
		if result[i] = get(e); !caseSensitive {
			s.spend(2 * size(result[i]))
			result[i] = ignoreCase(result[i])
		}
	}
	return result
}

func sortFilter(s *state, v any, a *args) any {
	b := a.bind("sort", "reverse?", "case_sensitive?", "attribute?")
	list := elements(s, v)
	sensitive := b.bool(1, false)
	attribute := b.value(2, nil)
	by := make([]any, len(list))
	if t, ok := attribute.(Text); ok { // several attributes, with commas between them
		for i := range by {
			var key List
			for _, part := range strings.Split(t.s, ",") {
				key = append(key, keys(s, list[i:i+1], getter(s, Text{s: part}, nil), sensitive)...)
			}
			by[i] = key
		}
	} else {
		by = keys(s, list, getter(s, attribute, nil), sensitive)
	}
	return sorted(s, list, by, b.bool(0, false))
}

func unique(s *state, v any, a *args) any {
	b := a.bind("unique", "case_sensitive?", "attribute?")
	next := iterate(s, v)
	get := getter(s, b.value(1, nil), nil)
	seen := new(Dict)
	return &generator{func() (any, bool) {
		for e, ok := next(); ok; e, ok = next() {
			k := keys(s, []any{e}, get, b.bool(0, false))[0]
			if !s.hashable(k) {
				fail("unhashable type: '%s'", typeName(k))
			}
			if _, ok := seen.get(s, k); !ok {
				seen.set(s, k, nil)
				return e, true
			}
		}
		return nil, false
	}}
}

func minFilter(s *state, v any, a *args) any { return extreme(s, "min", v, a, 1) }

func maxFilter(s *state, v any, a *args) any { return extreme(s, "max", v, a, -1) }

func extreme(s *state, name string, v any, a *args, sign float64) any {
	b := a.bind(name, "case_sensitive?", "attribute?")
	list := elements(s, v)
	if len(list) == 0 {
		return &undefined{hint: "No aggregated item, sequence was empty."}
	}
	by := keys(s, list, getter(s, b.value(1, nil), nil), b.bool(0, false))
	best := 0
	for i := range by {
		if i > 0 && sign*s.order("<", by[i], by[best]) < 0 {
			best = i
		}
	}
	return list[best]
}

func groupBy(s *state, v any, a *args) any {
	b := a.bind("groupby", "attribute", "default?", "case_sensitive?")
	get := getter(s, b[0], b.value(1, nil))
	list := elements(s, v)
	by := keys(s, list, get, b.bool(2, false))
	list = sorted(s, list, by, false)
	by = keys(s, list, get, b.bool(2, false))
	groups := List{}
	for i, e := range list {
		if i == 0 || !s.equal(by[i], by[i-1]) {
			groups = append(groups, group{grouper: get(e)})
		}
		g := groups[len(groups)-1].(group)
		g.list = append(g.list, e)
		groups[len(groups)-1] = g
	}
	return groups
}

func first(s *state, v any, a *args) any {
	a.bind("first")
	if e, ok := iterate(s, v)(); ok {
		return e
	}
	return &undefined{hint: "No first item, sequence was empty."}
}

func last(s *state, v any, a *args) any {
	a.bind("last")
	list := reversible(s, v)
	if len(list) == 0 {
		return &undefined{hint: "No last item, sequence was empty."}
	}
	return list[len(list)-1]
}

// reversible returns the elements of a value of which Python can take the last.
func reversible(s *state, v any) []any {
	if _, ok := v.(*generator); ok {
		fail("'generator' object is not reversible")
	}
	return elements(s, v)
}

func reverse(s *state, v any, a *args) any {
	a.bind("reverse")
	if t, ok := v.(Text); ok {
		return slice(t, nil, nil, -1)
	}
	list := elements(s, v)
	turned := make(List, len(list))
	for i, e := range list {
		turned[len(list)-1-i] = e
	}
	if _, ok := v.(*generator); ok {
		return turned
	}
	return &generator{iterate(s, turned)}
}

func itemsFilter(s *state, v any, a *args) any {
	a.bind("items")
	d, ok := v.(*Dict)
	if _, none := v.(*undefined); !ok && !none {
		fail("Can only get item pairs from a mapping.")
	}
	var pairs List
	if ok {
		pairs = d.pairs()
	}
	return &generator{iterate(s, pairs)}
}

func joinFilter(s *state, v any, a *args) any {
	b := a.bind("join", "d?", "attribute?")
	list := elements(s, v)
	get := getter(s, b.value(1, nil), nil)
	parts := make([]any, len(list))
	for i, e := range list {
		parts[i] = get(e)
	}
	return join(s, s.str(b.value(0, Text{})), parts, true)
}

func listFilter(s *state, v any, a *args) any {
	a.bind("list")
	return append(List{}, elements(s, v)...)
}

func mapFilter(s *state, v any, a *args) any {
	get := func(e any) any { return e }
	if len(a.pos) == 0 {
		b := a.bind("map", "attribute", "default?")
		get = getter(s, b[0], b.value(1, nil))
	} else {
		name := s.str(a.pos[0]).s
		f := filters[name]
		if f == nil {
			fail("No filter named '%s'.", name)
		}
		rest := args{a.pos[1:], a.kw}
		get = func(e any) any { return s.filter(f, e, &args{rest.pos, rest.kw}) }
	}
	return lazy(s, v, func(next func() (any, bool)) (any, bool) {
		e, ok := next()
		if !ok {
			return nil, false
		}
		return get(e), true
	})
}

// lazy returns a generator over v that is empty if v is false.
func lazy(s *state, v any, step func(next func() (any, bool)) (any, bool)) *generator {
	var next func() (any, bool)
	return &generator{func() (any, bool) {
		if next == nil {
			if !truth(v) {
				return nil, false
			}
			next = iterate(s, v)
		}
		return step(next)
	}}
}

// selectFilter is select, reject, selectattr and rejectattr.
func selectFilter(name string, ofAttribute, keep bool) filter {
	return func(s *state, v any, a *args) any {
		rest := a.pos
		get := func(e any) any { return e }
		if ofAttribute {
			if len(rest) == 0 {
				fail("Missing parameter for attribute name")
			}
			get = getter(s, rest[0], nil)
			rest = rest[1:]
		}
		holds := truth
		if len(rest) > 0 {
			name := s.str(rest[0]).s
			f := tests[name]
			if f == nil {
				fail("No test named '%s'.", name)
			}
			rest = rest[1:]
			holds = func(e any) bool { return s.test(f, e, &args{rest, a.kw}) }
		}
		return lazy(s, v, func(next func() (any, bool)) (any, bool) {
			for e, ok := next(); ok; e, ok = next() {
				if holds(get(e)) == keep {
					return e, true
				}
			}
			return nil, false
		})
	}
}

func sum(s *state, v any, a *args) any {
	b := a.bind("sum", "attribute?", "start?")
	get := getter(s, b.value(0, nil), nil)
	total := b.value(1, 0)
	if _, ok := total.(Text); ok {
		fail("sum() can't sum strings [use ''.join(seq) instead]")
	}
	for _, e := range elements(s, v) {
		total = arithmetic(s, "+", total, get(e))
	}
	return total
}

// ignoreCase returns text in lower case and other values as they are.
func ignoreCase(v any) any {
	if t, ok := v.(Text); ok {
		return Text{s: changeCase(t.s, "lower")}
	}
	return v
}

package grammar

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// A typeSet is a set of types of JSON Schema.
type typeSet uint

const (
	stringType typeSet = 1 << iota
	integerType
	fractionType // a number that is not an integer
	booleanType
	nullType
	arrayType
	objectType

	numberType = integerType | fractionType
	allTypes   = stringType | numberType | booleanType | nullType | arrayType | objectType
)

var typeNames = map[string]typeSet{"string": stringType, "integer": integerType,
	"number": numberType, "boolean": booleanType, "null": nullType, "array": arrayType,
	"object": objectType}

// typeOf returns the type of a value.
func typeOf(v *node) typeSet {
	switch v.kind {
	case '"':
		return stringType
	case '{':
		return objectType
	case '[':
		return arrayType
	case 't', 'f':
		return booleanType
	case 'n':
		return nullType
	}
	if decimalOf(v.text).isWhole() {
		return integerType
	}
	return fractionType
}

// typesOf returns the types that the keyword type of a schema lists; bad is the reason why it
// cannot be read.
func typesOf(n *node) (types typeSet, bad string) {
	t := n.get("type")
	list := []*node{t}
	if t == nil {
		return allTypes, ""
	}
	if t.kind == '[' {
		list = t.values
	}
	for _, one := range list {
		if one.kind != '"' {
			return allTypes, "must be a type or a list of types"
		}
		if typeNames[one.text] == 0 {
			return allTypes, fmt.Sprintf("has the unknown type %q", one.text)
		}
		types |= typeNames[one.text]
	}
	if types == 0 {
		return allTypes, "must be a type or a list of types"
	}
	return types, ""
}

// types returns the types that the values of a conjunction have. Schemas that say nothing about
// types, but name properties, are taken to mean objects: that is what their authors mean.
func (c *compiler) types(f *conjunction) (typeSet, error) {
	types, typed, named := allTypes, false, false
	for _, n := range f.nodes {
		one, bad := typesOf(n)
		if bad != "" {
			if err := c.refuse(n, "type", bad); err != nil {
				return 0, err
			}
		}
		types &= one
		typed = typed || one != allTypes
		if p := n.get("properties"); p != nil && len(p.keys) > 0 {
			named = true
		}
		for _, k := range []string{"minLength", "maxLength", "pattern", "minimum", "maximum",
			"exclusiveMinimum", "exclusiveMaximum", "multipleOf", "items", "prefixItems",
			"minItems", "maxItems", "type"} {
			typed = typed || n.get(k) != nil
		}
	}
	if named && !typed {
		types = objectType
	}
	return types, nil
}

// typed compiles the values of one type, out of the types that the conjunction allows.
func (c *compiler) typed(t, types typeSet, f *conjunction) (symbol, error) {
	switch t {
	case booleanType:
		return c.oneOf([]symbol{c.literal("true")}, []symbol{c.literal("false")}), nil
	case nullType:
		return c.literal("null"), nil
	case stringType:
		return c.stringOf(f)
	case numberType:
		v, err := c.interval(f)
		if err != nil {
			return 0, err
		}
		v.whole = types&fractionType == 0
		return c.numeric(v), nil
	case arrayType:
		return c.arrayOf(f)
	}
	return c.objectOf(f)
}

// span reads a minimum and a maximum of a length from all schemas of a conjunction; high is -1 if
// none of them has a maximum.
func (c *compiler) span(f *conjunction, lowKey, highKey string) (low, high int, err error) {
	high = -1
	for _, n := range f.nodes {
		for _, k := range []string{lowKey, highKey} {
			v := n.get(k)
			if v == nil {
				continue
			}
			count, ok := 0, v.kind == '0'
			if ok {
				count, ok = decimalOf(v.text).int()
			}
			if !ok {
				err := c.refuse(n, k, "must be a whole number that is not negative")
				if err != nil {
					return 0, 0, err
				}
				continue
			}
			if k == lowKey {
				low = max(low, count)
			} else if high < 0 || count < high {
				high = count
			}
		}
	}
	// What an answer cannot reach needs no rules.
	if high >= 1e9 || c.reach > 0 && high >= c.reach {
		high = -1
	}
	return low, high, nil
}

// maxModulus bounds the automaton of the multiples of a number.
const maxModulus = 400

// interval reads the bounds of numbers from all schemas of a conjunction.
func (c *compiler) interval(f *conjunction) (interval, error) {
	var v interval
	for _, n := range f.nodes {
		for _, k := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
			b := n.get(k)
			if b == nil || b.kind == 't' || b.kind == 'f' {
				// In draft 4 the exclusive keywords are booleans beside the others.
				if b == nil || strings.HasPrefix(k, "exclusive") {
					continue
				}
			}
			if b.kind != '0' {
				if err := c.refuse(n, k, "must be a number"); err != nil {
					return v, err
				}
				continue
			}
			draft4 := n.get("exclusive" + strings.ToUpper(k[:1]) + k[1:])
			strict := strings.HasPrefix(k, "exclusive") || draft4 != nil && draft4.kind == 't'
			l := limit{decimalOf(b.text), strict, true}
			if strings.HasSuffix(strings.ToLower(k), "minimum") {
				v.raise(l)
			} else {
				v.lower(l)
			}
		}
		if err := c.step(&v, n); err != nil {
			return v, err
		}
	}
	return v, nil
}

// step reads the keyword multipleOf.
func (c *compiler) step(v *interval, n *node) error {
	m := n.get("multipleOf")
	if m == nil {
		return nil
	}
	if m.kind != '0' || m.text[0] == '-' || decimalOf(m.text) == (decimal{}) {
		return c.refuse(n, "multipleOf", "must be a number over 0")
	}
	d := decimalOf(m.text)
	if v.step != (decimal{}) { // the least common multiple
		places := max(len(d.frac), len(v.step.frac))
		a, b := d.scaled(places), v.step.scaled(places)
		g := new(big.Int).GCD(nil, nil, a, b)
		digits := a.Mul(a, b).Div(a, g).String()
		d = decimalOf(fmt.Sprintf("%se-%d", digits, places))
	}
	if len(d.frac) > precision || d.scaled(len(d.frac)).Cmp(big.NewInt(maxModulus)) > 0 {
		return c.refuse(n, "multipleOf", fmt.Sprintf("is supported up to %d, counted in units "+
			"of its last digit", maxModulus))
	}
	v.step = d
	return nil
}

// arrayOf compiles the arrays of a conjunction.
func (c *compiler) arrayOf(f *conjunction) (symbol, error) {
	low, high, err := c.span(f, "minItems", "maxItems")
	if err != nil {
		return 0, err
	}
	prefix := 0 // the number of items that have schemas of their own
	for _, n := range f.nodes {
		prefix = max(prefix, len(firstItems(n)))
	}
	for _, n := range f.nodes {
		if v := n.get("uniqueItems"); v == nil || v.kind != 't' || high >= 0 && high <= 1 {
			continue
		}
		if list, ok, err := c.listed(f); ok && prefix == 0 || err != nil {
			return c.unique(list, low, high), err
		}
		if err := c.refuse(n, "uniqueItems", "is supported only for items of an enum"); err != nil {
			return 0, err
		}
	}
	if high >= 0 {
		prefix = min(prefix, high)
	}
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
		if rest, err = c.inner(list...); err != nil {
			return 0, err
		}
	}
	if len(items) == 0 {
		return c.array(rest, low, high), nil
	}
	// more matches what follows the first i items.
	left := -1
	if high >= 0 {
		left = high - len(items)
	}
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
	return c.seq(c.literal("["), c.space, more, c.literal("]")), nil
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

// unique is the arrays of low to high of the values, none twice. If there are many values, they
// come in the order of the list.
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
	// A state is what has been written, as bits, or how many values have been and the next place.
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
			list, never = append(list, sub), never || sub.kind == 'f'
		}
	}
	return list, never
}

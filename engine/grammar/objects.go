package grammar

import (
	"fmt"
	"slices"
)

// names returns the properties that the schemas of a conjunction name, in their order, and which of
// them are required. Required ones that are no property of a schema come last.
func (c *compiler) names(f *conjunction) (names []string, required map[string]bool, err error) {
	required = make(map[string]bool)
	seen := make(map[string]bool)
	name := func(s string) {
		if !seen[s] {
			seen[s] = true
			names = append(names, s)
		}
	}
	for _, n := range f.nodes {
		p := n.get("properties")
		if p == nil {
			continue
		}
		if p.kind != '{' || p.twice {
			err := c.refuse(n, "properties", "must be an object of schemas, each name once")
			if err != nil {
				return nil, nil, err
			}
		}
		for i, k := range p.keys {
			name(k)
			// In draft 3, and by mistake today, a property says so itself.
			if r := p.values[i].get("required"); r != nil && r.kind == 't' {
				required[k] = true
			}
		}
	}
	for _, n := range f.nodes {
		r := n.get("required")
		if r == nil || r.kind == 't' || r.kind == 'f' {
			continue
		}
		notName := func(v *node) bool { return v.kind != '"' }
		if r.kind != '[' || slices.ContainsFunc(r.values, notName) {
			if err := c.refuse(n, "required", "must be a list of names"); err != nil {
				return nil, nil, err
			}
			continue
		}
		for _, v := range r.values {
			name(v.text)
			required[v.text] = true
		}
	}
	return names, required, nil
}

// property returns the schemas that hold for a property.
func (c *compiler) property(f *conjunction, name string) (list []*node, err error) {
	evaluated := false
	for _, n := range f.nodes {
		named := false
		if sub := n.get("properties").get(name); sub != nil {
			list, named = append(list, sub), true
		}
		patterns := n.get("patternProperties")
		for i := range patterns.size() {
			l, err := c.patternOf(n, "patternProperties", patterns.keys[i])
			if err != nil {
				return nil, err
			}
			if l >= 0 && c.match(l, name) {
				list, named = append(list, patterns.values[i]), true
			}
		}
		if sub := n.get("additionalProperties"); sub != nil && !named {
			list, named = append(list, sub), true
		}
		evaluated = evaluated || named && f.loud(n)
	}
	if rest := f.top.get("unevaluatedProperties"); rest != nil && !evaluated {
		list = append(list, rest)
	}
	return list, nil
}

// size returns the number of properties of an object; 0 for anything else.
func (n *node) size() int {
	if n == nil || n.kind != '{' {
		return 0
	}
	return len(n.keys)
}

// keyLang returns the language that the schemas of a conjunction allow the names of properties.
func (c *compiler) keyLang(f *conjunction) (lang, error) {
	var names conjunction
	var at *node
	for _, n := range f.nodes {
		if sub := n.get("propertyNames"); sub != nil {
			at = n
			if err := c.add(&names, sub, nil); err != nil {
				return 0, err
			}
		}
	}
	if names.never {
		return nothing, nil
	}
	if list, ok, err := c.candidates(&names); ok || err != nil {
		l := nothing
		for _, v := range list {
			if v.kind == '"' {
				l = c.or(l, c.text(v.text))
			}
		}
		return l, err
	}
	if len(names.groups) > 0 {
		return anything, c.refuse(at, "propertyNames", "is not supported with anyOf or oneOf")
	}
	types, err := c.types(&names)
	if err != nil || types&stringType == 0 {
		return nothing, err
	}
	l, low, high, err := c.strings(&names)
	return c.and(l, c.times(anyChar, low, high)), err
}

// A field is a property that can be written.
type field struct {
	name     string
	value    symbol
	required bool
}

// objectOf compiles the objects of a conjunction. Their properties come in the order of the
// schemas. Properties that are not named can be written only if none is named.
func (c *compiler) objectOf(f *conjunction) (symbol, error) {
	if err := c.refuseUnevaluated(f, "unevaluatedProperties"); err != nil {
		return 0, err
	}
	names, required, err := c.names(f)
	if err != nil {
		return 0, err
	}
	low, high, err := c.span(f, "minProperties", "maxProperties")
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		return c.dictionary(f, nil, low, high)
	}
	keys, err := c.keyLang(f)
	if err != nil {
		return 0, err
	}
	fields, nevers, err := c.fieldsOf(f, names, required, keys)
	if err != nil {
		return 0, err
	}
	if fields == nil && nevers == nil {
		return c.oneOf(), nil
	}
	if len(fields) == 0 {
		return c.dictionary(f, nevers, low, high)
	}
	optional := optionals(fields)
	needed := len(fields) - optional
	if high >= 0 && high < needed {
		return c.oneOf(), nil
	}
	room := len(fields)
	if high >= 0 {
		room = min(room, high-needed)
	}
	if room*len(fields) > maxRules/20 && room < optional {
		fields = withoutRest(fields, room)
	}
	return c.fields(fields, max(low-needed, 0), room), nil
}

// fieldsOf returns those of the named properties that can be written, and the names of those that
// cannot. It returns neither if a required property cannot be written: then no object is valid.
func (c *compiler) fieldsOf(f *conjunction, names []string, required map[string]bool, keys lang) (
	fields []field, nevers []string, err error,
) {
	for _, name := range names {
		list, err := c.property(f, name)
		if err != nil {
			return nil, nil, err
		}
		never := slices.ContainsFunc(list, func(n *node) bool { return n.kind == 'f' })
		never = never || !c.match(keys, name)
		if never && required[name] {
			if c.hint == nil {
				c.hint = &SchemaError{c.tool, c.requirer(f, name).pointer(), "required",
					fmt.Sprintf("names %q, which is not a property that may be there", name)}
			}
			return nil, nil, nil
		}
		if never {
			nevers = append(nevers, name)
			continue
		}
		value, err := c.inner(list...)
		if err != nil {
			return nil, nil, err
		}
		fields = append(fields, field{name, value, required[name]})
	}
	return fields, nevers, nil
}

// optionals returns how many fields are not required.
func optionals(fields []field) (n int) {
	for _, p := range fields {
		n += btoi(!p.required)
	}
	return n
}

// withoutRest leaves out all optional fields but the first ones, as many as there is room for: to
// count which have been written would take too many rules.
func withoutRest(fields []field, room int) []field {
	kept := 0
	return slices.DeleteFunc(fields, func(p field) bool {
		kept += btoi(!p.required)
		return !p.required && kept > room
	})
}

// requirer returns the schema that requires a property.
func (c *compiler) requirer(f *conjunction, name string) *node {
	for _, n := range f.nodes {
		r := n.get("required")
		if r != nil && slices.ContainsFunc(r.values, func(v *node) bool { return v.text == name }) {
			return n
		}
	}
	return f.nodes[0]
}

// fields is an object with the required fields and low to high of the optional ones.
func (c *compiler) fields(fields []field, low, high int) symbol {
	optional := optionals(fields)
	if low > optional {
		return c.oneOf()
	}
	// first[k] matches the fields from i on after k optional ones, if nothing has been written yet,
	// then[k] if something has. Both end with the brace. Counting stops where it does not matter.
	counts := low
	if high < optional {
		counts = high
	}
	first, then := make([]symbol, counts+1), make([]symbol, counts+1)
	for k := range first {
		first[k] = c.oneOf()
		if k >= low {
			first[k] = c.literal("}")
		}
		then[k] = first[k]
	}
	for _, p := range slices.Backward(fields) {
		pair := c.seq(c.pair(c.literal(quote(p.name)), p.value), c.space)
		nextFirst, nextThen := make([]symbol, counts+1), make([]symbol, counts+1)
		for k := range first {
			after := k
			if !p.required {
				after = min(k+1, counts)
			}
			one := []symbol{pair, then[after]}
			more := []symbol{c.literal(","), c.space, pair, then[after]}
			switch {
			case p.required:
				nextFirst[k], nextThen[k] = c.seq(one...), c.seq(more...)
			case k == counts && high < optional:
				nextFirst[k], nextThen[k] = first[k], then[k]
			default:
				nextFirst[k] = c.oneOf(one, []symbol{first[k]})
				nextThen[k] = c.oneOf(more, []symbol{then[k]})
			}
		}
		first, then = nextFirst, nextThen
	}
	return c.seq(c.literal("{"), c.space, first[0])
}

// dictionary compiles objects with any names but some.
func (c *compiler) dictionary(f *conjunction, nevers []string, low, high int) (symbol, error) {
	if low > 1 { // the same name may be written twice
		if err := c.refuse(c.having(f, "minProperties"), "minProperties",
			"is supported up to 1 where no properties are named"); err != nil {
			return 0, err
		}
		low = 1
	}
	if high >= 0 && low > high {
		return c.oneOf(), nil
	}
	pairs, err := c.pairs(f, nevers)
	if err != nil {
		return 0, err
	}
	if len(pairs) == 0 {
		if low > 0 {
			return c.oneOf(), nil
		}
		return c.seq(c.literal("{"), c.space, c.literal("}")), nil
	}
	return c.list("{", c.oneOf(pairs...), low, high, "}"), nil
}

// having returns a schema of a conjunction with a keyword.
func (c *compiler) having(f *conjunction, keyword string) *node {
	for _, n := range f.nodes {
		if n.get(keyword) != nil {
			return n
		}
	}
	return f.nodes[0]
}

// pairs returns the kinds of properties of an object none of whose properties is named: one for
// each pattern of names, for the names that match that one alone, and one for all other names.
func (c *compiler) pairs(f *conjunction, nevers []string) ([][]symbol, error) {
	keys, err := c.keyLang(f)
	if err != nil {
		return nil, err
	}
	if len(nevers) > 0 {
		texts := make([]lang, len(nevers))
		for i, name := range nevers {
			texts[i] = c.text(name)
		}
		keys = c.and(keys, c.not(c.or(texts...)))
	}
	with, err := c.patterned(f)
	if err != nil {
		return nil, err
	}
	var pairs [][]symbol
	matched := nothing // the names that match a pattern
	if with != nil {
		langs, held, err := c.patternLangs(with)
		if err != nil {
			return nil, err
		}
		if !held {
			return [][]symbol{{c.pair(c.str, c.value)}}, nil
		}
		matched = c.or(langs...)
		if pairs, err = c.patternPairs(f, with, keys, langs); err != nil {
			return nil, err
		}
	}
	if len(f.nodes) == 0 {
		return nil, nil
	}
	return c.addPair(pairs, f.nodes[0], c.and(keys, c.not(matched)), f.otherProperties(with))
}

// patterned returns the schema that has patternProperties, or nil.
func (c *compiler) patterned(f *conjunction) (with *node, err error) {
	for _, n := range f.nodes {
		if n.get("patternProperties").size() == 0 {
			continue
		}
		if with != nil {
			err := c.refuse(n, "patternProperties", "is not supported in two schemas at once")
			if err != nil {
				return nil, err
			}
			continue
		}
		with = n
	}
	return with, nil
}

// otherProperties returns the schemas of properties that are not named and match no pattern of
// with. It leaves out those beside patterns of another schema, which are not held: such a schema
// says nothing of the names that its own patterns match.
func (f *conjunction) otherProperties(with *node) (list []*node) {
	for _, n := range f.nodes {
		if n != with && n.get("patternProperties").size() > 0 {
			continue
		}
		if sub := n.get("additionalProperties"); sub != nil {
			list = append(list, sub)
		}
	}
	if rest := f.top.get("unevaluatedProperties"); rest != nil {
		seen := func(n *node) bool { return n.get("additionalProperties") != nil && f.loud(n) }
		if !slices.ContainsFunc(f.nodes, seen) {
			list = append(list, rest)
		}
	}
	return list
}

// patternLangs returns the names that match each pattern of a schema's patternProperties. held is
// false if one of the patterns is not held.
func (c *compiler) patternLangs(with *node) (langs []lang, held bool, err error) {
	for _, p := range with.get("patternProperties").keys {
		l, err := c.patternOf(with, "patternProperties", p)
		if err != nil || l < 0 {
			return nil, false, err
		}
		langs = append(langs, l)
	}
	return langs, true, nil
}

// patternPairs returns the pairs whose names are among keys and match just one of the patterns,
// whose names are langs, of the one schema that has patterns.
func (c *compiler) patternPairs(f *conjunction, with *node, keys lang, langs []lang) (
	pairs [][]symbol, err error,
) {
	patterns := with.get("patternProperties")
	for i, l := range langs {
		for j, other := range langs {
			if i != j {
				l = c.and(l, c.not(other))
			}
		}
		list := []*node{patterns.values[i]}
		if rest := f.top.get("unevaluatedProperties"); rest != nil && !f.loud(with) {
			list = append(list, rest)
		}
		for _, n := range f.nodes {
			if sub := n.get("additionalProperties"); sub != nil && n != with {
				list = append(list, sub)
			}
		}
		if pairs, err = c.addPair(pairs, with, c.and(keys, l), list); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func (c *compiler) addPair(pairs [][]symbol, at *node, names lang, values []*node) ([][]symbol,
	error) {
	if slices.ContainsFunc(values, func(n *node) bool { return n.kind == 'f' }) {
		return pairs, nil
	}
	value, err := c.inner(values...)
	if err != nil {
		return nil, err
	}
	name, ok, err := c.automaton(names)
	if err != nil {
		return nil, err
	}
	if !ok {
		name = c.str
		err := c.refuse(at, "propertyNames", "or patternProperties needs too large an automaton")
		if err != nil {
			return nil, err
		}
	}
	return append(pairs, []symbol{c.pair(name, value)}), nil
}

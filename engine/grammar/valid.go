package grammar

import (
	"slices"
	"unicode/utf8"
)

// candidates returns the values that a conjunction with an enum or const allows; ok tells whether
// it has one.
func (c *compiler) candidates(f *conjunction) (list []*node, ok bool, err error) {
	list, ok, err = c.listedBy(f)
	var kept []*node
	for _, v := range list {
		if c.unsure = false; c.validAll(f, v) && !c.unsure {
			kept = append(kept, v)
		}
	}
	return kept, ok, err
}

// listedBy returns the values that the first enum or const of a conjunction lists; ok tells whether
// there is one.
func (c *compiler) listedBy(f *conjunction) (list []*node, ok bool, err error) {
	for _, n := range f.nodes {
		if v := n.get("const"); v != nil {
			list, ok = []*node{v}, true
			break
		}
		if v := n.get("enum"); v != nil {
			if v.kind == '[' && len(v.values) > 0 {
				list, ok = v.values, true
				break
			}
			if err := c.refuse(n, "enum", "must be a list, and not empty"); err != nil {
				return nil, false, err
			}
		}
	}
	if f.object {
		list = slices.DeleteFunc(slices.Clone(list), func(v *node) bool { return v.kind != '{' })
	}
	return list, ok, nil
}

// maxDepth bounds the recursion of valid.
const maxDepth = 100

// validAll reports whether a value is valid under all schemas of a conjunction.
func (c *compiler) validAll(f *conjunction, v *node) bool {
	for _, n := range f.nodes {
		if !c.valid(n, v, 0) {
			return false
		}
	}
	for _, g := range f.groups {
		if !c.valid(g.owner, v, 0) {
			return false
		}
	}
	for _, n := range f.chosen {
		if !c.valid(n, v, 0) {
			return false
		}
	}
	return true
}

// maybeValid reports whether a value may be valid under the schemas of a conjunction. It asks only
// their own keywords: the schemas that they combine are in the conjunction or in its groups as
// well, or were chosen from a group. The choices must not be asked again, because maybeValid is
// what decides between them.
func (c *compiler) maybeValid(f *conjunction, v *node) bool {
	for _, n := range f.nodes {
		if c.unsure = false; !c.validAlone(n, v, 0) && !c.unsure {
			return false
		}
	}
	for _, g := range f.groups {
		some := slices.ContainsFunc(g.owner.get(g.key).values, func(sub *node) bool {
			c.unsure = false
			return c.valid(sub, v, 0) || c.unsure
		})
		if !some {
			return false
		}
	}
	return true
}

// valid reports whether a value of an enum or const is valid under a schema, as far as its keywords
// are held. Where it does not know, it sets unsure.
func (c *compiler) valid(n, v *node, depth int) bool {
	switch {
	case depth > maxDepth:
		c.unsure = true
		return false
	case n.kind == broken:
		return c.validAlone(n, v, depth)
	case n.kind != '{':
		return n.kind == 't'
	}
	for _, k := range references {
		if n.get(k) == nil {
			continue
		}
		if target, _ := n.target(k); target != nil && !c.valid(target, v, depth+1) {
			return false
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		list := n.get(k)
		if list == nil || list.kind != '[' || len(list.values) == 0 {
			continue
		}
		count := 0
		for _, sub := range list.values {
			count += btoi(c.valid(sub, v, depth+1))
		}
		if count == 0 || k == "allOf" && count < len(list.values) || k == "oneOf" && count > 1 {
			return false
		}
	}
	return c.validConditions(n, v, depth) && c.validAlone(n, v, depth)
}

// validAlone is valid without the keywords that combine schemas.
func (c *compiler) validAlone(n, v *node, depth int) bool {
	if n.kind == broken {
		return !c.valid(n.values[0], v, depth+1)
	}
	types, _ := typesOf(n)
	if types&typeOf(v) == 0 {
		return false
	}
	if e := n.get("const"); e != nil && e != v && e.canonical() != v.canonical() {
		return false
	}
	if e := n.get("enum"); e != nil && e.kind == '[' && v.parent != e && !c.member(e, v) {
		return false
	}
	alone := &conjunction{nodes: []*node{n}, top: n}
	loose, unheld := c.loose, c.unheld
	c.loose = true // what cannot be held is refused elsewhere
	defer func() { c.loose, c.unheld = loose, unheld }()
	switch v.kind {
	case '"':
		return c.validText(alone, n, v)
	case '0':
		return c.validNumber(alone, v)
	case '[':
		return c.validList(alone, n, v, depth)
	case '{':
		return c.validObject(alone, n, v, depth)
	}
	return true
}

// validText is validAlone for a string; alone is the conjunction of n alone.
func (c *compiler) validText(alone *conjunction, n, v *node) bool {
	low, high, _ := c.span(alone, "minLength", "maxLength")
	length := utf8.RuneCountInString(v.text)
	if length < low || high >= 0 && length > high {
		return false
	}
	if p := n.get("pattern"); p != nil {
		if l, _ := c.patternOf(n, "pattern", p.text); l >= 0 && !c.match(l, v.text) {
			return false
		}
	}
	if p := n.get("format"); p != nil && p.kind == '"' {
		l, known := c.format(p.text, -1)
		if !known || c.match(l, v.text) {
			return true
		}
		outer, _ := c.outerFormat(p.text)
		c.unsure = c.unsure || c.match(outer, v.text)
		return false
	}
	return true
}

// validNumber is validAlone for a number.
func (c *compiler) validNumber(alone *conjunction, v *node) bool {
	in, _ := c.interval(alone)
	d := decimalOf(v.text)
	low, high := d.compare(in.low.decimal), d.compare(in.high.decimal)
	return !(in.low.set && (low < 0 || low == 0 && in.low.strict) ||
		in.high.set && (high > 0 || high == 0 && in.high.strict)) &&
		(in.step == decimal{} || d.multipleOf(in.step))
}

// validList is validAlone for an array.
func (c *compiler) validList(alone *conjunction, n, v *node, depth int) bool {
	low, high, _ := c.span(alone, "minItems", "maxItems")
	if len(v.values) < low || high >= 0 && len(v.values) > high {
		return false
	}
	unique := n.get("uniqueItems")
	for i, item := range v.values {
		list, _ := itemSchemas(alone, i)
		if len(list) > 0 && !c.valid(list[0], item, depth+1) {
			c.unsure = c.unsure || n.get("unevaluatedItems") == list[0]
			return false
		}
		if unique != nil && unique.kind == 't' && slices.ContainsFunc(v.values[:i],
			func(other *node) bool { return other.canonical() == item.canonical() }) {
			return false
		}
	}
	return c.validContains(n, v, depth)
}

// member reports whether a value is in a list.
func (c *compiler) member(list, v *node) bool {
	set := c.members[list]
	if set == nil {
		set = make(map[string]bool)
		for _, e := range list.values {
			set[e.canonical()] = true
		}
		c.members[list] = set
	}
	return set[v.canonical()]
}

func (c *compiler) validObject(alone *conjunction, n, v *node, depth int) bool {
	low, high, _ := c.span(alone, "minProperties", "maxProperties")
	if len(v.keys) < low || high >= 0 && len(v.keys) > high {
		return false
	}
	_, required, _ := c.names(alone)
	for name := range required {
		if v.get(name) == nil {
			return false
		}
	}
	names, _ := c.keyLang(alone)
	unevaluated := n.get("unevaluatedProperties")
	for i, name := range v.keys {
		list, _ := c.property(&conjunction{nodes: alone.nodes}, name)
		for _, sub := range list {
			if !c.valid(sub, v.values[i], depth+1) {
				return false
			}
		}
		if !c.match(names, name) {
			return false
		}
		if len(list) == 0 && unevaluated != nil && !c.valid(unevaluated, v.values[i], depth+1) {
			c.unsure = true // another schema may have evaluated it
			return false
		}
	}
	return true
}

// validConditions checks the keywords not and if and those that depend on properties.
func (c *compiler) validConditions(n, v *node, depth int) bool {
	if not := n.get("not"); not != nil && c.valid(not, v, depth+1) {
		return false
	}
	if condition := n.get("if"); condition != nil {
		sub := n.get("else")
		if c.valid(condition, v, depth+1) {
			sub = n.get("then")
		}
		if sub != nil && !c.valid(sub, v, depth+1) {
			return false
		}
	}
	for _, k := range []string{"dependentRequired", "dependentSchemas", "dependencies"} {
		d := n.get(k)
		for i := range d.size() {
			sub := d.values[i]
			if v.get(d.keys[i]) == nil {
				continue
			}
			if sub.kind != '[' && !c.valid(sub, v, depth+1) {
				return false
			}
			if sub.kind == '[' && slices.ContainsFunc(sub.values, func(r *node) bool {
				return v.get(r.text) == nil
			}) {
				return false
			}
		}
	}
	return true
}

// validContains checks the keyword contains.
func (c *compiler) validContains(n, v *node, depth int) bool {
	sub := n.get("contains")
	low, high, ok := containsBounds(n)
	if sub == nil || !ok {
		return true
	}
	count := 0
	for _, item := range v.values {
		count += btoi(c.valid(sub, item, depth+1))
	}
	return count >= low && (high < 0 || count <= high)
}

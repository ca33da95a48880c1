package grammar

import (
	"slices"
	"unicode/utf8"
)

// candidates returns the values that a conjunction with an enum or const allows; ok tells whether
// it has one.
func (c *compiler) candidates(f *conjunction) (list []*node, ok bool, err error) {
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
	if !ok {
		return nil, false, nil
	}
	var kept []*node
	for _, v := range list {
		if (!f.object || v.kind == '{') && c.validAll(f, v) {
			kept = append(kept, v)
		}
	}
	return kept, true, nil
}

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

// valid reports whether a value of an enum or const is valid under a schema, as far as its keywords
// are held. It is strict where it does not know: deep recursion makes a value invalid.
func (c *compiler) valid(n, v *node, depth int) bool {
	if n.kind != '{' || depth > 100 {
		return n.kind == 't'
	}
	all := func(sub, v *node) bool { return sub == nil || c.valid(sub, v, depth+1) }
	if ref := n.get("$ref"); ref != nil && ref.kind == '"' {
		if target := n.resolve(ref.text); target != nil && !c.valid(target, v, depth+1) {
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
	if not := n.get("not"); not != nil && c.valid(not, v, depth+1) {
		return false
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
			return !known || c.match(l, v.text)
		}
	case '0':
		in, _ := c.interval(alone)
		d := decimalOf(v.text)
		low, high := d.compare(in.low.decimal), d.compare(in.high.decimal)
		return !(in.low.set && (low < 0 || low == 0 && in.low.strict) ||
			in.high.set && (high > 0 || high == 0 && in.high.strict)) &&
			(in.step == decimal{} || d.multipleOf(in.step))
	case '[':
		low, high, _ := c.span(alone, "minItems", "maxItems")
		if len(v.values) < low || high >= 0 && len(v.values) > high {
			return false
		}
		for i, item := range v.values {
			list, _ := itemSchemas(alone, i)
			if len(list) > 0 && !all(list[0], item) {
				return false
			}
			unique := n.get("uniqueItems")
			if unique != nil && unique.kind == 't' && slices.ContainsFunc(v.values[:i],
				func(other *node) bool { return other.canonical() == item.canonical() }) {
				return false
			}
		}
	case '{':
		return c.validObject(alone, n, v, depth)
	}
	return true
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
		if !c.match(names, name) || len(list) == 0 && unevaluated != nil &&
			!c.valid(unevaluated, v.values[i], depth+1) {
			return false
		}
	}
	return true
}

package grammar

import (
	"fmt"
	"strconv"
)

// A negation is pushed inward until it stands before single keywords: the opposite of
//
//	{"type":"object","required":["a"],"properties":{"a":{"minimum":3}}}
//
// is made of schemas, one for each way to break a keyword:
//
//	no object | an object without a | an object whose a breaks {"minimum":3}
//
// Each allows only what the schema forbids, and together they allow as much of that as grammars can
// say. A keyword whose opposite no grammar can say adds nothing to them.
//
// if, dependentRequired and their like become an anyOf by the same means, and so does a oneOf whose
// schemas allow values in common: one schema, and the opposites of the others.

// maxPairs bounds the schemas of a oneOf whose opposite has each pair of them, and the opposites
// within the branches of a oneOf.
const (
	maxPairs     = 12
	maxOpposites = 400
)

// An errOpposite is the reason why the opposite of a schema cannot be held.
type errOpposite string

func (e errOpposite) Error() string { return string(e) }

// A maker makes schemas that stand for a keyword of another schema.
type maker struct {
	*compiler
	from *node
	as   string
}

// value makes a node of a kind.
func (m maker) value(kind byte, text string, values ...*node) *node {
	doc := m.from.doc
	n := &node{kind: kind, text: text, values: values, doc: doc, id: doc.nodes, from: m.from,
		as: m.as}
	doc.nodes++
	return n
}

func (m maker) word(s string) *node { return m.value('"', s) }
func (m maker) count(n int) *node   { return m.value('0', strconv.Itoa(n)) }
func (m maker) truth(b bool) *node {
	if b {
		return m.value('t', "")
	}
	return m.value('f', "")
}

// schema makes a schema of keywords and their values, which alternate.
func (m maker) schema(pairs ...any) *node {
	n := m.value('{', "")
	for i := 0; i < len(pairs); i += 2 {
		n.set(pairs[i].(string), pairs[i+1].(*node))
	}
	return n
}

// ofType makes a schema of a type with more keywords.
func (m maker) ofType(name string, pairs ...any) *node {
	return m.schema(append([]any{"type", m.word(name)}, pairs...)...)
}

// all makes a schema with the assertions of several.
func (m maker) all(list ...*node) *node { return m.schema("allOf", m.value('[', "", list...)) }

// breaks makes a schema for the values that break a single keyword; see denies.
func (m maker) breaks(keyword string, v *node) *node {
	return m.value(broken, "", m.schema(keyword, v))
}

// broken is the kind of nodes for the opposite of a schema with one keyword, which is type,
// pattern, format, multipleOf, or an enum that has no arrays and objects.
const broken = '!'

// denies returns the value of a keyword that the values of a node must break, or nil if n is not a
// node that breaks made.
func (n *node) denies(keyword string) *node {
	if n.kind != broken {
		return nil
	}
	return n.values[0].get(keyword)
}

// not makes the opposite of a schema, which is worked out when it is needed.
func (m maker) not(n *node) *node {
	switch {
	case n.kind == 'f':
		return m.truth(true)
	case isTrue(n):
		return m.truth(false)
	}
	if known := m.opposites[n]; known != nil {
		return known
	}
	known := m.schema("not", n)
	known.quiet = true
	m.opposites[n] = known
	return known
}

// opposite returns a schema that allows only what n forbids. Its error is an errOpposite.
func (c *compiler) opposite(n, from *node, as string) (*node, error) {
	m := maker{c, from, as}
	switch {
	case n.kind == 'f':
		return m.truth(true), nil
	case isTrue(n):
		return m.truth(false), nil
	case n.kind != '{':
		return nil, errOpposite("is not a schema: want an object or a boolean")
	}
	var list []*node
	lost := ""
	for i, k := range n.keys {
		more, ok, err := m.breaking(n, k, n.values[i])
		if err != nil {
			return nil, err
		}
		if !ok && lost == "" {
			lost = k
		}
		list = append(list, more...)
	}
	if len(list) == 0 && lost != "" {
		return nil, errOpposite(fmt.Sprintf("cannot be held: the opposite of %q is not supported",
			lost))
	}
	switch len(list) {
	case 0:
		return m.truth(false), nil
	case 1:
		return list[0], nil
	}
	return m.schema("anyOf", m.value('[', "", list...)), nil
}

// breaking returns schemas that allow only what breaks a keyword of n; ok tells whether there are
// all ways to break it among them, or some at least.
func (m maker) breaking(n *node, k string, v *node) (list []*node, ok bool, err error) {
	one := func(n *node) ([]*node, bool, error) { return []*node{n}, true, nil }
	switch k {
	case "type", "pattern", "multipleOf":
		return one(m.breaks(k, v))
	case "const":
		return m.breakingValues([]*node{v})
	case "enum":
		if v.kind == '[' {
			return m.breakingValues(v.values)
		}
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		return m.breakingCount(k, v)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return m.breakingBound(n, k, v)
	case "items", "prefixItems", "additionalItems", "contains":
		return m.breakingItems(n, k, v)
	case "properties", "required", "patternProperties", "additionalProperties", "propertyNames",
		"dependentRequired", "dependentSchemas", "dependencies":
		return m.breakingProperties(n, k, v)
	case "allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef", "$recursiveRef":
		return m.breakingSchemas(n, k, v)
	case "format":
		if v.kind == '"' && outerForms[v.text] != "" {
			return one(m.breaks(k, v))
		}
	case "unevaluatedItems", "unevaluatedProperties":
		return nil, isTrue(v), nil
	case "uniqueItems":
		return nil, v.kind != 't', nil
	default: // an annotation, or a keyword that belongs to another
		return nil, true, nil
	}
	return nil, false, nil
}

// breakingValues returns schemas of the values that are none of a list.
func (m maker) breakingValues(values []*node) (list []*node, ok bool, err error) {
	plain := m.value('[', "")
	var all []*node
	for _, v := range values {
		switch v.kind {
		case '[':
			items := m.value('[', "")
			for _, item := range v.values {
				items.values = append(items.values, m.schema("const", item))
			}
			n := m.count(len(v.values))
			all = append(all, m.not(m.ofType("array", "minItems", n, "maxItems", n, "prefixItems",
				items)))
		case '{':
			names, properties := m.value('[', ""), m.value('{', "")
			for i, k := range v.keys {
				names.values = append(names.values, m.word(k))
				properties.set(k, m.schema("const", v.values[i]))
			}
			all = append(all, m.not(m.ofType("object", "required", names, "properties", properties,
				"maxProperties", m.count(len(v.keys)))))
		default:
			plain.values = append(plain.values, v)
		}
	}
	if len(plain.values) > 0 {
		all = append(all, m.breaks("enum", plain))
	}
	if len(all) == 1 {
		return all, true, nil
	}
	return []*node{m.all(all...)}, true, nil
}

// countedTypes are the types of which keywords count the parts, and the opposite keywords.
var countedTypes = map[string]struct {
	name, opposite string
	by             int
}{
	"minLength":     {"string", "maxLength", -1},
	"maxLength":     {"string", "minLength", 1},
	"minItems":      {"array", "maxItems", -1},
	"maxItems":      {"array", "minItems", 1},
	"minProperties": {"object", "maxProperties", -1},
	"maxProperties": {"object", "minProperties", 1},
}

func (m maker) breakingCount(k string, v *node) (list []*node, ok bool, err error) {
	count, ok := wholeNumber(v)
	if !ok {
		return nil, false, errOpposite(fmt.Sprintf("has %q, which must be a whole number", k))
	}
	t := countedTypes[k]
	if count += t.by; count < 0 {
		return nil, true, nil // nothing breaks it
	}
	return []*node{m.ofType(t.name, t.opposite, m.count(count))}, true, nil
}

// wholeNumber reads a number that is whole and not negative.
func wholeNumber(v *node) (n int, ok bool) {
	if v.kind != '0' {
		return 0, false
	}
	return decimalOf(v.text).int()
}

func (m maker) breakingBound(n *node, k string, v *node) (list []*node, ok bool, err error) {
	opposite := map[string]string{"minimum": "exclusiveMaximum", "maximum": "exclusiveMinimum",
		"exclusiveMinimum": "maximum", "exclusiveMaximum": "minimum"}[k]
	exclusive := map[string]string{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}[k]
	switch {
	case exclusive == "" && v.kind != '0': // of draft 4, where it belongs to the other keyword
		return nil, true, nil
	case v.kind != '0':
		return nil, false, nil
	}
	if e := n.get(exclusive); e != nil && e.kind == 't' {
		opposite = map[string]string{"minimum": "maximum", "maximum": "minimum"}[k]
	}
	return []*node{m.ofType("number", opposite, v)}, true, nil
}

func (m maker) breakingItems(n *node, k string, v *node) (list []*node, ok bool, err error) {
	first := firstItems(n)
	// at makes an array whose item at a place breaks a schema.
	at := func(place int, schema *node) *node {
		items := m.value('[', "")
		for range place {
			items.values = append(items.values, m.truth(true))
		}
		items.values = append(items.values, m.not(schema))
		return m.ofType("array", "prefixItems", items, "minItems", m.count(place+1))
	}
	switch {
	case k == "contains":
		return m.breakingContains(n, v)
	case k == "prefixItems" || k == "items" && v.kind == '[':
		if v.kind != '[' {
			return nil, false, nil
		}
		for i, sub := range v.values {
			if !isTrue(sub) {
				list = append(list, at(i, sub))
			}
		}
		return list, true, nil
	case isTrue(v) || k == "additionalItems" && (n.get("items") == nil ||
		n.get("items").kind != '['):
		return nil, true, nil
	case len(first) > 0:
		return []*node{at(len(first), v)}, true, nil
	}
	return []*node{m.ofType("array", "contains", m.not(v))}, true, nil
}

func (m maker) breakingContains(n, v *node) (list []*node, ok bool, err error) {
	low, high, ok := containsBounds(n)
	if !ok {
		return nil, false, errOpposite("has minContains or maxContains, " +
			"which must be whole numbers")
	}
	if low == 1 {
		list = append(list, m.ofType("array", "items", m.not(v)))
	} else if low > 1 {
		list = append(list, m.ofType("array", "contains", v, "minContains", m.count(0),
			"maxContains", m.count(low-1)))
	}
	if high >= 0 {
		list = append(list, m.ofType("array", "contains", v, "minContains", m.count(high+1)))
	}
	return list, true, nil
}

func (m maker) breakingProperties(n *node, k string, v *node) (list []*node, ok bool, err error) {
	add := func(pairs ...any) { list = append(list, m.ofType("object", pairs...)) }
	property := func(name string, schema *node) *node { return m.schema(name, schema) }
	names := func(s ...*node) *node { return m.value('[', "", s...) }
	switch k {
	case "required":
		for _, r := range v.values {
			add("properties", property(r.text, m.truth(false)))
		}
	case "additionalProperties":
		if isTrue(v) {
			return nil, true, nil
		}
		keys := m.otherNames(n)
		add("minProperties", m.count(1), "propertyNames", keys, "additionalProperties", m.not(v))
	case "propertyNames":
		if !isTrue(v) {
			add("minProperties", m.count(1), "propertyNames", m.not(v))
		}
	default:
		if v.kind != '{' {
			return nil, false, nil
		}
		for i, name := range v.keys {
			sub, there := v.values[i], names(m.word(name))
			switch {
			case sub.kind == '[': // of dependentRequired or dependencies
				for _, r := range sub.values {
					add("required", there, "properties", property(r.text, m.truth(false)))
				}
			case isTrue(sub):
			case k == "properties":
				add("required", there, "properties", property(name, m.not(sub)))
			case k == "patternProperties":
				add("minProperties", m.count(1), "propertyNames", m.schema("pattern",
					m.word(name)), "additionalProperties", m.not(sub))
			default:
				list = append(list, m.all(m.ofType("object", "required", there), m.not(sub)))
			}
		}
	}
	return list, true, nil
}

// otherNames makes a schema of the names that neither properties nor patternProperties of a schema
// allow for.
func (m maker) otherNames(n *node) *node {
	var all []*node
	if p := n.get("properties"); p.size() > 0 {
		names := m.value('[', "")
		for _, k := range p.keys {
			names.values = append(names.values, m.word(k))
		}
		all = append(all, m.breaks("enum", names))
	}
	if p := n.get("patternProperties"); p.size() > 0 {
		for _, k := range p.keys {
			all = append(all, m.breaks("pattern", m.word(k)))
		}
	}
	return m.all(append(all, m.ofType("string"))...)
}

func (m maker) breakingSchemas(n *node, k string, v *node) (list []*node, ok bool, err error) {
	switch k {
	case "not":
		return []*node{v}, true, nil
	case "if":
		if then := n.get("then"); then != nil && !isTrue(then) {
			list = append(list, m.all(v, m.not(then)))
		}
		if other := n.get("else"); other != nil && !isTrue(other) {
			list = append(list, m.all(m.not(v), m.not(other)))
		}
		return list, true, nil
	case "$ref", "$dynamicRef", "$recursiveRef":
		target, reason := n.target(k)
		if target == nil {
			return nil, false, errOpposite(fmt.Sprintf("cannot be held: %q %s", k, reason))
		}
		return []*node{m.not(target)}, true, nil
	}
	if v.kind != '[' {
		return nil, false, nil
	}
	var none []*node
	for i, sub := range v.values {
		none = append(none, m.not(sub))
		for j := range i {
			if k == "oneOf" && len(v.values) <= maxPairs {
				list = append(list, m.all(v.values[j], sub))
			}
		}
	}
	if k == "allOf" {
		return none, true, nil
	}
	return append(list, m.all(none...)), true, nil
}

// implied returns the schemas that the keywords not and if and those that depend on properties
// amount to.
func (c *compiler) implied(n *node) ([]*node, error) {
	if list, ok := c.meant[n]; ok {
		return list, nil
	}
	var list []*node
	for i, k := range n.keys {
		more, err := c.implies(n, k, n.values[i])
		if e, ok := err.(errOpposite); ok {
			if err := c.refuse(n, k, string(e)); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, more...)
	}
	c.meant[n] = list
	return list, nil
}

// implies returns the schemas that one keyword amounts to, none where it is another one.
func (c *compiler) implies(n *node, k string, v *node) (list []*node, err error) {
	m := maker{c, n, k}
	switch k {
	case "not":
		opposite, err := c.opposite(v, n, k)
		if err == nil && opposite.kind == '{' {
			opposite.quiet = true
		}
		return []*node{opposite}, err
	case "if":
		then, other := n.get("then"), n.get("else")
		if then == nil {
			then = m.truth(true)
		}
		if other == nil {
			other = m.truth(true)
		}
		if isTrue(then) && isTrue(other) {
			return nil, nil
		}
		if _, err := c.opposite(v, n, k); err != nil {
			return nil, err
		}
		either := m.value('[', "", m.all(v, then), m.all(m.not(v), other))
		return []*node{m.schema("anyOf", either)}, nil
	case "dependentRequired", "dependentSchemas", "dependencies":
		if v.kind != '{' {
			return nil, errOpposite("must be an object")
		}
		for i, name := range v.keys {
			sub := v.values[i]
			if sub.kind == '[' {
				sub = m.ofType("object", "required", sub)
			}
			without := m.schema("properties", m.schema(name, m.truth(false)))
			with := m.all(m.ofType("object", "required", m.value('[', "", m.word(name))), sub)
			list = append(list, m.schema("anyOf", m.value('[', "", without, with)))
		}
	}
	return list, nil
}

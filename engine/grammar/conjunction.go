package grammar

import (
	"fmt"
	"slices"
	"strconv"
)

// A conjunction is a set of schemas that hold for the same value.
type conjunction struct {
	never  bool    // nothing satisfies it
	object bool    // the value is an object, whatever the schemas say
	nodes  []*node // the schemas with assertions of their own
	groups []group
	chosen []*node // schemas one of whose oneOf has been chosen
	silent []*node // those of nodes that unevaluatedProperties and its like do not see
	top    *node   // the schema that contains all of these; nil if none does
}

// A group is an anyOf or oneOf.
type group struct {
	owner *node
	key   string
	quiet bool // what its schemas allow is not seen by unevaluatedProperties and its like
}

func (f *conjunction) clone() *conjunction {
	g := *f
	g.nodes, g.groups = slices.Clone(f.nodes), slices.Clone(f.groups)
	g.chosen, g.silent = slices.Clone(f.chosen), slices.Clone(f.silent)
	return &g
}

// key tells conjunctions apart.
func (f *conjunction) key() string {
	var ids []int
	for _, n := range f.nodes {
		ids = append(ids, n.id*4)
	}
	for _, g := range f.groups {
		ids = append(ids, g.owner.id*4+1+btoi(g.key == "oneOf"))
	}
	for _, n := range f.chosen {
		ids = append(ids, n.id*4+3)
	}
	if f.closed() {
		ids = append(ids, -1-2*f.top.id)
		for _, n := range f.silent {
			ids = append(ids, -2-2*n.id)
		}
	}
	slices.Sort(ids)
	var key []byte
	for _, id := range slices.Compact(ids) {
		key = strconv.AppendInt(append(key, ' '), int64(id), 36)
	}
	if f.object {
		key = append(key, '{')
	}
	return string(key)
}

// closed reports whether the schema on top has the keyword unevaluatedProperties or
// unevaluatedItems.
func (f *conjunction) closed() bool {
	return f.top.get("unevaluatedProperties") != nil || f.top.get("unevaluatedItems") != nil
}

// loud reports whether unevaluatedProperties and its like see what a schema of f allows.
func (f *conjunction) loud(n *node) bool { return !slices.Contains(f.silent, n) }

// top follows a schema that does nothing but refer to another.
func (c *compiler) top(n *node) *node {
	for range 100 {
		ref := n.get("$ref")
		combines := slices.ContainsFunc(n.keys, func(k string) bool {
			return slices.Contains(combining, k)
		})
		if ref == nil || ref.kind != '"' || hasAssertions(n) || combines {
			break
		}
		target := n.resolve(ref.text)
		if target == nil {
			break
		}
		n = target
	}
	return n
}

// combining are the keywords that combine schemas for one value, besides references.
var combining = []string{"allOf", "anyOf", "oneOf", "not", "if", "dependentRequired",
	"dependentSchemas", "dependencies"}

func hasAssertions(n *node) bool {
	return slices.ContainsFunc(n.keys, func(k string) bool {
		return slices.Contains(assertions, k)
	})
}

// add adds a schema to a conjunction, with the schemas that it refers to. around are the schemas
// whose part it is.
func (c *compiler) add(f *conjunction, n *node, around map[*node]bool) error {
	switch {
	case n.kind == 't':
		return nil
	case n.kind == 'f':
		f.never = true
		return nil
	case n.kind == broken:
		if !slices.Contains(f.nodes, n) {
			f.nodes = append(f.nodes, n)
		}
		return nil
	case n.kind != '{':
		return c.refuse(n, "", "is not a schema: want an object or a boolean")
	case len(n.keys) == 0:
		return nil
	}
	if around == nil {
		around = make(map[*node]bool)
	}
	if around[n] {
		return c.refuse(n, "", "refers to itself without anything in between")
	}
	around[n] = true
	defer delete(around, n)
	c.quiet += btoi(n.quiet)
	defer func() { c.quiet -= btoi(n.quiet) }()
	// Properties come in the order of the text: those of a union of Rust have the tag, and then a
	// reference to the rest.
	if n.namesFirst() && hasAssertions(n) {
		c.addNode(f, n)
	}
	for _, k := range references {
		if ref := n.get(k); ref != nil {
			if err := c.addRef(f, n, k, around); err != nil {
				return err
			}
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		if err := c.addList(f, n, k, around); err != nil {
			return err
		}
	}
	if hasAssertions(n) {
		c.addNode(f, n)
	}
	more, err := c.implied(n)
	if err != nil {
		return err
	}
	return c.addAll(f, more, around)
}

// namesFirst reports whether a schema names properties of its own before it refers to others.
func (n *node) namesFirst() bool {
	own := n.find("properties")
	other := slices.IndexFunc(n.keys, func(k string) bool {
		return k == "allOf" || slices.Contains(references, k)
	})
	return own >= 0 && own < other
}

func (c *compiler) addAll(f *conjunction, nodes []*node, around map[*node]bool) error {
	for _, n := range nodes {
		if err := c.add(f, n, around); err != nil {
			return err
		}
	}
	return nil
}

// refuseUnevaluated refuses unevaluatedProperties or unevaluatedItems but in the schema on top:
// only there is it known what the others have evaluated.
func (c *compiler) refuseUnevaluated(f *conjunction, key string) error {
	for _, n := range f.nodes {
		if v := n.get(key); v != nil && !isTrue(v) && n != f.top {
			if err := c.refuse(n, key, "is not supported here"); err != nil {
				return err
			}
		}
	}
	return nil
}

// addList adds the schemas of allOf, or of another list with a single one. Several of which one
// must hold are a group.
func (c *compiler) addList(f *conjunction, n *node, key string, around map[*node]bool) error {
	list := n.get(key)
	switch {
	case list == nil:
		return nil
	case list.kind != '[' || len(list.values) == 0:
		return c.refuse(n, key, "must be a list, and not empty")
	case key != "allOf" && len(list.values) > 1:
		if g := (group{n, key, c.quiet > 0}); !slices.Contains(f.groups, g) {
			f.groups = append(f.groups, g)
		}
		return nil
	}
	return c.addAll(f, list.values, around)
}

// addNode adds a schema with assertions of its own.
func (c *compiler) addNode(f *conjunction, n *node) {
	is := func(other *node) bool { return other == n }
	known := slices.Contains(f.nodes, n)
	if !known {
		f.nodes = append(f.nodes, n)
	}
	switch {
	case c.quiet == 0:
		f.silent = slices.DeleteFunc(f.silent, is)
	case !known:
		f.silent = append(f.silent, n)
	}
}

// references are the keywords that refer to a schema.
var references = []string{"$ref", "$dynamicRef", "$recursiveRef"}

// target returns the schema that a keyword of n refers to. reason says why there is none.
func (n *node) target(keyword string) (target *node, reason string) {
	ref := n.get(keyword)
	switch {
	case ref.kind != '"':
	case keyword == "$ref":
		target = n.resolve(ref.text)
	default:
		if target = n.resolveDynamic(ref.text); target == nil {
			return nil, fmt.Sprintf("to %q is supported only where one schema has that name",
				ref.text)
		}
	}
	if target == nil {
		return nil, fmt.Sprintf("points to %q, which is not in the schema", ref.text)
	}
	return target, ""
}

// addRef adds the schema that a reference points to.
func (c *compiler) addRef(f *conjunction, n *node, keyword string, around map[*node]bool) error {
	target, reason := n.target(keyword)
	if target == nil {
		return c.refuse(n, keyword, reason)
	}
	if around[target] {
		return c.refuse(n, keyword, "refers to itself without anything in between")
	}
	return c.add(f, target, around)
}

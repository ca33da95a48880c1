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
	top    *node   // the schema that contains all of these; nil if none does
}

// A group is an anyOf or oneOf.
type group struct {
	owner *node
	key   string
}

func (f *conjunction) clone() *conjunction {
	g := *f
	g.nodes, g.groups = slices.Clone(f.nodes), slices.Clone(f.groups)
	g.chosen = slices.Clone(f.chosen)
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
		ids = append(ids, -1-f.top.id)
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

// closed reports whether the schema on top has the keyword unevaluatedProperties.
func (f *conjunction) closed() bool { return f.top.get("unevaluatedProperties") != nil }

// top follows a schema that does nothing but refer to another.
func (c *compiler) top(n *node) *node {
	for range 100 {
		ref := n.get("$ref")
		if ref == nil || ref.kind != '"' || hasAssertions(n) || n.get("allOf") != nil ||
			n.get("anyOf") != nil || n.get("oneOf") != nil {
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
	case n.kind != '{':
		return c.refuse(n, "", "is not a schema: want an object or a boolean")
	case len(n.keys) == 0:
		return nil
	}
	if err := c.supports(n); err != nil {
		return err
	}
	if around == nil {
		around = make(map[*node]bool)
	}
	around[n] = true
	defer delete(around, n)
	if not := n.get("not"); not != nil && isTrue(not) {
		f.never = true
	}
	if ref := n.get("$ref"); ref != nil {
		if err := c.addRef(f, n, ref, around); err != nil {
			return err
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		list := n.get(k)
		if list == nil {
			continue
		}
		if list.kind != '[' || len(list.values) == 0 {
			if err := c.refuse(n, k, "must be a list, and not empty"); err != nil {
				return err
			}
			continue
		}
		if k != "allOf" && len(list.values) > 1 {
			if g := (group{n, k}); !slices.Contains(f.groups, g) {
				f.groups = append(f.groups, g)
			}
			continue
		}
		for _, sub := range list.values {
			if err := c.add(f, sub, around); err != nil {
				return err
			}
		}
	}
	if hasAssertions(n) && !slices.Contains(f.nodes, n) {
		f.nodes = append(f.nodes, n)
	}
	return nil
}

// addRef adds the schema that a reference points to.
func (c *compiler) addRef(f *conjunction, n, ref *node, around map[*node]bool) error {
	target := (*node)(nil)
	if ref.kind == '"' {
		target = n.resolve(ref.text)
	}
	if target == nil {
		reason := fmt.Sprintf("points to %q, which is not in the schema", ref.text)
		return c.refuse(n, "$ref", reason)
	}
	if around[target] {
		return c.refuse(n, "$ref", "refers to itself without anything in between")
	}
	return c.add(f, target, around)
}

package grammar

import (
	"fmt"
	"slices"
)

// values makes a rule for values.
func (c *compiler) values(list []*node) symbol {
	alternatives := make([][]symbol, len(list))
	for i, v := range list {
		alternatives[i] = []symbol{c.literal(string(v.write(nil)))}
	}
	return c.oneOf(alternatives...)
}

// listedOnce returns the values that exactly one branch of a oneOf of f lists; ok tells whether all
// branches list their values.
func (c *compiler) listedOnce(f *conjunction, branches []*conjunction) (list []*node, ok bool,
	err error) {
	count := make(map[string]int)
	for _, branch := range branches {
		alone := *branch
		alone.chosen = f.chosen
		values, ok, err := c.candidates(&alone)
		if !ok || err != nil {
			return nil, false, err
		}
		seen := make(map[string]bool)
		for _, v := range values {
			if key := v.canonical(); !seen[key] {
				seen[key] = true
				count[key]++
				list = append(list, v)
			}
		}
	}
	list = slices.DeleteFunc(list, func(v *node) bool { return count[v.canonical()] > 1 })
	return list, len(branches) > 0, nil
}

// branches returns a conjunction for each choice of its first group, without those that nothing
// satisfies.
func (c *compiler) branches(f *conjunction) (list []*conjunction, at []*node, err error) {
	g := f.groups[0]
	for _, sub := range g.owner.get(g.key).values {
		branch := f.clone()
		branch.groups = branch.groups[1:]
		if g.key == "oneOf" {
			branch.chosen = append(branch.chosen, g.owner)
		}
		c.quiet += btoi(g.quiet)
		err := c.add(branch, sub, map[*node]bool{g.owner: true})
		c.quiet -= btoi(g.quiet)
		if err != nil {
			return nil, nil, err
		}
		if !branch.never {
			list, at = append(list, branch), append(at, sub)
		}
	}
	return list, at, nil
}

// choice compiles a conjunction by its first anyOf or oneOf.
func (c *compiler) choice(f *conjunction) (symbol, error) {
	g := f.groups[0]
	list, at, err := c.branches(f)
	if err != nil {
		return 0, err
	}
	if c.choices += len(list); c.choices > maxChoices {
		err := c.refuse(g.owner, g.key, fmt.Sprintf("is too large: with the choices beside it it "+
			"has more than %d combinations", maxChoices))
		if err != nil {
			return 0, err
		}
		less := f.clone()
		less.groups = less.groups[1:]
		return c.conjunction(less, g.owner)
	}
	if g.key == "oneOf" {
		if values, ok, err := c.listedOnce(f, list); ok || err != nil {
			return c.values(values), err
		}
		if err := c.exclude(g.owner, list, at); err != nil {
			return 0, err
		}
	}
	var alternatives [][]symbol
	for i, branch := range list {
		sym, err := c.conjunction(branch, at[i])
		if err != nil {
			return 0, err
		}
		alternatives = append(alternatives, []symbol{sym})
	}
	return c.oneOf(alternatives...), nil
}

// tagged reports whether all conjunctions are objects that require the same property and list its
// values, none of them twice: that is quick to see.
func (c *compiler) tagged(list []*conjunction) bool {
	if len(list) == 0 {
		return true
	}
	names, _, err := c.names(list[0])
	if err != nil {
		return false
	}
	for _, name := range names[:min(len(names), 8)] {
		seen := make(map[string]bool)
		if !slices.ContainsFunc(list, func(f *conjunction) bool { return !c.tags(f, name, seen) }) {
			return true
		}
	}
	return false
}

// tags adds the values of a required property to those seen. It returns false if one has been seen
// already or they are not known.
func (c *compiler) tags(f *conjunction, name string, seen map[string]bool) bool {
	_, required, err := c.names(f)
	if err != nil || !required[name] || len(f.groups) > 0 {
		return false
	}
	isObject := f.object
	for _, n := range f.nodes {
		types, _ := typesOf(n)
		isObject = isObject || types == objectType
	}
	list, err := c.property(f, name)
	if err != nil || !isObject {
		return false
	}
	var values conjunction
	for _, n := range list {
		if c.add(&values, n, nil) != nil {
			return false
		}
	}
	candidates, ok, err := c.candidates(&values)
	for _, v := range candidates {
		if v.kind != '"' || seen[v.text] {
			return false
		}
		seen[v.text] = true
	}
	return ok && err == nil
}

// exclude adds, to each branch of a oneOf, the opposites of the schemas that allow values of the
// branch, too. It refuses a oneOf where an opposite cannot be held.
func (c *compiler) exclude(owner *node, list []*conjunction, at []*node) error {
	if c.tagged(list) {
		return nil
	}
	branches := make([]*conjunction, len(list))
	opposites := 0
	for i, a := range list {
		branches[i] = a
		// Values that are listed are checked one by one.
		if _, listed, err := c.candidates(a); listed || err != nil {
			continue
		}
		branches[i] = a.clone()
		for j, b := range list {
			if i == j || c.apart(a, b, 0) {
				continue
			}
			opposite, err := c.opposite(at[j], owner, "oneOf")
			if opposites++; opposites > maxOpposites {
				err = errOpposite("is too large")
			}
			if err == nil {
				c.quiet++
				err = c.add(branches[i], opposite, nil)
				c.quiet--
			}
			if e, ok := err.(errOpposite); ok {
				values := owner.get("oneOf").values
				return c.refuse(owner, "oneOf", fmt.Sprintf("is supported only where no value "+
					"satisfies two of its schemas or their opposites can be held; those at %d and "+
					"%d may allow the same, and the second %v; use anyOf",
					slices.Index(values, at[i]), slices.Index(values, at[j]), e))
			}
			if err != nil {
				return err
			}
		}
	}
	for i, branch := range branches {
		*list[i] = *branch
	}
	return nil
}

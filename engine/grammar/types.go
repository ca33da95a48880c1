package grammar

import (
	"fmt"
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
	if n.kind == broken {
		switch {
		case n.denies("type") != nil:
			types, bad = typesOf(n.values[0])
			return allTypes &^ types, bad
		case n.denies("pattern") != nil || n.denies("format") != nil:
			return stringType, ""
		case n.denies("multipleOf") != nil:
			return numberType, ""
		}
		return allTypes, ""
	}
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
		return c.unlessDenied(f, "true", "false"), nil
	case nullType:
		return c.unlessDenied(f, "null"), nil
	case stringType:
		return c.stringOf(f)
	case numberType:
		return c.numberOf(f, types)
	case arrayType:
		return c.arrayOf(f)
	}
	return c.objectOf(f)
}

// unlessDenied compiles those of the texts that no schema of a conjunction excludes.
func (c *compiler) unlessDenied(f *conjunction, texts ...string) symbol {
	var alternatives [][]symbol
	for _, text := range texts {
		if !f.excludes(text) {
			alternatives = append(alternatives, []symbol{c.literal(text)})
		}
	}
	return c.oneOf(alternatives...)
}

// excludes reports whether a schema of a conjunction excludes a value that is written as text.
func (f *conjunction) excludes(text string) bool {
	for _, v := range f.denied() {
		if string(v.write(nil)) == text {
			return true
		}
	}
	return false
}

// denied returns the values that the schemas of a conjunction exclude one by one.
func (f *conjunction) denied() (list []*node) {
	for _, n := range f.nodes {
		if e := n.denies("enum"); e != nil {
			list = append(list, e.values...)
		}
	}
	return list
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

// interval reads the bounds of numbers from all schemas of a conjunction.
func (c *compiler) interval(f *conjunction) (interval, error) {
	var v interval
	for _, n := range f.nodes {
		if m := n.denies("multipleOf"); m != nil {
			if err := c.avoid(&v, n.values[0], m); err != nil {
				return v, err
			}
		}
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
		if p := n.get("format"); p != nil && p.kind == '"' {
			if bounds, ok := numberFormats[p.text]; ok {
				v.raise(limit{decimalOf(bounds[0]), false, true})
				v.lower(limit{decimalOf(bounds[1]), false, true})
			}
		}
		if err := c.step(&v, n); err != nil {
			return v, err
		}
	}
	return v, nil
}

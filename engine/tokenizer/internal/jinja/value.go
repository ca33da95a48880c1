package jinja

import "fmt"

// Values of a template are, by their Python types: nil (None), bool, int, float64, Text (str),
// List, Tuple, *Dict, *rangeValue, *view, *generator, *namespace, *loop, *macro, *Func, *method,
// *cycler, *joiner, group and *undefined. Lists and dicts never change: transformers renders in
// Jinja's ImmutableSandboxedEnvironment, which refuses the methods that would change them.

// List is a Python list.
type List []any

// Tuple is a Python tuple.
type Tuple []any

// view is the result of a dict's methods items, keys and values. It is not a list: it has a length,
// but no elements with numbers.
type view struct {
	kind  string // items, keys, values
	items []any
}

// generator gives values once, one after the other, as a Python generator does.
type generator struct{ next func() (any, bool) }

// rangeValue is a Python range.
type rangeValue struct{ start, stop, step int }

func (r *rangeValue) len() int {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

func (r *rangeValue) items() []any {
	list := make([]any, r.len())
	for i := range list {
		list[i] = r.start + i*r.step
	}
	return list
}

// namespace is the one value that a template can change.
type namespace struct{ attrs *Dict }

// group is an element of the filter groupby: a tuple whose elements have names.
type group struct {
	grouper any
	list    List
}

func (g group) tuple() Tuple { return Tuple{g.grouper, g.list} }

// Func is a function of the renderer's. Its error ends the rendering.
type Func struct {
	Name string
	Call func(args []any) (any, error)

	builtin func(*state, *args) any
}

// method is a method of a value that is not called yet.
type method struct {
	of   any
	name string
}

// cycler and joiner are the values of Jinja's functions of these names.
type cycler struct {
	items []any
	at    int
}

type joiner struct {
	sep  Text
	used bool
}

// undefined is the value of a name, an attribute or an element that does not exist. It can be
// printed, iterated and tested; anything else fails with its message.
type undefined struct {
	hint string
	of   any // the object without the attribute or element, if hasOf
	name any
	has  bool // whether of is set
}

func (u *undefined) message() string {
	switch {
	case u.hint != "":
		return u.hint
	case !u.has:
		return fmt.Sprintf("%s is undefined", (*state)(nil).repr(u.name).s)
	}
	of := "None"
	if u.of != nil {
		of = typeName(u.of) + " object"
	}
	if t, ok := u.name.(Text); ok {
		return fmt.Sprintf("'%s' has no attribute '%s'", of, t.s)
	}
	return fmt.Sprintf("%s has no element %s", of, (*state)(nil).repr(u.name).s)
}

// typeName returns the name of a value's Python type.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int:
		return "int"
	case float64:
		return "float"
	case Text:
		if v.html {
			return "Markup"
		}
		return "str"
	case List:
		return "list"
	case Tuple:
		return "tuple"
	case group:
		return "_GroupTuple"
	case *Dict:
		return "dict"
	case *rangeValue:
		return "range"
	case *view:
		return "dict_" + v.kind
	case *generator:
		return "generator"
	case *namespace:
		return "TemplateNamespace"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	case *cycler:
		return "Cycler"
	case *joiner:
		return "Joiner"
	case *undefined:
		return "Undefined"
	}
	return "function"
}

// truth is Python's bool(v).
func truth(v any) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.s != ""
	case List:
		return len(v) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	case *rangeValue:
		return v.len() > 0
	case *view:
		return len(v.items) > 0
	}
	return true
}

// number returns a bool, an int or a float as a float.
func number(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	i, ok := integer(v)
	return float64(i), ok
}

// integer returns a bool or an int as an int.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return v, true
	}
	return 0, false
}

// sequence returns the elements of a list or a tuple.
func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Tuple:
		return v, true
	case group:
		return v.tuple(), true
	}
	return nil, false
}

// defined fails if v is undefined.
func defined(v any) any {
	if u, ok := v.(*undefined); ok {
		fail("%s", u.message())
	}
	return v
}

// length is Python's len(v).
func length(v any) int {
	switch v := v.(type) {
	case Text:
		return v.length()
	case *Dict:
		return len(v.keys)
	case *rangeValue:
		return v.len()
	case *view:
		return len(v.items)
	case *undefined:
		return 0
	case *loop:
		return len(v.items)
	}
	items, ok := sequence(v)
	if !ok {
		fail("object of type '%s' has no len()", typeName(v))
	}
	return len(items)
}

// iterable returns the elements that a loop over v gives, and whether there can be a loop.
func iterable(s *state, v any) ([]any, bool) {
	switch v := v.(type) {
	case Text:
		s.spend(runeSteps * len(v.s))
		return v.runes(), true
	case *Dict:
		return v.keys, true
	case *rangeValue:
		s.spend(v.len() / elementsBuild)
		return v.items(), true
	case *view:
		return v.items, true
	case *undefined:
		return nil, true
	case *generator:
		var list []any
		for e, ok := v.next(); ok; e, ok = v.next() {
			list = append(list, e)
		}
		return list, true
	}
	return sequence(v)
}

// elements returns the elements of v, or fails.
func elements(s *state, v any) []any {
	list, ok := iterable(s, v)
	if !ok {
		fail("'%s' object is not iterable", typeName(v))
	}
	return list
}

// iterate returns a function that gives one element of v after the other.
func iterate(s *state, v any) func() (any, bool) {
	if g, ok := v.(*generator); ok {
		return g.next
	}
	list := elements(s, v)
	return func() (any, bool) {
		if len(list) == 0 {
			return nil, false
		}
		e := list[0]
		list = list[1:]
		return e, true
	}
}

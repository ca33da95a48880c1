package jinja

import "strings"

// expression is an expression of a template.
type expression interface {
	eval(s *state, sc *scope) any
}

// constant is a literal.
type constant struct{ value any }

func (e *constant) eval(*state, *scope) any { return e.value }

// nameExpr is a variable.
type nameExpr struct {
	name string
	id   int
}

func (e *nameExpr) eval(s *state, sc *scope) any {
	v := s.get(sc, e.id)
	if v == absent {
		return &undefined{name: String(e.name)}
	}
	return v
}

// listExpr is [a, b], or (a, b) if tuple.
type listExpr struct {
	items []expression
	tuple bool
}

func (e *listExpr) eval(s *state, sc *scope) any {
	s.spend(len(e.items))
	list := make([]any, len(e.items))
	for i, item := range e.items {
		list[i] = item.eval(s, sc)
	}
	if e.tuple {
		return Tuple(list)
	}
	return List(list)
}

// dictExpr is {a: b}.
type dictExpr struct{ keys, values []expression }

func (e *dictExpr) eval(s *state, sc *scope) any {
	s.spend(len(e.keys))
	d := new(Dict)
	for i := range e.keys {
		k := e.keys[i].eval(s, sc)
		d.set(s, k, e.values[i].eval(s, sc))
	}
	return d
}

// attrExpr is of.name.
type attrExpr struct {
	of   expression
	name string
}

func (e *attrExpr) eval(s *state, sc *scope) any { return getAttr(e.of.eval(s, sc), e.name) }

// itemExpr is of[key].
type itemExpr struct{ of, key expression }

func (e *itemExpr) eval(s *state, sc *scope) any {
	of := e.of.eval(s, sc)
	return getItem(s, of, e.key.eval(s, sc))
}

// sliceExpr is of[start:stop:step], whose parts may be nil.
type sliceExpr struct{ of, start, stop, step expression }

func (e *sliceExpr) eval(s *state, sc *scope) any {
	of := defined(e.of.eval(s, sc))
	bound := func(part expression) any {
		if part == nil {
			return nil
		}
		return part.eval(s, sc)
	}
	if e.step != nil {
		s.spend(runeSteps * bytesOfStep * size(of)) // each character or element is copied
	}
	s.spend(size(of))
	return slice(of, bound(e.start), bound(e.stop), bound(e.step))
}

// condExpr is then if test else otherwise; otherwise may be nil.
type condExpr struct{ test, then, otherwise expression }

func (e *condExpr) eval(s *state, sc *scope) any {
	switch {
	case truth(e.test.eval(s, sc)):
		return e.then.eval(s, sc)
	case e.otherwise != nil:
		return e.otherwise.eval(s, sc)
	}
	return &undefined{hint: "the inline if-expression evaluated to false and" +
		" no else section was defined"}
}

type orExpr struct{ left, right expression }

func (e *orExpr) eval(s *state, sc *scope) any {
	if v := e.left.eval(s, sc); truth(v) {
		return v
	}
	return e.right.eval(s, sc)
}

type andExpr struct{ left, right expression }

func (e *andExpr) eval(s *state, sc *scope) any {
	if v := e.left.eval(s, sc); !truth(v) {
		return v
	}
	return e.right.eval(s, sc)
}

type notExpr struct{ of expression }

func (e *notExpr) eval(s *state, sc *scope) any { return !truth(e.of.eval(s, sc)) }

// compareExpr is a chain of comparisons: a < b <= c.
type compareExpr struct {
	first expression
	ops   []string
	rest  []expression
}

func (e *compareExpr) eval(s *state, sc *scope) any {
	left := e.first.eval(s, sc)
	for i, op := range e.ops {
		right := e.rest[i].eval(s, sc)
		if !s.compare(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (s *state) compare(op string, a, b any) bool {
	s.spend(size(a) + size(b))
	switch op {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "in":
		return s.in(a, b)
	case "not in":
		return !s.in(a, b)
	}
	c := s.order(op, a, b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// in is Python's v in of.
func (s *state) in(v, of any) bool {
	switch of := of.(type) {
	case Text:
		t, ok := v.(Text)
		if !ok {
			fail("'in <string>' requires string as left operand, not %s", typeName(v))
		}
		return strings.Contains(of.s, t.s)
	case *Dict:
		if !s.hashable(v) {
			fail("unhashable type: '%s'", typeName(v))
		}
		_, ok := of.get(s, v)
		return ok
	}
	list, ok := iterable(s, of)
	if !ok {
		fail("argument of type '%s' is not iterable", typeName(of))
	}
	return s.contains(list, v)
}

// concatExpr is a ~ b ~ c.
type concatExpr struct{ parts []expression }

func (e *concatExpr) eval(s *state, sc *scope) any {
	b := builder{state: s}
	for _, p := range e.parts {
		b.text(s.str(p.eval(s, sc)))
	}
	return b.result()
}

// unaryExpr is -a or +a.
type unaryExpr struct {
	negative bool
	of       expression
}

func (e *unaryExpr) eval(s *state, sc *scope) any {
	v := defined(e.of.eval(s, sc))
	if f, ok := v.(float64); ok {
		if e.negative {
			return -f
		}
		return f
	}
	i, ok := integer(v)
	switch {
	case !ok && e.negative:
		fail("bad operand type for unary -: '%s'", typeName(v))
	case !ok:
		fail("bad operand type for unary +: '%s'", typeName(v))
	case e.negative:
		return sub(0, i)
	}
	return i
}

// arithmeticExpr is a + b and the like.
type arithmeticExpr struct {
	op          string
	left, right expression
}

func (e *arithmeticExpr) eval(s *state, sc *scope) any {
	left := e.left.eval(s, sc)
	return arithmetic(s, e.op, left, e.right.eval(s, sc))
}

// filterExpr is value | name(args). of is nil in a block.
type filterExpr struct {
	of   expression
	name string
	call filter
	args argList
	line int
}

func (e *filterExpr) eval(s *state, sc *scope) any { return e.apply(s, sc, e.of.eval(s, sc)) }

func (e *filterExpr) apply(s *state, sc *scope, v any) any {
	return s.filter(e.call, v, e.args.eval(s, sc))
}

// testExpr is value is name(args).
type testExpr struct {
	of   expression
	call test
	args argList
}

func (e *testExpr) eval(s *state, sc *scope) any {
	return s.test(e.call, e.of.eval(s, sc), e.args.eval(s, sc))
}

// callExpr is of(args).
type callExpr struct {
	of   expression
	args argList
}

func (e *callExpr) eval(s *state, sc *scope) any { return e.with(s, sc) }

// with calls with more keyword arguments.
func (e *callExpr) with(s *state, sc *scope, more ...keyword) any {
	if attr, ok := e.of.(*attrExpr); ok {
		of := attr.of.eval(s, sc)
		if methodsOf(of)[attr.name] && !mutators[attr.name] {
			a := e.args.eval(s, sc)
			a.kw = append(a.kw, more...)
			return callMethod(s, of, attr.name, a)
		}
		f := getAttr(of, attr.name)
		a := e.args.eval(s, sc)
		a.kw = append(a.kw, more...)
		return call(s, f, a)
	}
	f := e.of.eval(s, sc)
	a := e.args.eval(s, sc)
	a.kw = append(a.kw, more...)
	return call(s, f, a)
}

// call calls a value.
func call(s *state, f any, a *args) any {
	s.spend(callSteps)
	switch f := f.(type) {
	case *Func:
		if f.builtin != nil {
			return f.builtin(s, a)
		}
		a.noKeywords(f.Name)
		s.spend(a.size())
		v, err := f.Call(a.pos)
		if err != nil {
			panic(&Error{err.Error(), err})
		}
		return v
	case *macro:
		return f.call(s, a)
	case *loop:
		return f.call(s, a)
	case *method:
		return callMethod(s, f.of, f.name, a)
	case *joiner:
		if f.used {
			return f.sep
		}
		f.used = true
		return Text{}
	}
	defined(f)
	fail("'%s' object is not callable", typeName(f))
	return nil
}

// getAttr is of.name: an attribute, or else an element.
func getAttr(of any, name string) any {
	switch of := of.(type) {
	case *Dict:
		if v, ok := dictAttribute(of, name); ok {
			return v
		}
		if v, ok := of.text(name); ok {
			return v
		}
		return &undefined{of: of, has: true, name: String(name)}
	case *undefined:
		defined(of)
	}
	if v, ok := attribute(of, name); ok {
		return v
	}
	return &undefined{of: of, has: true, name: String(name)}
}

// attribute returns the attribute of a value that is not a dict.
func attribute(of any, name string) (any, bool) {
	switch of := of.(type) {
	case *namespace:
		return of.attrs.text(name)
	case *loop:
		return of.attr(name)
	case group:
		switch name {
		case "grouper":
			return of.grouper, true
		case "list":
			return of.list, true
		}
	case *cycler:
		if name == "current" {
			return of.items[of.at], true
		}
	case *macro:
		switch name {
		case "name":
			return String(of.name), true
		case "arguments":
			list := Tuple{}
			for _, p := range of.params {
				list = append(list, String(p.name))
			}
			return list, true
		}
	case bool, int, float64:
		if v, ok := numberAttribute(of, name); ok {
			return v, true
		}
	case *rangeValue:
		switch name {
		case "start":
			return of.start, true
		case "stop":
			return of.stop, true
		case "step":
			return of.step, true
		}
	}
	if methodsOf(of)[name] {
		if mutators[name] {
			if _, ok := of.(List); ok {
				return unsafe(of, name), true
			}
		}
		return &method{of, name}, true
	}
	return nil, false
}

func numberAttribute(of any, name string) (any, bool) {
	i, isInt := integer(of)
	switch {
	case name == "real" && isInt, name == "numerator" && isInt:
		return i, true
	case name == "denominator" && isInt:
		return 1, true
	case name == "real":
		return of, true
	case name == "imag" && isInt:
		return 0, true
	case name == "imag":
		return 0.0, true
	}
	return nil, false
}

// dictAttribute returns a method of a dict.
func dictAttribute(d *Dict, name string) (any, bool) {
	switch {
	case !dictMethods[name]:
		return nil, false
	case mutators[name]:
		return unsafe(d, name), true
	}
	return &method{d, name}, true
}

// unsafe is the value of a method that changes a list or a dict.
func unsafe(of any, name string) any {
	return &undefined{hint: "access to attribute '" + name + "' of '" + typeName(of) +
		"' object is unsafe."}
}

// getItem is of[key]: an element, or else, if key is text, an attribute.
func getItem(s *state, of, key any) any {
	switch of := of.(type) {
	case *undefined:
		defined(of)
	case *Dict:
		if s.hashable(key) {
			if v, ok := of.get(s, key); ok {
				return v
			}
		}
	case Text:
		s.spend(size(of))
		if i, ok := integer(key); ok {
			return textItem(of, i)
		}
	case *rangeValue:
		if i, ok := integer(key); ok {
			if i, ok = position(i, of.len()); ok {
				return of.start + i*of.step
			}
		}
	default:
		if list, ok := sequence(of); ok {
			if i, ok := integer(key); ok {
				if i, ok = position(i, len(list)); ok {
					return list[i]
				}
			}
		}
	}
	if t, ok := key.(Text); ok {
		if d, ok := of.(*Dict); ok {
			if v, ok := dictAttribute(d, t.s); ok {
				return v
			}
		} else if v, ok := attribute(of, t.s); ok {
			return v
		}
	}
	return &undefined{of: of, has: true, name: key}
}

// position returns the index of element i of n, where a negative i counts from the end.
func position(i, n int) (int, bool) {
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

func textItem(t Text, i int) any {
	at, ok := i, true
	if i < 0 || i >= len(t.s) {
		at, ok = position(i, t.length())
	}
	if ok {
		if start := t.offset(at); start < len(t.s) {
			return t.sub(start, start+t.sub(start, len(t.s)).offset(1))
		}
	}
	return &undefined{of: t, has: true, name: i}
}

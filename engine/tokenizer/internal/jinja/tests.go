package jinja

// test is a test of Jinja: value is name(args).
type test func(s *state, v any, a *args) bool

// plainTest is a test without arguments.
func plainTest(name string, of func(v any) bool) test {
	return func(_ *state, v any, a *args) bool {
		a.bind(name)
		return of(v)
	}
}

// textTest is a test of str(v) without arguments, which a method of str with the same name does.
func textTest(name string) test {
	return func(s *state, v any, a *args) bool {
		a.bind(name)
		return isKind(s.str(v).s, "is"+name)
	}
}

// moduloTest is a test of what is left of a value divided by 2.
func moduloTest(name string, rest int) test {
	return func(s *state, v any, a *args) bool {
		a.bind(name)
		return s.equal(arithmetic(s, "%", v, 2), rest)
	}
}

// compareTest is a test with one argument.
func compareTest(op string) test {
	return func(s *state, v any, a *args) bool { return s.compare(op, v, a.bind(op, "/other")[0]) }
}

// tests are the tests of Jinja.
var tests map[string]test

func init() {
	isText := func(v any) (Text, bool) { t, ok := v.(Text); return t, ok }
	tests = map[string]test{
		"defined":   plainTest("defined", func(v any) bool { _, ok := v.(*undefined); return !ok }),
		"undefined": plainTest("undefined", func(v any) bool { _, ok := v.(*undefined); return ok }),
		"none":      plainTest("none", func(v any) bool { return v == nil }),
		"boolean":   plainTest("boolean", func(v any) bool { _, ok := v.(bool); return ok }),
		"true":      plainTest("true", func(v any) bool { b, ok := v.(bool); return ok && b }),
		"false":     plainTest("false", func(v any) bool { b, ok := v.(bool); return ok && !b }),
		"integer":   plainTest("integer", func(v any) bool { _, ok := v.(int); return ok }),
		"float":     plainTest("float", func(v any) bool { _, ok := v.(float64); return ok }),
		"number":    plainTest("number", func(v any) bool { _, ok := number(v); return ok }),
		"string":    plainTest("string", func(v any) bool { _, ok := isText(v); return ok }),
		"mapping":   plainTest("mapping", func(v any) bool { _, ok := v.(*Dict); return ok }),
		"sequence":  plainTest("sequence", isSequence),
		"iterable":  plainTest("iterable", isIterable),
		"callable":  plainTest("callable", isCallable),
		"escaped":   plainTest("escaped", func(v any) bool { t, _ := isText(v); return t.html }),
		"lower":     textTest("lower"),
		"upper":     textTest("upper"),
		"odd":       moduloTest("odd", 1),
		"even":      moduloTest("even", 0),
		"divisibleby": func(s *state, v any, a *args) bool {
			return s.equal(arithmetic(s, "%", v, a.bind("divisibleby", "num")[0]), 0)
		},
		"sameas": func(_ *state, v any, a *args) bool { return same(v, a.bind("sameas", "other")[0]) },
		"in":     func(s *state, v any, a *args) bool { return s.in(v, a.bind("in", "seq")[0]) },
		"filter": func(_ *state, v any, a *args) bool {
			a.bind("filter")
			t, ok := isText(v)
			return ok && (filters[t.s] != nil || missing[t.s])
		},
		"test": func(_ *state, v any, a *args) bool {
			a.bind("test")
			t, ok := isText(v)
			return ok && tests[t.s] != nil
		},
	}
	for op, names := range map[string][]string{
		"==": {"==", "eq", "equalto"}, "!=": {"!=", "ne"},
		">": {">", "gt", "greaterthan"}, ">=": {">=", "ge"},
		"<": {"<", "lt", "lessthan"}, "<=": {"<=", "le"},
	} {
		for _, name := range names {
			tests[name] = compareTest(op)
		}
	}
}

func isSequence(v any) bool {
	switch v.(type) {
	case Text, *Dict, *rangeValue, *undefined:
		return true
	}
	_, ok := sequence(v)
	return ok
}

func isIterable(v any) bool {
	switch v.(type) {
	case Text, *Dict, *rangeValue, *view, *generator, *undefined, *loop:
		return true
	}
	_, ok := sequence(v)
	return ok
}

func isCallable(v any) bool {
	switch v.(type) {
	case *Func, *macro, *method, *loop, *joiner, *undefined:
		return true
	}
	return false
}

// same is Python's a is b, as far as it says anything.
func same(a, b any) bool {
	if typeName(a) != typeName(b) {
		return false
	}
	switch a := a.(type) {
	case nil, bool, int, Text:
		return (*state)(nil).equal(a, b)
	case List:
		b := b.(List)
		return len(a) > 0 && len(b) == len(a) && &a[0] == &b[0]
	case Tuple:
		b := b.(Tuple)
		return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	case float64, group:
		return false
	}
	return a == b
}

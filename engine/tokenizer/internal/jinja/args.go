package jinja

import "strings"

// argList is the arguments of a call as they are written: values, *list and **dict.
type argList struct {
	pos      []expression
	names    []string // of keyword arguments
	values   []expression
	list     expression // nil if there is none
	keywords expression
}

// args is the arguments of a call.
type args struct {
	pos []any
	kw  []keyword
}

type keyword struct {
	name  string
	value any
}

func (l *argList) eval(s *state, sc *scope) *args {
	a := new(args)
	if n := len(l.pos); n > 0 {
		a.pos = make([]any, n)
		for i, e := range l.pos {
			a.pos[i] = e.eval(s, sc)
		}
	}
	for i, e := range l.values {
		a.kw = append(a.kw, keyword{l.names[i], e.eval(s, sc)})
	}
	if l.list != nil {
		a.pos = append(a.pos, elements(s, l.list.eval(s, sc))...)
	}
	if l.keywords != nil {
		d, ok := l.keywords.eval(s, sc).(*Dict)
		if !ok {
			fail("argument after ** must be a mapping")
		}
		for i, k := range d.keys {
			t, ok := k.(Text)
			if !ok {
				fail("keywords must be strings")
			}
			for _, given := range a.kw {
				if given.name == t.s {
					fail("got multiple values for keyword argument '%s'", t.s)
				}
			}
			a.kw = append(a.kw, keyword{t.s, d.values[i]})
		}
	}
	return a
}

// noKeywords fails if there are keyword arguments.
func (a *args) noKeywords(function string) {
	if len(a.kw) > 0 {
		fail("%s() takes no keyword arguments", function)
	}
}

// bound is the arguments of a call in the order of a function's parameters; one that is not given
// is absent.
type bound []any

// bind assigns arguments to parameters. A parameter whose name ends with "?" may be left out. One
// whose name begins with "/" cannot be given by its name.
func (a *args) bind(function string, params ...string) bound {
	if len(a.pos) > len(params) {
		fail("%s() takes at most %d arguments (%d given)", function, len(params), len(a.pos))
	}
	b := make(bound, len(params))
	n := copy(b, a.pos)
	for i := n; i < len(b); i++ {
		b[i] = absent
	}
next:
	for _, k := range a.kw {
		for i, p := range params {
			if strings.TrimSuffix(p, "?") == k.name {
				if b[i] != absent {
					fail("%s() got multiple values for argument '%s'", function, k.name)
				}
				b[i] = k.value
				continue next
			}
		}
		fail("%s() got an unexpected keyword argument '%s'", function, k.name)
	}
	for i, p := range params {
		if b[i] == absent && !strings.HasSuffix(p, "?") {
			fail("%s() is missing the argument '%s'", function, strings.TrimPrefix(p, "/"))
		}
	}
	return b
}

// given reports whether argument i is given and is not None.
func (b bound) given(i int) bool { return b[i] != absent && b[i] != nil }

// value returns argument i, or fallback.
func (b bound) value(i int, fallback any) any {
	if b[i] == absent {
		return fallback
	}
	return b[i]
}

// int returns argument i, which must be an integer.
func (b bound) int(i, fallback int) int {
	if b[i] == absent {
		return fallback
	}
	n, ok := integer(defined(b[i]))
	if !ok {
		fail("'%s' object cannot be interpreted as an integer", typeName(b[i]))
	}
	return n
}

// bool returns the truth of argument i.
func (b bound) bool(i int, fallback bool) bool {
	if b[i] == absent {
		return fallback
	}
	return truth(b[i])
}

// text returns argument i, which must be a str.
func (b bound) text(i int, fallback string) Text {
	if b[i] == absent {
		return Text{s: fallback}
	}
	t, ok := b[i].(Text)
	if !ok {
		fail("must be str, not %s", typeName(b[i]))
	}
	t.html = false
	return t
}

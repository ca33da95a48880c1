package jinja

// globals are the functions of Jinja, with transformers' limits.
var globals = map[string]*Func{
	"range":     {Name: "range", builtin: rangeFunc},
	"dict":      {Name: "dict", builtin: func(s *state, a *args) any { return dictFunc(s, a) }},
	"namespace": {Name: "namespace", builtin: namespaceFunc},
	"cycler": {Name: "cycler", builtin: func(_ *state, a *args) any {
		a.noKeywords("cycler")
		if len(a.pos) == 0 {
			fail("at least one item has to be provided")
		}
		return &cycler{items: a.pos}
	}},
	"joiner": {Name: "joiner", builtin: func(_ *state, a *args) any {
		return &joiner{sep: a.bind("joiner", "sep?").text(0, ", ")}
	}},
}

// maxRange is the limit of Jinja's sandbox.
const maxRange = 100000

func rangeFunc(_ *state, a *args) any {
	b := a.bind("range", "/start", "/stop?", "/step?")
	r := &rangeValue{0, b.int(0, 0), b.int(2, 1)}
	if b[1] != absent {
		r.start, r.stop = r.stop, b.int(1, 0)
	}
	if r.step == 0 {
		fail("range() arg 3 must not be zero")
	}
	if n := r.len(); n > maxRange || n < 0 {
		fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", maxRange)
	}
	return r
}

func dictFunc(s *state, a *args) *Dict {
	d := new(Dict)
	if len(a.pos) > 1 {
		fail("dict expected at most 1 argument, got %d", len(a.pos))
	}
	if len(a.pos) == 1 {
		switch of := a.pos[0].(type) {
		case *Dict:
			d = of.copy(s)
		default:
			for _, e := range elements(s, defined(of)) {
				pair := elements(s, e)
				if len(pair) != 2 {
					fail("a dict is made of pairs, not of %s", s.repr(e).s)
				}
				d.set(s, pair[0], pair[1])
			}
		}
	}
	for _, k := range a.kw {
		d.set(s, Text{s: k.name}, k.value)
	}
	return d
}

func namespaceFunc(s *state, a *args) any {
	d := dictFunc(s, a)
	for _, k := range d.keys {
		if t, ok := k.(Text); ok && t.s != "" && t.s[0] == '_' {
			fail("a namespace cannot have the attribute %q", t.s)
		}
	}
	return &namespace{d}
}

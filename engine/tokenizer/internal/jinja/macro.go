package jinja

// macroStatement is {% macro %}, or the body of a {% call %}, which has no name.
type macroStatement struct {
	name     string
	id       int // of the name
	params   []parameter
	body     []statement
	caller   int // the numbers of these names if the body uses them, or -1
	varargs  int
	kwargs   int
	explicit bool // caller is one of the parameters
}

type parameter struct {
	name     string
	id       int
	fallback expression // nil if there is none
}

// macro is a macro as a value: it sees the variables of the place where it stands.
type macro struct {
	*macroStatement
	scope *scope
}

func (n *macroStatement) exec(s *state, sc *scope) signal {
	sc.keep()
	s.set(sc, n.id, &macro{n, sc})
	return goOn
}

// call renders the macro.
func (m *macro) call(s *state, a *args) any {
	s.deeper()
	defer func() { s.depth-- }()
	sc := &scope{parent: m.scope, vars: make([]variable, 0, len(m.params)+1)}
	rest := a.kw
	take := func(name string) (any, bool) {
		for i := range rest {
			if rest[i].name == name {
				v := rest[i].value
				rest = append(rest[:i:i], rest[i+1:]...)
				return v, true
			}
		}
		return nil, false
	}
	given := make([]any, len(m.params))
	for i := range m.params {
		given[i] = absent
		if i < len(a.pos) {
			given[i] = a.pos[i]
		} else if v, ok := take(m.params[i].name); ok {
			given[i] = v
		}
	}
	m.setCaller(s, sc, take)
	if m.kwargs >= 0 {
		d := new(Dict)
		for _, k := range rest {
			d.set(s, String(k.name), k.value)
		}
		s.set(sc, m.kwargs, d)
	} else if len(rest) > 0 {
		fail("macro '%s' takes no keyword argument '%s'", m.name, rest[0].name)
	}
	if m.varargs >= 0 {
		s.set(sc, m.varargs, Tuple(a.pos[min(len(a.pos), len(m.params)):]))
	} else if len(a.pos) > len(m.params) {
		fail("macro '%s' takes not more than %d argument(s)", m.name, len(m.params))
	}
	for i, p := range m.params {
		v := given[i]
		if v == absent {
			if p.fallback != nil {
				v = p.fallback.eval(s, sc)
			} else {
				v = &undefined{hint: "parameter '" + p.name + "' was not provided"}
			}
		}
		s.set(sc, p.id, v)
	}
	return s.capture(func() { s.run(m.body, sc) })
}

// setCaller sets the variable caller if the macro uses it.
func (m *macro) setCaller(s *state, sc *scope, take func(string) (any, bool)) {
	if m.caller < 0 || m.explicit {
		return
	}
	v, ok := take("caller")
	if !ok || v == nil {
		v = &undefined{hint: "No caller defined"}
	}
	s.set(sc, m.caller, v)
}

// callStatement is {% call(params) macro(args) %}body{% endcall %}.
type callStatement struct {
	call *callExpr
	body *macroStatement
	line int
}

func (n *callStatement) exec(s *state, sc *scope) signal {
	s.line = n.line
	sc.keep()
	caller := &macro{n.body, sc}
	s.out.text(s.str(n.call.with(s, sc, keyword{"caller", caller})))
	return goOn
}

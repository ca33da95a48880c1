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
	kw := keywords(a.kw)
	given := make([]any, len(m.params))
	for i, p := range m.params {
		given[i] = absent
		if i < len(a.pos) {
			given[i] = a.pos[i]
		} else if v, ok := kw.take(p.name); ok {
			given[i] = v
		}
	}
	m.setCaller(s, sc, &kw)
	m.setRest(s, sc, a.pos, kw)
	for i, p := range m.params {
		v := given[i]
		switch {
		case v != absent:
		case p.fallback != nil:
			v = p.fallback.eval(s, sc)
		default:
			v = &undefined{hint: "parameter '" + p.name + "' was not provided"}
		}
		s.set(sc, p.id, v)
	}
	return s.capture(func() { s.run(m.body, sc) })
}

// keywords are the keyword arguments of a call that no parameter has taken yet.
type keywords []keyword

// take removes an argument and returns its value.
func (k *keywords) take(name string) (any, bool) {
	for i, a := range *k {
		if a.name == name {
			*k = append((*k)[:i:i], (*k)[i+1:]...)
			return a.value, true
		}
	}
	return nil, false
}

// setRest sets the variables kwargs and varargs to the arguments that no parameter has taken, or
// fails if there are some and the macro does not use the variable.
func (m *macro) setRest(s *state, sc *scope, pos []any, kw keywords) {
	if m.kwargs >= 0 {
		d := new(Dict)
		for _, k := range kw {
			d.set(s, String(k.name), k.value)
		}
		s.set(sc, m.kwargs, d)
	} else if len(kw) > 0 {
		fail("macro '%s' takes no keyword argument '%s'", m.name, kw[0].name)
	}
	if m.varargs >= 0 {
		s.set(sc, m.varargs, Tuple(pos[min(len(pos), len(m.params)):]))
	} else if len(pos) > len(m.params) {
		fail("macro '%s' takes not more than %d argument(s)", m.name, len(m.params))
	}
}

// setCaller sets the variable caller if the macro uses it.
func (m *macro) setCaller(s *state, sc *scope, kw *keywords) {
	if m.caller < 0 || m.explicit {
		return
	}
	v, ok := kw.take("caller")
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

package jinja

// statement is a part of a template outside of expressions.
type statement interface {
	exec(s *state, sc *scope) signal
}

// signal says how to go on behind a statement.
type signal int

const (
	goOn signal = iota
	breakLoop
	continueLoop
)

// run carries out statements.
func (s *state) run(body []statement, sc *scope) signal {
	for _, st := range body {
		s.spend(1)
		if sig := st.exec(s, sc); sig != goOn {
			return sig
		}
	}
	return goOn
}

// dataStatement prints the text between tags.
type dataStatement string

func (n dataStatement) exec(s *state, _ *scope) signal {
	s.out.str(string(n))
	return goOn
}

// printStatement is {{ value }}.
type printStatement struct {
	value expression
	line  int
}

func (n *printStatement) exec(s *state, sc *scope) signal {
	s.line = n.line
	v := n.value.eval(s, sc)
	if t, ok := v.(Text); ok {
		s.out.text(t)
	} else {
		s.out.text(s.str(v))
	}
	return goOn
}

// ifStatement is {% if %} with a branch for each test; the else branch has the test nil.
type ifStatement struct{ branches []branch }

type branch struct {
	test expression
	body []statement
	line int
}

func (n *ifStatement) exec(s *state, sc *scope) signal {
	for i := range n.branches {
		b := &n.branches[i]
		s.line = b.line
		if b.test == nil || truth(b.test.eval(s, sc)) {
			return s.run(b.body, sc)
		}
	}
	return goOn
}

// target is what values are assigned to: a name, an attribute of a namespace, or a list of them.
type target struct {
	id    int
	attr  string // set: the attribute of the namespace id
	parts []target
	tuple bool
}

func (t *target) assign(s *state, sc *scope, v any) {
	switch {
	case t.tuple:
		items := elements(s, v)
		if len(items) != len(t.parts) {
			fail("%d values to unpack into %d names", len(items), len(t.parts))
		}
		for i := range t.parts {
			t.parts[i].assign(s, sc, items[i])
		}
	case t.attr != "":
		ns, ok := s.get(sc, t.id).(*namespace)
		if !ok {
			fail("cannot assign attribute on non-namespace object")
		}
		if t.attr[0] == '_' {
			fail("a namespace cannot have the attribute %q", t.attr)
		}
		ns.attrs.set(s, String(t.attr), v)
	default:
		s.set(sc, t.id, v)
	}
}

// setStatement is {% set a = value %}.
type setStatement struct {
	target target
	value  expression
	line   int
}

func (n *setStatement) exec(s *state, sc *scope) signal {
	s.line = n.line
	n.target.assign(s, sc, n.value.eval(s, sc))
	return goOn
}

// setBlock is {% set a | filter %}body{% endset %}.
type setBlock struct {
	target target
	filter func(s *state, sc *scope, v any) any
	body   []statement
	line   int
}

func (n *setBlock) exec(s *state, sc *scope) signal {
	text, sig := s.block(n.body, sc)
	if sig != goOn {
		return sig
	}
	s.line = n.line
	n.target.assign(s, sc, n.filter(s, sc, text))
	return goOn
}

// block returns what body prints in a scope of its own.
func (s *state) block(body []statement, sc *scope) (text Text, sig signal) {
	text = s.capture(func() { sig = s.run(body, &scope{parent: sc}) })
	return text, sig
}

// filterBlock is {% filter name %}body{% endfilter %}.
type filterBlock struct {
	filter func(s *state, sc *scope, v any) any
	body   []statement
	line   int
}

func (n *filterBlock) exec(s *state, sc *scope) signal {
	text, sig := s.block(n.body, sc)
	if sig != goOn {
		return sig
	}
	s.line = n.line
	s.out.text(s.str(n.filter(s, sc, text)))
	return goOn
}

// scopeStatement is a body with a scope of its own: {% with %}, {% generation %}, {% block %}.
type scopeStatement struct {
	targets []target
	values  []expression
	body    []statement
	line    int
	outside bool // its scope is the outermost one
}

func (n *scopeStatement) exec(s *state, sc *scope) signal {
	s.line = n.line
	inner := &scope{parent: sc}
	if n.outside {
		inner.parent = nil
	}
	for i, e := range n.values {
		n.targets[i].assign(s, inner, e.eval(s, sc))
	}
	return s.run(n.body, inner)
}

// jump is {% break %} or {% continue %}.
type jump signal

func (n jump) exec(*state, *scope) signal { return signal(n) }

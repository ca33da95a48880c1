package jinja

// forStatement is {% for %}.
type forStatement struct {
	target    target
	items     expression
	test      expression // nil if there is none
	body      []statement
	otherwise []statement
	loopID    int // the number of the name "loop"
	recursive bool
	line      int
}

// loop is the variable of this name in a loop.
type loop struct {
	of      *forStatement
	scope   *scope // around the loop
	items   []any
	index   int // from 0
	depth   int // from 0
	changed any // the last values of the method changed, nil before the first call
}

func (n *forStatement) exec(s *state, sc *scope) signal {
	s.line = n.line
	n.run(s, sc, n.items.eval(s, sc), 0)
	return goOn
}

func (n *forStatement) run(s *state, sc *scope, of any, depth int) {
	items := elements(s, of)
	s.spend(valueSteps * len(items))
	inner := &scope{parent: sc, vars: make([]variable, 0, 4)}
	if n.test != nil {
		var kept []any
		for _, item := range items {
			inner = inner.again()
			n.target.assign(s, inner, item)
			if truth(n.test.eval(s, inner)) {
				kept = append(kept, item)
			}
		}
		items = kept
	}
	l := &loop{of: n, scope: sc, items: items, depth: depth}
	complete := false // some iteration reached the end of the body
	for i, item := range items {
		l.index = i
		inner = inner.again()
		s.set(inner, n.loopID, l)
		n.target.assign(s, inner, item)
		sig := s.run(n.body, inner)
		if sig == breakLoop {
			break
		}
		complete = complete || sig == goOn
	}
	if !complete { // as in Jinja, whose else also follows a loop that only jumped
		s.run(n.otherwise, &scope{parent: sc})
	}
}

// call renders the loop with other items, which a recursive loop can ask for.
func (l *loop) call(s *state, a *args) any {
	if !l.of.recursive {
		fail("the loop must have the 'recursive' marker to be called recursively")
	}
	items := a.bind("loop", "iterable")[0]
	s.deeper()
	defer func() { s.depth-- }()
	return s.capture(func() { l.of.run(s, l.scope, items, l.depth+1) })
}

// attr returns an attribute of the loop.
func (l *loop) attr(name string) (any, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return l.index + 1, true
	case "index0":
		return l.index, true
	case "revindex":
		return n - l.index, true
	case "revindex0":
		return n - l.index - 1, true
	case "first":
		return l.index == 0, true
	case "last":
		return l.index == n-1, true
	case "length":
		return n, true
	case "depth":
		return l.depth + 1, true
	case "depth0":
		return l.depth, true
	case "previtem":
		if l.index == 0 {
			return &undefined{hint: "there is no previous item"}, true
		}
		return l.items[l.index-1], true
	case "nextitem":
		if l.index == n-1 {
			return &undefined{hint: "there is no next item"}, true
		}
		return l.items[l.index+1], true
	case "cycle", "changed":
		return &method{l, name}, true
	}
	return nil, false
}

// method calls cycle or changed.
func (l *loop) method(s *state, name string, a *args) any {
	switch name {
	case "cycle":
		a.noKeywords("cycle")
		if len(a.pos) == 0 {
			fail("no items for cycling given")
		}
		return a.pos[l.index%len(a.pos)]
	case "changed":
		a.noKeywords("changed")
		if last, ok := l.changed.(Tuple); ok && s.equal(last, Tuple(a.pos)) {
			return false
		}
		l.changed = Tuple(a.pos)
		return true
	}
	fail("'LoopContext object' has no attribute '%s'", name)
	return nil
}

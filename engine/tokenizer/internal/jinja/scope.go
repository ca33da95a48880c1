package jinja

// scope has the variables that are set in a loop, a macro or a block. They end with it.
type scope struct {
	parent *scope
	vars   []variable
	shared bool // a macro may look at it later
}

type variable struct {
	id    int
	value any
}

// set sets a variable in the innermost scope.
func (s *state) set(sc *scope, id int, value any) {
	if sc == nil {
		s.root[id] = value
		return
	}
	for i := range sc.vars {
		if sc.vars[i].id == id {
			sc.vars[i].value = value
			return
		}
	}
	sc.vars = append(sc.vars, variable{id, value})
}

// get returns the value of a variable, or absent.
func (s *state) get(sc *scope, id int) any {
	for ; sc != nil; sc = sc.parent {
		for i := range sc.vars {
			if sc.vars[i].id == id {
				return sc.vars[i].value
			}
		}
	}
	return s.root[id]
}

// keep says that a macro holds sc.
func (sc *scope) keep() {
	for ; sc != nil && !sc.shared; sc = sc.parent {
		sc.shared = true
	}
}

// again returns a new scope in the place of sc, which has ended.
func (sc *scope) again() *scope {
	if sc.shared {
		return &scope{parent: sc.parent}
	}
	clear(sc.vars)
	sc.vars = sc.vars[:0]
	return sc
}

// deeper counts a call, and fails if there are too many within each other.
func (s *state) deeper() {
	if s.depth++; s.depth > maxDepth {
		fail("macros or loops call each other more than %d deep", maxDepth)
	}
}

// capture returns what body prints.
func (s *state) capture(body func()) Text {
	out := s.out
	s.out = builder{state: s}
	body()
	text := s.out.result()
	s.out = out
	return text
}

package jinja

import (
	"math"
	"strconv"
	"strings"
)

// expression reads an expression with everything that may be in one.
func (p *parser) expression() (e expression) {
	p.deeper(func() { e = p.conditional() })
	return e
}

func (p *parser) conditional() expression {
	found := len(p.unknown)
	e := p.or()
	for p.skip(name, "if") {
		c := &condExpr{test: p.or(), then: e}
		if p.skip(name, "else") {
			p.deeper(func() { c.otherwise = p.conditional() })
		}
		e = c
		p.branch(found)
	}
	return e
}

func (p *parser) or() expression {
	e := p.and()
	for p.skip(name, "or") {
		e = &orExpr{e, p.and()}
	}
	return e
}

func (p *parser) and() expression {
	e := p.not()
	for p.skip(name, "and") {
		e = &andExpr{e, p.not()}
	}
	return e
}

func (p *parser) not() (e expression) {
	if !p.skip(name, "not") {
		return p.comparison()
	}
	p.deeper(func() { e = &notExpr{p.not()} })
	return e
}

func (p *parser) comparison() expression {
	c := &compareExpr{first: p.sum()}
	for {
		t := p.peek()
		op := ""
		switch {
		case t.kind == operator:
			switch t.text {
			case "==", "!=", "<", "<=", ">", ">=":
				op = t.text
			}
		case p.is(name, "in"):
			op = "in"
		case p.is(name, "not") && p.tokens[p.at+1].kind == name && p.tokens[p.at+1].text == "in":
			p.next()
			op = "not in"
		}
		if op == "" {
			break
		}
		p.next()
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
	if len(c.ops) == 0 {
		return c.first
	}
	return c
}

// operators reads operands with one of the operators between them.
func (p *parser) operands(operand func() expression, ops ...string) expression {
	e := operand()
next:
	for {
		for _, op := range ops {
			if p.skip(operator, op) {
				e = &arithmeticExpr{op, e, operand()}
				continue next
			}
		}
		return e
	}
}

func (p *parser) sum() expression { return p.operands(p.concat, "+", "-") }

func (p *parser) concat() expression {
	parts := []expression{p.product()}
	for p.skip(operator, "~") {
		parts = append(parts, p.product())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &concatExpr{parts}
}

func (p *parser) product() expression { return p.operands(p.power, "*", "/", "//", "%") }

func (p *parser) power() expression {
	return p.operands(func() expression { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (e expression) {
	switch {
	case p.skip(operator, "-"):
		p.deeper(func() { e = &unaryExpr{true, p.unary(false)} })
	case p.skip(operator, "+"):
		p.deeper(func() { e = &unaryExpr{false, p.unary(false)} })
	default:
		e = p.primary()
	}
	e = p.postfix(e)
	if filters {
		e = p.filters(e)
	}
	return e
}

// keywordValues are the names that are literals.
var keywordValues = map[string]any{"true": true, "True": true, "false": false, "False": false,
	"none": nil, "None": nil}

func (p *parser) primary() expression {
	t := p.next()
	switch t.kind {
	case name:
		if v, ok := keywordValues[t.text]; ok {
			return &constant{v}
		}
		return p.variable(t)
	case stringLiteral:
		s := t.text
		for p.peek().kind == stringLiteral {
			s += p.next().text
		}
		return &constant{Text{s: s}}
	case integerLiteral:
		i, err := strconv.ParseInt(t.text, 0, 64)
		if strings.Trim(t.text, "0") == "" {
			i, err = 0, nil
		}
		if err != nil {
			p.failAt(t.line, "the integer %s is too large", t.text)
		}
		return &constant{int(i)}
	case floatLiteral:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil && !math.IsInf(f, 0) {
			p.failAt(t.line, "the number %s is not valid", t.text)
		}
		return &constant{f}
	case operator:
		switch t.text {
		case "(":
			e := p.tuple(true, true)
			p.expect(operator, ")")
			return e
		case "[":
			l := new(listExpr)
			p.list("]", func() { l.items = append(l.items, p.expression()) })
			return l
		case "{":
			d := new(dictExpr)
			p.list("}", func() { p.pair(d) })
			return d
		}
	}
	p.failAt(t.line, "unexpected %v", t)
	return nil
}

// variable reads a variable whose name has been read.
func (p *parser) variable(t token) expression {
	for _, r := range p.reads {
		r.caller = r.caller || t.text == "caller"
		r.varargs = r.varargs || t.text == "varargs"
		r.kwargs = r.kwargs || t.text == "kwargs"
	}
	if t.text == "lipsum" || t.text == "self" || t.text == "super" {
		p.failAt(t.line, "%s is not supported in a chat template", t.text)
	}
	return &nameExpr{t.text, p.id(t.text)}
}

// list reads elements with commas between them up to a bracket.
func (p *parser) list(close string, element func()) {
	for n := 0; !p.skip(operator, close); n++ {
		if n > 0 {
			p.expect(operator, ",")
			if p.skip(operator, close) {
				return
			}
		}
		element()
	}
}

func (p *parser) pair(d *dictExpr) {
	k := p.expression()
	p.expect(operator, ":")
	d.keys = append(d.keys, k)
	d.values = append(d.values, p.expression())
	if c, ok := k.(*constant); ok {
		if t, ok := c.value.(Text); ok {
			p.own[t.s] = true
		}
	}
}

// tuple reads an expression, or several with commas between them. conditionals says whether
// a if b else c may be one; brackets says that there may be none.
func (p *parser) tuple(conditionals, brackets bool) expression {
	var items []expression
	commas := false
	for {
		t := p.peek()
		if t.kind == variableEnd || t.kind == blockEnd || p.is(operator, ")") ||
			!conditionals && p.is(name, "recursive") && len(items) > 0 {
			break
		}
		if conditionals {
			items = append(items, p.expression())
		} else {
			p.deeper(func() { items = append(items, p.or()) })
		}
		if !p.skip(operator, ",") {
			break
		}
		commas = true
	}
	switch {
	case commas:
		return &listExpr{items, true}
	case len(items) == 1:
		return items[0]
	case !brackets:
		p.fail("unexpected %v, want an expression", p.peek())
	}
	return &listExpr{nil, true}
}

// postfix reads what follows a value: attributes, elements and calls.
func (p *parser) postfix(e expression) expression {
	for {
		switch {
		case p.skip(operator, "."):
			t := p.next()
			switch t.kind {
			case name:
				e = &attrExpr{e, t.text}
			case integerLiteral:
				i, _ := strconv.Atoi(t.text)
				e = &itemExpr{e, &constant{i}}
			default:
				p.failAt(t.line, "unexpected %v, want a name or a number", t)
			}
		case p.skip(operator, "["):
			e = p.subscript(e)
		case p.is(operator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

func (p *parser) call(e expression) expression {
	t := p.next()
	c := &callExpr{of: e}
	if attr, ok := e.(*attrExpr); ok {
		p.calls = append(p.calls, methodCall{attr.name, t.line})
	}
	c.args = p.arguments()
	return c
}

// subscript reads an element or a slice from behind its bracket.
func (p *parser) subscript(e expression) expression {
	var items []expression
	var part *sliceExpr
	p.list("]", func() {
		if part != nil {
			p.fail("a slice of several dimensions is not supported")
		}
		if item, s := p.sliceOrItem(e); s != nil {
			part = s
		} else {
			items = append(items, item)
		}
	})
	switch {
	case part != nil && len(items) == 0:
		return part
	case part != nil || len(items) == 0:
		p.fail("an element needs a key")
	case len(items) == 1:
		return &itemExpr{e, items[0]}
	}
	return &itemExpr{e, &listExpr{items, true}}
}

// sliceOrItem reads a key, or the bounds of a slice of e.
func (p *parser) sliceOrItem(e expression) (expression, *sliceExpr) {
	s := &sliceExpr{of: e}
	if !p.is(operator, ":") {
		item := p.expression()
		if !p.is(operator, ":") {
			return item, nil
		}
		s.start = item
	}
	p.next()
	bound := func() expression {
		if p.is(operator, ":") || p.is(operator, "]") || p.is(operator, ",") {
			return nil
		}
		return p.expression()
	}
	s.stop = bound()
	if p.skip(operator, ":") {
		s.step = bound()
	}
	return nil, s
}

// arguments reads the arguments of a call from behind their bracket.
func (p *parser) arguments() argList {
	var a argList
	p.list(")", func() {
		t := p.peek()
		switch {
		case a.keywords != nil:
			p.fail("an argument stands behind **")
		case p.skip(operator, "*"):
			if a.list != nil {
				p.fail("there are two arguments with *")
			}
			a.list = p.expression()
		case p.skip(operator, "**"):
			a.keywords = p.expression()
		case t.kind == name && p.tokens[p.at+1].kind == operator && p.tokens[p.at+1].text == "=":
			p.next()
			p.next()
			p.own[t.text] = true
			a.names = append(a.names, t.text)
			a.values = append(a.values, p.expression())
		default:
			if len(a.names) > 0 || a.list != nil {
				p.fail("a positional argument stands behind one with a name or *")
			}
			a.pos = append(a.pos, p.expression())
		}
	})
	return a
}

// filters reads filters, tests and calls behind a value.
func (p *parser) filters(e expression) expression {
	for {
		switch {
		case p.skip(operator, "|"):
			e = p.filter(e)
		case p.skip(name, "is"):
			e = p.test(e)
		case p.is(operator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// dotted reads the name of a filter or a test.
func (p *parser) dotted() token {
	t := p.expect(name, "")
	for p.skip(operator, ".") {
		t.text += "." + p.expect(name, "").text
	}
	return t
}

func (p *parser) filter(of expression) *filterExpr {
	t := p.dotted()
	f := &filterExpr{of: of, name: t.text, call: filters[t.text], line: t.line}
	if f.call == nil {
		if missing[t.text] {
			p.failAt(t.line, "the filter %q is not supported", t.text)
		}
		p.notFound(t.line, "filter", t.text)
		f.call = func(*state, any, *args) any {
			fail("unknown filter %q", t.text)
			return nil
		}
	}
	if p.skip(operator, "(") {
		f.args = p.arguments()
	}
	p.checkNamed(t, f.args)
	return f
}

// checkNamed refuses an unknown filter or test that is an argument of a filter.
func (p *parser) checkNamed(t token, a argList) {
	position := map[string]int{"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
	i, ok := position[t.text]
	if !ok || i >= len(a.pos) {
		return
	}
	c, ok := a.pos[i].(*constant)
	if !ok {
		return
	}
	named, ok := c.value.(Text)
	switch {
	case !ok:
	case t.text == "map" && missing[named.s]:
		p.failAt(t.line, "the filter %q is not supported", named.s)
	case t.text == "map" && filters[named.s] == nil:
		p.notFound(t.line, "filter", named.s)
	case t.text != "map" && tests[named.s] == nil:
		p.notFound(t.line, "test", named.s)
	}
}

func (p *parser) test(of expression) expression {
	negated := p.skip(name, "not")
	t := p.dotted()
	n := &testExpr{of: of, call: tests[t.text]}
	if n.call == nil {
		p.notFound(t.line, "test", t.text)
		n.call = func(*state, any, *args) bool {
			fail("unknown test %q", t.text)
			return false
		}
	}
	switch next := p.peek(); {
	case p.skip(operator, "("):
		n.args = p.arguments()
	case next.kind == name && (next.text == "else" || next.text == "or" || next.text == "and"):
	case p.is(name, "is"):
		p.fail("several tests with is cannot follow each other")
	case next.kind == name || next.kind == stringLiteral || next.kind == integerLiteral ||
		next.kind == floatLiteral || p.is(operator, "[") || p.is(operator, "{"):
		n.args.pos = []expression{p.postfix(p.primary())}
	}
	if negated {
		return &notExpr{n}
	}
	return n
}

package jinja

import "strings"

// body reads statements up to a {% tag %} with one of the names, whose name is then the current
// token, or up to the end of the template if there are none.
func (p *parser) body(ends ...string) []statement {
	var list []statement
	for {
		switch t := p.peek(); t.kind {
		case data:
			p.next()
			list = append(list, dataStatement(t.text))
		case variableBegin:
			p.next()
			e := p.tuple(true, false)
			list = append(list, &printStatement{e, t.line})
			p.expect(variableEnd, "")
		case blockBegin:
			p.next()
			for _, e := range ends {
				if p.is(name, e) {
					return list
				}
			}
			p.deeper(func() { list = append(list, p.statement()...) })
			p.expect(blockEnd, "")
		default:
			if len(ends) > 0 {
				p.fail("unexpected %v, want {%% %s %%}", t, strings.Join(ends, " %} or {% "))
			}
			return list
		}
	}
}

// block reads the rest of a tag and the statements up to the tag with one of the names, whose name
// it returns. The current token is then the one behind the name.
func (p *parser) block(ends ...string) ([]statement, string) {
	p.skip(operator, ":")
	p.expect(blockEnd, "")
	body := p.body(ends...)
	return body, p.next().text
}

// statement reads a tag from its name on, and the body that the tag begins. It returns several
// statements for {% print a, b %}, else one.
func (p *parser) statement() []statement {
	t := p.peek()
	if t.kind != name {
		p.fail("unexpected %v, want the name of a statement", t)
	}
	p.next()
	switch t.text {
	case "if":
		return []statement{p.ifStatement()}
	case "for":
		return []statement{p.forStatement(t.line)}
	case "set":
		return []statement{p.setStatement(t.line)}
	case "macro":
		return []statement{p.macro()}
	case "call":
		return []statement{p.callStatement(t.line)}
	case "filter":
		f := p.filterChain(true)
		body, _ := p.inner("endfilter")
		return []statement{&filterBlock{f, body, t.line}}
	case "with":
		return []statement{p.with(t.line)}
	case "generation":
		return []statement{p.generation(t.line)}
	case "autoescape":
		return []statement{p.autoescape(t.line)}
	case "block":
		return []statement{p.blockStatement(t.line)}
	case "print":
		return p.print(t.line)
	case "break", "continue":
		if p.loops == 0 {
			p.failAt(t.line, "{%% %s %%} is outside of a loop", t.text)
		}
		if t.text == "break" {
			return []statement{jump(breakLoop)}
		}
		return []statement{jump(continueLoop)}
	case "extends", "include", "import", "from":
		p.failAt(t.line, "the statement {%% %s %%} is not supported in a chat template", t.text)
	}
	p.failAt(t.line, "unknown statement {%% %s %%}", t.text)
	return nil
}

// generation reads transformers' own statement, which marks an answer for training.
func (p *parser) generation(line int) statement {
	var body []statement
	p.outsideLoops(func() { body, _ = p.inner("endgeneration") })
	return &scopeStatement{body: body, line: line}
}

func (p *parser) autoescape(line int) statement {
	if c, ok := p.expression().(*constant); !ok || truth(c.value) {
		p.failAt(line, "{%% autoescape %%} with anything but false is not supported")
	}
	body, _ := p.block("endautoescape")
	return &scopeStatement{body: body, line: line}
}

func (p *parser) print(line int) []statement {
	var list []statement
	for p.peek().kind != blockEnd {
		if list != nil {
			p.expect(operator, ",")
		}
		list = append(list, &printStatement{p.expression(), line})
	}
	return list
}

// outsideLoops runs f as if the place was in no loop.
func (p *parser) outsideLoops(f func()) {
	loops := p.loops
	p.loops = 0
	f()
	p.loops = loops
}

func (p *parser) ifStatement() statement {
	n := new(ifStatement)
	found := len(p.unknown)
	defer func() { p.branch(found) }()
	for end := "elif"; end != "endif"; {
		b := branch{line: p.peek().line}
		if end == "elif" {
			b.test = p.tuple(false, false)
			b.body, end = p.block("elif", "else", "endif")
		} else {
			b.body, end = p.block("endif")
		}
		n.branches = append(n.branches, b)
	}
	return n
}

func (p *parser) forStatement(line int) statement {
	n := &forStatement{line: line, loopID: p.id("loop")}
	n.target = p.targets(false, "in")
	p.expect(name, "in")
	n.items = p.tuple(false, false)
	if p.skip(name, "if") {
		n.test = p.expression()
	}
	n.recursive = p.skip(name, "recursive")
	p.loops++
	body, end := p.inner("endfor", "else")
	p.loops--
	n.body = body
	if end == "else" {
		n.otherwise, _ = p.inner("endfor")
	}
	return n
}

// target reads what a value is assigned to, but not a list of it.
func (p *parser) target(namespaces bool) target {
	if p.skip(operator, "(") {
		t := p.targets(namespaces, "")
		p.expect(operator, ")")
		return t
	}
	t := p.expect(name, "")
	if _, ok := keywordValues[t.text]; ok {
		p.failAt(t.line, "cannot assign to %s", t.text)
	}
	if namespaces && p.skip(operator, ".") {
		attr := p.expect(name, "").text
		p.own[attr] = true
		return target{id: p.id(t.text), attr: attr}
	}
	return target{id: p.id(t.text)}
}

// targets reads targets with commas between them, up to the name end or what ends a list.
func (p *parser) targets(namespaces bool, end string) target {
	var parts []target
	for {
		t := p.peek()
		if len(parts) > 0 && (t.kind == blockEnd || p.is(operator, ")") || p.is(operator, "=") ||
			end != "" && p.is(name, end)) {
			break // behind a comma
		}
		parts = append(parts, p.target(namespaces))
		if !p.skip(operator, ",") {
			if len(parts) == 1 {
				return parts[0]
			}
			break
		}
	}
	return target{tuple: true, parts: parts}
}

func (p *parser) setStatement(line int) statement {
	t := p.targets(true, "")
	if p.skip(operator, "=") {
		return &setStatement{t, p.tuple(true, false), line}
	}
	f := p.filterChain(false)
	body, _ := p.inner("endset")
	return &setBlock{t, f, body, line}
}

// filterChain reads filters without a value. bare says that the first has no | before it.
func (p *parser) filterChain(bare bool) func(s *state, sc *scope, v any) any {
	var chain []*filterExpr
	for bare || p.skip(operator, "|") {
		bare = false
		chain = append(chain, p.filter(nil))
	}
	return func(s *state, sc *scope, v any) any {
		for _, f := range chain {
			v = f.apply(s, sc, v)
		}
		return v
	}
}

func (p *parser) with(line int) statement {
	n := &scopeStatement{line: line}
	for p.peek().kind != blockEnd {
		if len(n.targets) > 0 {
			p.expect(operator, ",")
		}
		n.targets = append(n.targets, p.targets(false, ""))
		p.expect(operator, "=")
		n.values = append(n.values, p.expression())
	}
	n.body, _ = p.inner("endwith")
	return n
}

// blockStatement reads a {% block %}, which is rendered where it stands: a chat template has no
// other template that could put something in its place.
func (p *parser) blockStatement(line int) statement {
	label := p.expect(name, "").text
	n := &scopeStatement{line: line, outside: true}
	for p.is(name, "scoped") || p.is(name, "required") {
		n.outside = n.outside && p.next().text != "scoped"
	}
	p.outsideLoops(func() { n.body, _ = p.inner("endblock") })
	p.skip(name, label)
	return n
}

func (p *parser) macro() statement {
	t := p.expect(name, "")
	n := &macroStatement{name: t.text, id: p.id(t.text)}
	p.own[t.text] = true
	p.expect(operator, "(")
	p.signature(n)
	p.macroBody(n, "endmacro")
	return n
}

// signature reads the parameters of a macro from behind their bracket.
func (p *parser) signature(n *macroStatement) {
	for !p.skip(operator, ")") {
		if len(n.params) > 0 {
			p.expect(operator, ",")
		}
		t := p.expect(name, "")
		par := parameter{name: t.text, id: p.id(t.text)}
		if p.skip(operator, "=") {
			par.fallback = p.expression()
		} else if k := len(n.params); k > 0 && n.params[k-1].fallback != nil {
			p.failAt(t.line, "the parameter %s without a default stands behind one with a default",
				t.text)
		}
		n.explicit = n.explicit || t.text == "caller"
		n.params = append(n.params, par)
	}
}

func (p *parser) macroBody(n *macroStatement, end string) {
	r := new(reads)
	p.reads = append(p.reads, r)
	p.outsideLoops(func() { n.body, _ = p.inner(end) })
	p.reads = p.reads[:len(p.reads)-1]
	used := func(yes bool, name string) int {
		if yes {
			return p.id(name)
		}
		return -1
	}
	n.caller = used(r.caller, "caller")
	n.varargs = used(r.varargs, "varargs")
	n.kwargs = used(r.kwargs, "kwargs")
}

func (p *parser) callStatement(line int) statement {
	body := &macroStatement{name: "caller"}
	if p.skip(operator, "(") {
		p.signature(body)
	}
	c, ok := p.expression().(*callExpr)
	if !ok {
		p.failAt(line, "{%% call %%} needs a call")
	}
	p.macroBody(body, "endcall")
	return &callStatement{c, body, line}
}

package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parser makes statements and expressions of tokens.
type parser struct {
	tokens []token
	at     int
	names  []string
	ids    map[string]int  // the number of each name
	loops  int             // how many loops the current place is in
	depth  int             // of expressions and statements
	reads  []*reads        // of the macros around the current place
	own    map[string]bool // attributes and names that the template itself sets
	calls  []methodCall

	// unknown has the filters and tests that Jinja does not know. Jinja refuses to load a template
	// with one, except in a branch, where it fails when it is reached: templates that are meant
	// for several programs have such branches.
	unknown []unknown
}

// unknown is a filter or test that Jinja does not have.
type unknown struct {
	line    int
	message string
	certain bool // it is refused even if a branch is around the place
}

// branch forgets the unknown filters and tests that were found since there were n of them, because
// they are in a branch. Jinja takes a branch within a loop for one, but not a loop within a branch.
func (p *parser) branch(n int) {
	kept := p.unknown[:n]
	for _, u := range p.unknown[n:] {
		if u.certain {
			kept = append(kept, u)
		}
	}
	p.unknown = kept
}

// inner reads a block that is not a part of the branch around it, as loops and macros are.
func (p *parser) inner(ends ...string) ([]statement, string) {
	n := len(p.unknown)
	body, end := p.block(ends...)
	for i := n; i < len(p.unknown); i++ {
		p.unknown[i].certain = true
	}
	return body, end
}

// reads says which of the names are read that a macro has only if it reads them.
type reads struct{ caller, varargs, kwargs bool }

// methodCall is a call of an attribute.
type methodCall struct {
	name string
	line int
}

func (p *parser) fail(format string, args ...any) { p.failAt(p.peek().line, format, args...) }

func (p *parser) failAt(line int, format string, args ...any) {
	panic(&Error{fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)), nil})
}

func (p *parser) peek() token { return p.tokens[p.at] }

// next returns the current token and moves on. The last token stays the current one.
func (p *parser) next() token {
	t := p.tokens[p.at]
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

// is reports whether the current token is an operator or a name with this text.
func (p *parser) is(k kind, text string) bool {
	t := p.peek()
	return t.kind == k && t.text == text
}

// skip moves on behind the token with this text, if it is the current one.
func (p *parser) skip(k kind, text string) bool {
	if p.is(k, text) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(k kind, text string) token {
	t := p.peek()
	if t.kind != k || text != "" && t.text != text {
		want := token{k, text, 0}.String()
		if k == name && text == "" {
			want = "a name"
		}
		p.fail("unexpected %v, want %s", t, want)
	}
	return p.next()
}

func (p *parser) expectEnd() {
	if t := p.peek(); t.kind != end {
		p.fail("unexpected {%% %s %%}", p.tokens[p.at].text)
	}
}

// deeper counts nesting while f runs.
func (p *parser) deeper(f func()) {
	if p.depth++; p.depth > maxDepth {
		p.fail("the template is nested more than %d deep", maxDepth)
	}
	f()
	p.depth--
}

// id returns the number of a name.
func (p *parser) id(name string) int {
	i, ok := p.ids[name]
	if !ok {
		i = len(p.names)
		p.ids[name] = i
		p.names = append(p.names, name)
	}
	return i
}

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
		// transformers' own statement, which marks an answer for training.
		var body []statement
		p.outsideLoops(func() { body, _ = p.inner("endgeneration") })
		return []statement{&scopeStatement{body: body, line: t.line}}
	case "autoescape":
		if c, ok := p.expression().(*constant); !ok || truth(c.value) {
			p.failAt(t.line, "{%% autoescape %%} with anything but false is not supported")
		}
		body, _ := p.block("endautoescape")
		return []statement{&scopeStatement{body: body, line: t.line}}
	case "block":
		return []statement{p.blockStatement(t.line)}
	case "print":
		var list []statement
		for p.peek().kind != blockEnd {
			if list != nil {
				p.expect(operator, ",")
			}
			list = append(list, &printStatement{p.expression(), t.line})
		}
		return list
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

// notFound notes a filter or a test that Jinja does not know.
func (p *parser) notFound(line int, kind, name string) {
	message := fmt.Sprintf("unknown %s %q", kind, name)
	p.unknown = append(p.unknown, unknown{line: line, message: message})
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

// checkUnknown refuses the filters and tests that Jinja does not know.
func (p *parser) checkUnknown() {
	if len(p.unknown) > 0 {
		p.failAt(p.unknown[0].line, "%s", p.unknown[0].message)
	}
}

// checkMethods refuses the calls of methods that no value has: neither one of Python's types nor
// anything that the template makes itself.
func (p *parser) checkMethods() {
next:
	for _, c := range p.calls {
		if p.own[c.name] {
			continue
		}
		for _, names := range methodNames {
			if names[c.name] {
				continue next
			}
		}
		p.failAt(c.line, "unknown method %q", c.name)
	}
}

package jinja

import "fmt"

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

// notFound notes a filter or a test that Jinja does not know.
func (p *parser) notFound(line int, kind, name string) {
	message := fmt.Sprintf("unknown %s %q", kind, name)
	p.unknown = append(p.unknown, unknown{line: line, message: message})
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

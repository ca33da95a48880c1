package jinja

import "fmt"

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	body    []statement
	names   []string // by number: the names that the template uses
	globals []any    // by the same numbers: the values that Jinja gives names
}

// Error says why a template cannot be loaded or rendered.
type Error struct {
	Message string
	Cause   error // the error of a function of the renderer's, or nil
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Cause }

// fail ends parsing or rendering with an *Error, which Parse or Render returns.
func fail(format string, args ...any) { panic(&Error{fmt.Sprintf(format, args...), nil}) }

// catch turns the panic of fail into an error.
func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		panic(r)
	}
}

// Parse parses a template. Beside wrong syntax it refuses what this package does not have of Jinja,
// even in a part of the template that may never be rendered.
func Parse(source string) (t *Template, err error) {
	defer catch(&err)
	p := &parser{tokens: lex(source), ids: make(map[string]int), own: make(map[string]bool)}
	body := p.body()
	p.expectEnd()
	p.checkUnknown()
	p.checkMethods()
	t = &Template{body: body, names: p.names, globals: make([]any, len(p.names))}
	for i, name := range t.names {
		t.globals[i] = absent
		if f, ok := globals[name]; ok {
			t.globals[i] = f
		}
	}
	return t, nil
}

// Render renders the template with variables, whose values are nil, bool, int, float64, Text, List,
// *Dict or *Func.
func (t *Template) Render(vars map[string]any) (text Text, err error) {
	s := &state{root: append([]any(nil), t.globals...)}
	for i, name := range t.names {
		if v, ok := vars[name]; ok {
			s.root[i] = v
		}
	}
	defer func() {
		if e, ok := err.(*Error); ok {
			e.Message = fmt.Sprintf("line %d: %s", s.line, e.Message)
		}
	}()
	defer catch(&err)
	s.run(t.body, nil)
	return s.out.result(), nil
}

// absent is the value of a variable that is not set, and of an argument that is not given.
var absent any = new(byte)

// state is the state of one rendering.
type state struct {
	root  []any // by a name's number: the variables outside of all scopes
	out   builder
	line  int
	depth int // of calls
}

// Package jinja renders chat templates: the part of Jinja2 that they use, with Python's str, list
// and dict, in the environment that transformers sets up for them (trim_blocks, lstrip_blocks,
// break and continue, {% generation %}, its tojson, no changes of lists and dicts).
//
// A rendering has a budget of steps and of memory (meter.go), and nothing that reads files.
//
// A template gives Jinja2's text, or an error. What this package does not have of Jinja2 (templates
// that load other templates, filters that make HTML, integers of more than 64 bits) is an error,
// where possible when the template is loaded. The tests compare some 900 features with Jinja2
// itself; testdata/templates of package tokenizer says how.
//
// It exists because the kept Jinja for Go, github.com/nikolalohinski/gonja v2.9.1, works with Go's
// strings, slices and maps by reflection and differs in 45 of 178 features tried: in split, strip
// and replace, in negative indices and %, in the order of dicts, in how None and lists are printed.
// With such differences an answer can be missing from a prompt, and nobody sees it.
//
// # Origin
//
// A Text knows which of its bytes come from a message, through all operations. So the renderer's
// caller can find the messages in the result, and the template sees their text unchanged.
package jinja

import (
	"fmt"
	"runtime"
	"strings"
)

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
	case runtime.Error: // a fault of this package must not end the process
		*err = &Error{"internal error: " + r.Error(), r}
	default:
		panic(r)
	}
}

// Parse parses a template. Beside wrong syntax it refuses what this package does not have of Jinja,
// even in a part of the template that may never be rendered.
func Parse(source string) (t *Template, err error) {
	defer catch(&err)
	p := &parser{
		tokens: lex(strings.ToValidUTF8(source, "\uFFFD")),
		ids:    make(map[string]int),
		own:    make(map[string]bool),
	}
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
	s := &state{root: append([]any(nil), t.globals...), left: maxSteps}
	s.out.state = s
	for i, name := range t.names {
		if v, ok := vars[name]; ok {
			s.root[i] = v
			s.left += stepsOfValue * values(v)
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
	left  int // steps; see meter.go
}

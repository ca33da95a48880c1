package grammar

import "context"

// A Tool is a function that an answer may call. Parameters is the JSON schema of its arguments; nil
// allows any object. If the tool is Loose, its schema is a hint: a keyword that cannot be held is
// left out.
type Tool struct {
	Name       string
	Parameters []byte
	Loose      bool
}

// A Form is the text of calls in an answer: Open Name NAME Args ARGUMENTS Close, where NAME is the
// tool's name and ARGUMENTS a JSON object. For each further call follow Next NAME Args ARGUMENTS
// Close; behind the last one stands End.
type Form struct {
	Open, Name, Args, Close, Next, End string

	ID      string // unless it is "", it follows NAME, and IDBytes letters and digits follow it
	AtStart bool   // Open means a call at the beginning of an answer alone
	Lead    string // may come before Open where AtStart is set; "": nothing may
	XML     bool   // ARGUMENTS are the parameters one by one, see Parameter, and not JSON
}

// IDBytes is the length of the id that a model gives to a call.
const IDBytes = 9

// A Spec says what an answer may be. Without tools it is JSON that satisfies Format, or any JSON
// if that is nil. With Tools it may be a call, and if Required it is exactly one call. Else, if
// Format is nil, it is any text without the form's Open, which a call may follow; with Many,
// further calls may follow that. If Format is there, an answer is either JSON that satisfies it or
// such calls without text.
type Spec struct {
	Format         []byte // a JSON schema
	Loose          bool   // Format is a hint: a keyword that cannot be held is left out
	Tools          []Tool
	Form           Form
	Required, Many bool
	// Thinking may come before all of it.
	Thinking Thinking
	// Reach is a number of bytes that no answer has, so that longer lengths need not be counted;
	// 0 if that is not known.
	Reach int
}

// Compile makes the grammar. It takes time and memory in proportion to the size of the schemas and
// stops when the context does, with the context's error. Other errors are *SchemaError, for what is
// not loose. What had to be left out of loose schemas is in unheld.
func (s Spec) Compile(ctx context.Context) (g *Grammar, unheld []*SchemaError, err error) {
	c := newCompiler(ctx, s.Reach)
	root, err := c.spec(s)
	if err != nil {
		return nil, nil, err
	}
	root = c.thinking(s.Thinking, root)
	c.check()
	return c.build(root), c.unheld, nil
}

func (c *compiler) spec(s Spec) (symbol, error) {
	var calls [][]symbol
	for _, t := range s.Tools {
		args, err := c.arguments(t, s.Form.XML)
		if err != nil {
			return 0, err
		}
		id := c.seq()
		if s.Form.ID != "" {
			id = c.seq(c.literal(s.Form.ID), c.repeat(c.bytes("09AZaz"), IDBytes, IDBytes))
		}
		calls = append(calls, []symbol{c.literal(t.Name), id, c.literal(s.Form.Args), args})
	}
	var format symbol
	if s.Format != nil && !s.Required {
		var err error
		if format, err = c.document(s.Format, "", s.Loose, false); err != nil {
			return 0, err
		}
	}
	if len(s.Tools) == 0 {
		if s.Format == nil {
			return c.value, nil
		}
		return format, nil
	}
	return c.form(s, c.oneOf(calls...), format), nil
}

// arguments makes a rule for the arguments of a tool.
func (c *compiler) arguments(t Tool, xml bool) (symbol, error) {
	switch {
	case xml:
		return c.parameters(t)
	case t.Parameters == nil:
		return c.object, nil
	}
	return c.document(t.Parameters, t.Name, t.Loose, true)
}

// form makes a rule for an answer with calls, of which call is one from its name to its arguments.
func (c *compiler) form(s Spec, call, format symbol) symbol {
	f := s.Form
	call = c.seq(call, c.literal(f.Close))
	first, more := c.seq(c.literal(f.Name), call), c.seq()
	if s.Many && !s.Required {
		more = c.repeat(c.seq(c.literal(f.Next), call), 0, -1)
	}
	calls := c.seq(first, more, c.literal(f.End))
	switch {
	case s.Required:
		return c.seq(c.literal(f.Open), calls)
	case s.Format != nil:
		return c.oneOf([]symbol{format}, []symbol{c.literal(f.Open), calls})
	case f.AtStart:
		return c.atStart(f, calls)
	}
	return c.anyText(f.Open, calls)
}

// atStart makes a rule for either calls behind the form's Open, or any text that does not begin
// with Open.
func (c *compiler) atStart(f Form, calls symbol) symbol {
	any := c.bytes("\x00\xff")
	text := c.repeat(any, 0, -1)
	unlike := c.unlike(f.Open, calls, text)
	if f.Lead == "" {
		return c.oneOf(append([][]symbol{nil}, unlike...)...)
	}
	// Both begin with other bytes, and text with neither.
	lead := c.unlike(f.Lead, c.seq(c.literal(f.Open), calls), text)
	var other class
	for b := range 256 {
		if byte(b) != f.Open[0] && byte(b) != f.Lead[0] {
			other.add(byte(b), byte(b))
		}
	}
	return c.oneOf(nil, unlike[0], lead[0], []symbol{c.class(other), text})
}

// unlike returns the two ways on from the beginning of a mark: the mark is complete and rest
// follows, or a byte comes that is not the mark's and text follows.
func (c *compiler) unlike(mark string, rest, text symbol) [][]symbol {
	next := rest
	var ways [][]symbol
	for i := len(mark) - 1; i >= 0; i-- {
		var is, other class
		is.add(mark[i], mark[i])
		for b := range 256 {
			if byte(b) != mark[i] {
				other.add(byte(b), byte(b))
			}
		}
		ways = [][]symbol{{c.class(is), next}, {c.class(other), text}}
		if i > 0 {
			next = c.oneOf(append([][]symbol{nil}, ways...)...)
		}
	}
	return ways
}

// anyText is any text, in which rest must follow the trigger. The rules are the automaton of Knuth,
// Morris and Pratt, SIAM J. Comput. 6 (1977): state i means that the text so far ends with the
// first i bytes of the trigger.
func (b *builder) anyText(trigger string, rest symbol) symbol {
	states := make([]symbol, len(trigger))
	for i := range states {
		states[i] = b.reserve()
	}
	for i := range states {
		to := make([]class, len(trigger)+1)
		for c := range 256 {
			seen := trigger[:i] + string([]byte{byte(c)})
			n := min(len(seen), len(trigger))
			for seen[len(seen)-n:] != trigger[:n] {
				n--
			}
			to[n].add(byte(c), byte(c))
		}
		alternatives := [][]symbol{nil}
		for n, set := range to {
			if set == (class{}) {
				continue
			}
			next := rest
			if n < len(trigger) {
				next = states[n]
			}
			alternatives = append(alternatives, []symbol{b.class(set), next})
		}
		b.rules[states[i]] = alternatives
	}
	return states[0]
}

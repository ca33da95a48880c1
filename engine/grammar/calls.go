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

// A Form is the text of a call in an answer: Open Name NAME Args ARGUMENTS Close, where NAME is the
// tool's name and ARGUMENTS a JSON object.
type Form struct{ Open, Name, Args, Close string }

// A Spec says what an answer may be. Without tools it is JSON that satisfies Format, or any JSON
// if that is nil. With Tools it may be a call, and if Required it is exactly one call. Else, if Format is nil, it is any text
// without the form's Open, which a call may follow; with Many, further calls may follow that, each
// after a line break. If Format is there, an answer is either JSON that satisfies it or such calls
// without text.
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
		args := c.object
		if t.Parameters != nil {
			var err error
			if args, err = c.document(t.Parameters, t.Name, t.Loose, true); err != nil {
				return 0, err
			}
		}
		calls = append(calls, []symbol{c.literal(t.Name), c.literal(s.Form.Args), args})
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
	call := c.seq(c.literal(s.Form.Name), c.oneOf(calls...), c.literal(s.Form.Close))
	if s.Required {
		return c.seq(c.literal(s.Form.Open), call), nil
	}
	more := c.seq()
	if s.Many {
		more = c.repeat(c.seq(c.literal("\n"+s.Form.Open), call), 0, -1)
	}
	if s.Format == nil {
		return c.anyText(s.Form.Open, c.seq(call, more)), nil
	}
	return c.oneOf([]symbol{format}, []symbol{c.literal(s.Form.Open), call, more}), nil
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

package grammar

import "slices"

// A Tool is a function that an answer may call. Parameters is the JSON schema of its arguments; nil
// allows any object.
type Tool struct {
	Name       string
	Parameters []byte
}

// A Form is the text of a call in an answer: Open Name NAME Args ARGUMENTS Close, where NAME is the
// tool's name and ARGUMENTS a JSON object.
type Form struct{ Open, Name, Args, Close string }

// Calls compiles a grammar for answers that may call tools. If required, an answer is exactly one
// call. Else, if format is nil, it is any text without the form's Open, which a call may follow;
// with many, further calls may follow that, each after a line break. If format is a JSON schema, an
// answer is either JSON that satisfies it or such calls without text. Errors are *SchemaError; if
// the schema of a tool cannot be guaranteed, the error's path begins with the tool's name.
func Calls(tools []Tool, f Form, required, many bool, format []byte) (*Grammar, error) {
	c := newCompiler(format)
	var names [][]symbol
	for _, t := range tools {
		if t.Parameters == nil {
			t.Parameters = []byte(`{"type":"object"}`)
		}
		c.root, c.refs = t.Parameters, make(map[string]symbol)
		args, err := c.schema(t.Parameters, t.Name)
		if err != nil {
			return nil, err
		}
		// Arguments are an object, whatever else the schema would allow.
		if kinds, ok := c.kinds(t.Parameters, 0); !ok || !slices.Equal(kinds, []string{"object"}) {
			return nil, &SchemaError{t.Name, "type", "must be object for a tool's parameters"}
		}
		names = append(names, []symbol{c.literal(t.Name), c.literal(f.Args), args})
	}
	call := c.seq(c.literal(f.Name), c.oneOf(names...), c.literal(f.Close))
	if required {
		return c.finish(c.seq(c.literal(f.Open), call))
	}
	more := c.seq()
	if many {
		more = c.repeat(c.seq(c.literal("\n"+f.Open), call), 0, -1)
	}
	if format == nil {
		return c.finish(c.text(f.Open, c.seq(call, more)))
	}
	c.root, c.refs = format, make(map[string]symbol)
	text, err := c.schema(format, "#")
	if err != nil {
		return nil, err
	}
	return c.finish(c.oneOf([]symbol{text}, []symbol{c.literal(f.Open), call, more}))
}

// text is any text, in which rest must follow the trigger. The rules are the automaton of Knuth,
// Morris and Pratt, SIAM J. Comput. 6 (1977): state i means that the text so far ends with the
// first i bytes of the trigger.
func (c *compiler) text(trigger string, rest symbol) symbol {
	states := make([]symbol, len(trigger))
	for i := range states {
		states[i] = c.reserve()
	}
	for i := range states {
		to := make([]class, len(trigger)+1)
		for b := range 256 {
			seen := trigger[:i] + string([]byte{byte(b)})
			n := min(len(seen), len(trigger))
			for seen[len(seen)-n:] != trigger[:n] {
				n--
			}
			to[n].add(byte(b), byte(b))
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
			alternatives = append(alternatives, []symbol{c.class(set), next})
		}
		c.rules[states[i]] = alternatives
	}
	return states[0]
}

package generate

import (
	"encoding/json"
	"slices"

	"loadstone/server/internal/wire"
)

// A Tool is a function that the model may ask the client to call.
type Tool struct {
	Name, Description string
	Parameters        json.RawMessage // a JSON schema; nil: the tool has no parameters
	Strict            bool            // a schema that cannot be enforced is an error and not a hint
}

// Values of Constraint.Choice.
const (
	ChoiceNone     = "none"     // no calls
	ChoiceAuto     = "auto"     // calls or text, as the model likes
	ChoiceRequired = "required" // a call and nothing else
)

// A Constraint says what an answer may look like. The zero value allows any text.
type Constraint struct {
	Tools  []Tool
	Choice string // "" means ChoiceNone
	Only   string // the one tool that must be called; "": any of them

	// Among has the names of the tools that may be called, of all that the model is told of; nil:
	// all of them.
	Among []string

	// Parallel allows more than one call in an answer; an answer with ChoiceRequired has one all
	// the same.
	Parallel bool

	Schema      json.RawMessage // JSON schema of the text; nil: any text
	SchemaField string          // the body's field that has the schema or the texts, for errors
	Texts       []string        // the answer's text is one of these; nil: any text

	// SchemaIsHint says that the client asked for no guarantee: a keyword of the schema that cannot
	// be held is left out.
	SchemaIsHint bool
}

// AddTool adds a tool. Until a body's tool_choice says something else, the model may call it or not.
func (c *Constraint) AddTool(t Tool) {
	c.Tools = append(c.Tools, t)
	c.Choice = ChoiceAuto
}

// allows reports whether the tool with this name may be called.
func (c *Constraint) allows(name string) bool {
	return (c.Only == "" || c.Only == name) && (c.Among == nil || slices.Contains(c.Among, name))
}

// allowsCalls reports whether the answer may have tool calls.
func (c *Constraint) allowsCalls() bool { return len(c.Tools) > 0 && c.Choice != ChoiceNone }

// SetChoice sets Choice to a word that both of OpenAI's APIs have for it, and reports whether word
// is one. Without tools only ChoiceRequired is kept, which Check then refuses.
func (c *Constraint) SetChoice(word string) bool {
	switch word {
	case ChoiceNone, ChoiceAuto, ChoiceRequired:
		if len(c.Tools) > 0 || word == ChoiceRequired {
			c.Choice = word
		}
		return true
	}
	return false
}

// Require demands a call of the tool with this name, which a body's field gives.
func (c *Constraint) Require(field, name string) error {
	if err := c.has(field, name); err != nil {
		return err
	}
	c.Only, c.Choice = name, ChoiceRequired
	return nil
}

// Allow restricts calls to the tools with these names, of which the model may call one (mode auto)
// or must (required). field is the body's object that has the mode and the tools. The model is told
// of all tools all the same, so that the beginning of the prompt, and what is cached of it, stay.
func (c *Constraint) Allow(field, mode string, names []string) error {
	switch mode {
	case ChoiceAuto, ChoiceRequired:
	default:
		return Invalid(field+".mode", "%s.mode: %q; want auto or required", field, mode)
	}
	c.Choice = mode
	field += ".tools"
	if len(names) == 0 {
		return Invalid(field, "%s: no tools; want the names of one or more", field)
	}
	for _, name := range names {
		if err := c.has(field, name); err != nil {
			return err
		}
	}
	c.Among = names
	return nil
}

// has returns an error where no tool has the name that a body's field gives.
func (c *Constraint) has(field, name string) error {
	if slices.ContainsFunc(c.Tools, func(t Tool) bool { return t.Name == name }) {
		return nil
	}
	return Invalid(field, "%s: no tool has the name %q", field, name)
}

// Check checks the tools of a body's field. maxName is the length of the longest name that the API
// has.
func (c *Constraint) Check(field string, maxName int) error {
	seen := make(map[string]bool)
	for i, t := range c.Tools {
		if !isToolName(t.Name, maxName) || seen[t.Name] {
			return Invalid(field,
				"%s[%d]: the name %q; want 1 to %d of A-Z a-z 0-9 _ -, and each name once", field,
				i, t.Name, maxName)
		}
		seen[t.Name] = true
		if len(t.Parameters) > 0 && !wire.IsObject(string(t.Parameters)) {
			return Invalid(field,
				"%s[%d]: the parameters of %s; want a JSON schema, which is an object", field, i,
				t.Name)
		}
	}
	if c.Choice == ChoiceRequired && len(c.Tools) == 0 {
		return Invalid("tool_choice", "tool_choice: demands a call, but there are no tools")
	}
	return nil
}

// isToolName reports whether s is 1 to maxLength of A-Z a-z 0-9 _ -, which is the rule of both
// APIs. Such a name needs no escapes in JSON.
func isToolName(s string, maxLength int) bool {
	if s == "" || len(s) > maxLength {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

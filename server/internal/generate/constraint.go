package generate

import (
	"encoding/json"

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

	// Parallel allows more than one call in an answer; an answer with ChoiceRequired has one all
	// the same.
	Parallel bool

	Schema      json.RawMessage // JSON schema of the text; nil: any text
	SchemaField string          // the body's field that has the schema, for errors
	// SchemaIsHint says that the client asked for no guarantee: a keyword of the schema that cannot
	// be held is left out.
	SchemaIsHint bool
}

// allowsCalls says whether the answer may have tool calls.
func (c *Constraint) allowsCalls() bool { return len(c.Tools) > 0 && c.Choice != ChoiceNone }

// Require demands a call of the tool with this name, which a body's field gives.
func (c *Constraint) Require(field, name string) error {
	for _, t := range c.Tools {
		if t.Name == name {
			c.Only, c.Choice = name, ChoiceRequired
			return nil
		}
	}
	return Invalid(field, "%s: no tool has the name %q", field, name)
}

// Check checks the tools of a body's field by the rules that hold for both APIs.
func (c *Constraint) Check(field string) error {
	seen := make(map[string]bool)
	for i, t := range c.Tools {
		if !IsToolName(t.Name) || seen[t.Name] {
			return Invalid(field,
				"%s[%d]: the name %q; want 1 to 64 of A-Z a-z 0-9 _ -, and each name once", field,
				i, t.Name)
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

// IsToolName says whether s is 1 to 64 of A-Z a-z 0-9 _ -, which is OpenAI's rule. Such a name
// needs no escapes in JSON.
func IsToolName(s string) bool {
	if s == "" || len(s) > 64 {
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

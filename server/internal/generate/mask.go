package generate

import (
	"errors"

	"loadstone/engine/grammar"
)

// callForm is how the grammar writes a tool call; the splitter reads it.
var callForm = grammar.Form{Open: callOpen, Name: callName, Args: callArgs, Close: callClose}

// mask returns the engine's mask that holds an answer to the constraint, nil where any answer will
// do.
func (g *Generator) mask(c *Constraint) (func(answer []int32, logits []float32), error) {
	if !c.allowsCalls() && c.Schema == nil && c.Texts == nil {
		return nil, nil
	}
	compiled, err := c.grammar()
	if err != nil {
		return nil, err
	}
	return compiled.Mask(g.vocabulary()), nil
}

// grammar compiles the constraint. A schema that cannot be guaranteed is an error where the client
// asked for a guarantee. For a tool that is not strict, the arguments are then any object.
func (c *Constraint) grammar() (*grammar.Grammar, error) {
	if c.Texts != nil {
		compiled, err := grammar.Texts(c.Texts)
		return compiled, schemaError(c.SchemaField, err)
	}
	if !c.allowsCalls() {
		compiled, err := grammar.Schema(c.Schema)
		return compiled, schemaError(c.SchemaField, err)
	}
	var tools []grammar.Tool
	for _, t := range c.Tools {
		if !c.allows(t.Name) {
			continue
		}
		tool := grammar.Tool{Name: t.Name, Parameters: t.Parameters}
		if _, err := grammar.Calls([]grammar.Tool{tool}, callForm, true, false, nil); err != nil {
			if t.Strict {
				return nil, schemaError("tools", err)
			}
			tool.Parameters = nil
		}
		tools = append(tools, tool)
	}
	required := c.Choice == ChoiceRequired
	compiled, err := grammar.Calls(tools, callForm, required, c.Parallel, c.Schema)
	return compiled, schemaError(c.SchemaField, err)
}

// schemaError tells the client which schema cannot be enforced; other errors, and nil, pass
// unchanged.
func schemaError(field string, err error) error {
	if e, ok := errors.AsType[*grammar.SchemaError](err); ok {
		return Unsupported(field,
			"%s: this server cannot hold an answer to the schema: %v", field, e)
	}
	return err
}

package generate

import (
	"context"
	"errors"

	"loadstone/engine/grammar"
)

// mask returns the mask that holds an answer to the constraint, the zero one where any answer will
// do. It notes in p what of the schemas is not held.
func (g *Generator) mask(ctx context.Context, p *Params, begun beginning) (mask, error) {
	c := &p.Constraint
	if !c.allowsCalls() && c.Schema == nil && c.Texts == nil {
		return mask{}, nil
	}
	v := g.vocabulary()
	reach := 0
	if p.MaxTokens > 0 {
		reach = p.MaxTokens*v.Longest() + 1
	}
	if c.Texts != nil {
		compiled, err := grammar.Texts(c.Texts, begun.grammar())
		if err != nil {
			return mask{}, c.schemaError(err)
		}
		return maskOf(compiled, v), nil
	}
	compiled, err := g.compiled(ctx, c.spec(reach, begun, g.form(c)))
	if err != nil {
		return mask{}, c.schemaError(err)
	}
	p.Unheld = compiled.unheld
	return maskOf(compiled.grammar, v), nil
}

// maskOf returns the mask that holds one answer to a grammar.
func maskOf(of *grammar.Grammar, v *grammar.Vocabulary) mask {
	m := of.Mask(v)
	return mask{m.Rule, m.Ahead}
}

// compiled returns the grammar of a spec, which may have been compiled before.
func (g *Generator) compiled(ctx context.Context, spec grammar.Spec) (*compiledSpec, error) {
	key := keyOf(spec)
	if known := g.grammars.find(key); known != nil {
		return known, nil
	}
	compiled, unheld, err := spec.Compile(ctx)
	if err != nil {
		return nil, err
	}
	c := &compiledSpec{key, compiled, unheld}
	g.grammars.keep(c)
	return c, nil
}

// grammar returns the reasoning that may come before what a grammar describes.
func (b beginning) grammar() grammar.Thinking {
	if b.form == nil {
		return grammar.Thinking{}
	}
	return grammar.Thinking{Open: b.form.open, Close: b.form.close, Begun: b.open}
}

// spec says what the constraint demands of answers of less than reach bytes; 0: of any length. A
// schema that cannot be held is an error where the client asked for a guarantee. Of a schema that
// is a hint, only the keywords that cannot be held are lost.
func (c *Constraint) spec(reach int, begun beginning, form *toolForm) grammar.Spec {
	spec := grammar.Spec{
		Format:   c.Schema,
		Loose:    c.SchemaIsHint,
		Thinking: begun.grammar(),
		Form:     form.Form,
		Required: c.Choice == ChoiceRequired,
		Many:     c.Parallel,
		Reach:    reach,
	}
	if c.allowsCalls() {
		for _, t := range c.Tools {
			if c.allows(t.Name) {
				spec.Tools = append(spec.Tools,
					grammar.Tool{Name: t.Name, Parameters: t.Parameters, Loose: !t.Strict})
			}
		}
	}
	return spec
}

// schemaError tells the client which schema cannot be held; other errors, and nil, pass unchanged.
func (c *Constraint) schemaError(err error) error {
	e, ok := errors.AsType[*grammar.SchemaError](err)
	if !ok {
		return err
	}
	field := c.SchemaField
	if e.Tool != "" {
		field = "tools"
	}
	return Unsupported(field, "%s: this server cannot hold an answer to the schema: %v", field, e)
}

package server

import (
	"errors"

	"loadstone/engine/grammar"
)

var callForm = grammar.Form{Open: callOpen, Name: callName, Args: callArgs, Close: callClose}

// mask holds an answer to its shape; nil for one that may be anything.
func (b *backend) mask(s shape) (func([]int32, []float32), error) {
	if !s.calls() && s.format == nil {
		return nil, nil
	}
	g, err := s.grammar()
	if err != nil {
		return nil, err
	}
	return g.Mask(b.vocabulary()), nil
}

// grammar compiles the shape. What cannot be guaranteed of a schema is an error where the client asked for a guarantee; a
// tool that is not strict then gets arguments that are any object.
func (s *shape) grammar() (*grammar.Grammar, error) {
	if !s.calls() {
		g, err := grammar.Schema(s.format)
		return g, s.unsupported(s.at, err)
	}
	var tools []grammar.Tool
	for _, t := range s.tools {
		if s.named != "" && t.name != s.named {
			continue
		}
		w := grammar.Tool{Name: t.name, Parameters: t.parameters}
		if _, err := grammar.Calls([]grammar.Tool{w}, callForm, true, false, nil); err != nil {
			if t.strict {
				return nil, s.unsupported("tools", err)
			}
			w.Parameters = nil
		}
		tools = append(tools, w)
	}
	g, err := grammar.Calls(tools, callForm, s.choice == choiceRequired, s.many, s.format)
	return g, s.unsupported(s.at, err)
}

func (s *shape) unsupported(at string, err error) error {
	if e, ok := errors.AsType[*grammar.SchemaError](err); ok {
		return unsupported(at, "%s: this server cannot hold an answer to the schema: %v", at, e)
	}
	return err
}

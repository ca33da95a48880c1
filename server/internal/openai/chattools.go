package openai

import (
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

type chatTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      *bool           `json:"strict"`
	} `json:"function"`
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
		Strict *bool           `json:"strict"`
	} `json:"json_schema"`
}

// constraint reads tools, tool_choice, parallel_tool_calls and response_format.
func (q *ChatRequest) constraint() (generate.Constraint, error) {
	c := generate.Constraint{
		Choice:   generate.ChoiceNone,
		Parallel: q.ParallelToolCalls == nil || *q.ParallelToolCalls,
	}
	for i, t := range q.Tools {
		if t.Type != "function" {
			return c, generate.Unsupported("tools",
				"tools[%d].type: %q; this server knows function", i, t.Type)
		}
		f := t.Function
		c.Tools = append(c.Tools, generate.Tool{
			Name:        f.Name,
			Description: f.Description,
			Parameters:  wire.OrNil(f.Parameters),
			Strict:      f.Strict != nil && *f.Strict,
		})
	}
	if len(c.Tools) > 0 {
		c.Choice = generate.ChoiceAuto
	}
	if err := q.readToolChoice(&c); err != nil {
		return c, err
	}
	if err := c.Check("tools"); err != nil {
		return c, err
	}
	return c, q.readFormat(&c)
}

func (q *ChatRequest) readToolChoice(c *generate.Constraint) error {
	raw := wire.OrNil(q.ToolChoice)
	if raw == nil {
		return nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch word {
		case generate.ChoiceNone, generate.ChoiceAuto, generate.ChoiceRequired:
			if len(c.Tools) > 0 || word == generate.ChoiceRequired {
				c.Choice = word
			}
			return nil
		}
	}
	var one struct {
		Type     string
		Function struct{ Name string }
	}
	if json.Unmarshal(raw, &one) == nil && one.Type == "function" {
		return c.Require("tool_choice", one.Function.Name)
	}
	return generate.Invalid("tool_choice",
		`tool_choice: want "none", "auto", "required" or {"type":"function","function":{"name":...}}`)
}

func (q *ChatRequest) readFormat(c *generate.Constraint) error {
	f := q.ResponseFormat
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text":
		return nil
	case "json_object":
		c.Schema, c.SchemaField = json.RawMessage(`{"type":"object"}`), "response_format"
		return nil
	case "json_schema":
		if f.JSONSchema == nil || wire.OrNil(f.JSONSchema.Schema) == nil {
			return generate.Invalid("response_format.json_schema",
				"response_format.json_schema: missing its schema")
		}
		c.Schema, c.SchemaField = f.JSONSchema.Schema, "response_format.json_schema.schema"
		// As in OpenAI's API: without strict, which is the default, the schema is a hint.
		c.SchemaIsHint = f.JSONSchema.Strict == nil || !*f.JSONSchema.Strict
		return nil
	}
	return generate.Invalid("response_format.type",
		"response_format.type: %q; want text, json_object or json_schema", f.Type)
}

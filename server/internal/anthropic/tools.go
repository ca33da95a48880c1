package anthropic

import (
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict"`
}

type toolChoice struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	OneCall bool   `json:"disable_parallel_tool_use"`
}

// outputConfig is what a request demands of the answer's form. Its effort is ignored, because the
// models here have none to choose.
type outputConfig struct {
	Format *struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	} `json:"format"`
}

// constraint reads tools, tool_choice and output_config.
func (q *MessagesRequest) constraint() (generate.Constraint, error) {
	c := generate.Constraint{Choice: generate.ChoiceNone, Parallel: true}
	for i, t := range q.Tools {
		if t.Type != "" && t.Type != "custom" {
			return c, generate.Unsupported("tools",
				"tools[%d].type: %q; this server has no tools of its own", i, t.Type)
		}
		c.Tools = append(c.Tools, generate.Tool{
			Name:        t.Name,
			Description: t.Description,
			Parameters:  wire.OrNil(t.InputSchema),
			Strict:      t.Strict,
		})
	}
	if len(c.Tools) > 0 {
		c.Choice = generate.ChoiceAuto
	}
	if err := q.readToolChoice(&c); err != nil {
		return c, err
	}
	if o := q.Output; o != nil && o.Format != nil {
		if o.Format.Type != "json_schema" || wire.OrNil(o.Format.Schema) == nil {
			return c, generate.Invalid("output_config.format",
				"output_config.format: want the type json_schema and a schema")
		}
		c.Schema, c.SchemaField = o.Format.Schema, "output_config.format.schema"
	}
	return c, c.Check("tools")
}

func (q *MessagesRequest) readToolChoice(c *generate.Constraint) error {
	choice := q.ToolChoice
	if choice == nil {
		return nil
	}
	c.Parallel = !choice.OneCall
	switch choice.Type {
	case "none":
		c.Choice = generate.ChoiceNone
	case "auto":
	case "any":
		c.Choice = generate.ChoiceRequired
	case "tool":
		return c.Require("tool_choice", choice.Name)
	default:
		return generate.Invalid("tool_choice.type",
			"tool_choice.type: %q; want auto, any, tool or none", choice.Type)
	}
	return nil
}

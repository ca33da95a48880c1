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

// outputConfig is what a request demands of the answer's form, and how much the model should think.
type outputConfig struct {
	Effort string        `json:"effort"`
	Format *outputFormat `json:"format"`
}

type outputFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// maxToolName is the length of the longest name of a tool in Anthropic's API. Names of tools behind
// the Model Context Protocol, mcp__SERVER__TOOL, are often longer than OpenAI's 64.
const maxToolName = 128

// constraint reads tools, tool_choice and output_config.
func (q *MessagesRequest) constraint() (generate.Constraint, error) {
	c := generate.Constraint{Parallel: true}
	for i, t := range q.Tools {
		if t.Type != "" && t.Type != "custom" {
			return c, generate.Unsupported("tools",
				"tools[%d].type: %q; this server has no tools of its own", i, t.Type)
		}
		c.AddTool(generate.Tool{
			Name:        t.Name,
			Description: t.Description,
			Parameters:  wire.Plain(wire.OrNil(t.InputSchema)),
			Strict:      t.Strict,
		})
	}
	if err := q.readToolChoice(&c); err != nil {
		return c, err
	}
	if err := c.Check("tools", maxToolName); err != nil {
		return c, err
	}
	return c, q.readForm(&c)
}

// readForm reads the fields that demand a form of the answer.
func (q *MessagesRequest) readForm(c *generate.Constraint) error {
	if wire.OrNil(q.ResponseFormat) != nil {
		return generate.Unsupported("response_format",
			"response_format: not a field of this API; use output_config.format")
	}
	if q.Output != nil {
		if err := q.Output.Format.addTo(c, "output_config.format"); err != nil {
			return err
		}
	}
	if err := q.OutputFormat.addTo(c, "output_format"); err != nil {
		return err
	}
	return q.FormFields.AddTo(c)
}

// addTo demands the format, which a body's field has.
func (f *outputFormat) addTo(c *generate.Constraint, field string) error {
	if f == nil {
		return nil
	}
	if f.Type != "json_schema" || wire.OrNil(f.Schema) == nil {
		return generate.Invalid(field, "%s: want the type json_schema and a schema", field)
	}
	return c.SetSchema(field+".schema", f.Schema)
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

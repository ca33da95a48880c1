package openai

import (
	"cmp"
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

type chatTool struct {
	Type     string `json:"type"`
	Name     string `json:"name"` // where OpenAI's other API has it
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      *bool           `json:"strict"`
	} `json:"function"`
}

type responseFormat struct {
	Type       string          `json:"type"`
	Schema     json.RawMessage `json:"schema"` // of json_object
	Value      json.RawMessage `json:"value"`  // the same for TGI
	JSONSchema *struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
		Strict *bool           `json:"strict"`
	} `json:"json_schema"`
}

// constraint reads tools, tool_choice, parallel_tool_calls and response_format.
func (q *ChatRequest) constraint() (generate.Constraint, error) {
	c := generate.Constraint{
		Parallel: q.ParallelToolCalls == nil || *q.ParallelToolCalls,
	}
	for i, t := range q.Tools {
		if t.Type == "function" && t.Function.Name == "" && t.Name != "" {
			return c, generate.Invalid("tools", "tools[%d].function: missing; a tool has its name and "+
				"parameters there in this API", i)
		}
		if t.Type != "function" {
			return c, generate.Unsupported("tools",
				"tools[%d].type: %q; this server knows function", i, t.Type)
		}
		f := t.Function
		c.AddTool(generate.Tool{
			Name:        f.Name,
			Description: f.Description,
			Parameters:  wire.Plain(wire.OrNil(f.Parameters)),
			Strict:      f.Strict != nil && *f.Strict,
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

// maxToolName is the length of the longest name of a tool in OpenAI's API.
const maxToolName = 64

func (q *ChatRequest) readToolChoice(c *generate.Constraint) error {
	raw := wire.OrNil(q.ToolChoice)
	if raw == nil {
		return nil
	}
	var word string
	if wire.Unmarshal(raw, &word) == nil && c.SetChoice(word) {
		return nil
	}
	var object toolChoice
	if wire.Unmarshal(raw, &object) == nil {
		switch object.Type {
		case "function":
			return c.Require("tool_choice", object.name())
		case "allowed_tools":
			return object.allow(c)
		}
	}
	return generate.Invalid("tool_choice", `tool_choice: want "none", "auto", "required", `+
		`{"type":"function","function":{"name":...}} or {"type":"allowed_tools",...}`)
}

// A toolChoice is the tool_choice that is not a word. The name of a tool, and the list of the tools
// that are allowed, stand one level higher in OpenAI's other API, and clients send that form too.
type toolChoice struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
	allowedTools
	Allowed *allowedTools `json:"allowed_tools"`
}

type allowedTools struct {
	Mode  string       `json:"mode"` // auto or required
	Tools []toolChoice `json:"tools"`
}

func (t *toolChoice) name() string { return cmp.Or(t.Function.Name, t.Name) }

// allow restricts calls to the tools that the choice lists.
func (t *toolChoice) allow(c *generate.Constraint) error {
	a := &t.allowedTools
	if t.Allowed != nil {
		a = t.Allowed
	}
	var names []string
	for i := range a.Tools {
		names = append(names, a.Tools[i].name())
	}
	return c.Allow("tool_choice.allowed_tools", a.Mode, names)
}

// readForm reads response_format and the fields of other servers that demand a form of the answer.
func (f *samplingFields) readForm(c *generate.Constraint) error {
	if err := f.readFormat(c); err != nil {
		return err
	}
	return f.FormFields.AddTo(c)
}

func (f *samplingFields) readFormat(c *generate.Constraint) error {
	r := f.ResponseFormat
	if r == nil {
		return nil
	}
	switch r.Type {
	case "text":
		return nil
	case "json_object":
		// Not in OpenAI's API, but in that of several servers, and clients rely on it.
		if wire.OrNil(r.Schema) != nil {
			return c.SetSchema("response_format.schema", r.Schema)
		}
		if wire.OrNil(r.Value) != nil {
			return c.SetSchema("response_format.value", r.Value)
		}
		return c.SetObject("response_format")
	case "json_schema":
		if r.JSONSchema == nil || wire.OrNil(r.JSONSchema.Schema) == nil {
			return generate.Invalid("response_format.json_schema",
				"response_format.json_schema: missing its schema")
		}
		// As in OpenAI's API: without strict, which is the default, the schema is a hint.
		c.SchemaIsHint = r.JSONSchema.Strict == nil || !*r.JSONSchema.Strict
		return c.SetSchema("response_format.json_schema.schema", r.JSONSchema.Schema)
	}
	return generate.Invalid("response_format.type",
		"response_format.type: %q; want text, json_object or json_schema", r.Type)
}

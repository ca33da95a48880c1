package responses

import (
	"encoding/json"
	"fmt"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// tool is one of the tools of a request.
type tool struct {
	Type        string            `json:"type"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Parameters  json.RawMessage   `json:"parameters"`
	Strict      *bool             `json:"strict"`
	Format      *customFormat     `json:"format"` // of a custom tool's input
	Tools       []json.RawMessage `json:"tools"`  // of a namespace
}

type customFormat struct {
	Type   string `json:"type"` // text or grammar
	Syntax string `json:"syntax"`
}

// A toolName is the name of a tool in this API. To the model every tool is a function with a
// unique name.
type toolName struct {
	kind            callKind
	namespace, name string
}

// A callKind is the kind of an item that calls a tool.
type callKind int

const (
	functionCall callKind = iota
	customCall            // its input is a text
	shellCall             // local_shell, which has no name
)

// toolNames maps the names that the model knows.
type toolNames map[string]toolName

// localShell is the model's name for a tool of the type local_shell. Its parameters are those of
// the action in a local_shell_call. The client runs it.
const localShell = "local_shell"

const localShellParameters = `{"type": "object", "properties": {"command": {"type": "array", ` +
	`"items": {"type": "string"}}, "working_directory": {"type": "string"}, ` +
	`"timeout_ms": {"type": "integer"}}, "required": ["command"], "additionalProperties": false}`

// customParameters are the parameters of a custom tool, whose input is a text.
const customParameters = `{"type": "object", "properties": {"input": {"type": "string"}}, ` +
	`"required": ["input"], "additionalProperties": false}`

// joinName returns the model's name of a tool in a namespace.
func joinName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return strings.TrimRight(namespace, "_") + "__" + name
}

// maxToolName is the length of the longest name of a tool, namespace included. OpenAI's API has 64
// for either.
const maxToolName = 128

// constraint reads tools, tool_choice, parallel_tool_calls and what demands a form of the text.
func (q *Request) constraint() (generate.Constraint, error) {
	c := generate.Constraint{
		Parallel: q.Parallel == nil || *q.Parallel,
	}
	q.tools = make(toolNames)
	for i, raw := range q.Tools {
		if err := q.addTool(&c, fmt.Sprintf("tools[%d]", i), "", raw); err != nil {
			return c, err
		}
	}
	if err := q.readToolChoice(&c); err != nil {
		return c, err
	}
	if err := c.Check("tools", maxToolName); err != nil {
		return c, err
	}
	return c, q.readForm(&c)
}

// addTool adds the tool at a path of the body, which is in a namespace or, "", in none.
func (q *Request) addTool(
	c *generate.Constraint, path, namespace string, raw json.RawMessage,
) error {
	var t tool
	if err := generate.Read(path, raw, &t); err != nil {
		return err
	}
	function := generate.Tool{
		Name:        joinName(namespace, t.Name),
		Description: t.Description,
		Parameters:  wire.Plain(wire.OrNil(t.Parameters)),
		Strict:      t.Strict != nil && *t.Strict,
	}
	kind := functionCall
	switch {
	case t.Type == "function":
	case t.Type == "custom":
		if t.Format != nil && t.Format.Type != "" && t.Format.Type != "text" {
			return generate.Unsupported("tools", "%s.format: %q in %q; this server cannot hold "+
				"the input of a custom tool to a grammar; offer the tool as a function, or with "+
				"the format text", path, t.Format.Type, t.Format.Syntax)
		}
		kind, function.Parameters, function.Strict = customCall, []byte(customParameters), true
	case t.Type == "local_shell":
		kind, function = shellCall, generate.Tool{
			Name:        localShell,
			Description: "Runs a command on the user's machine.",
			Parameters:  []byte(localShellParameters),
			Strict:      true,
		}
	case t.Type == "namespace" && namespace == "":
		for i, inner := range t.Tools {
			err := q.addTool(c, fmt.Sprintf("%s.tools[%d]", path, i), t.Name, inner)
			if err != nil {
				return err
			}
		}
		return nil
	default:
		return generate.Unsupported("tools", "%s.type: %q; this server runs no tools of its own: "+
			"it knows function, custom, local_shell and namespace, which the client runs "+
			"(for Codex, set web_search = \"disabled\"; loadstone help agents)", path, t.Type)
	}
	c.AddTool(function)
	q.tools[function.Name] = toolName{kind, namespace, t.Name}
	return nil
}

// A toolChoice is the value of tool_choice if that is an object.
type toolChoice struct {
	Type      string       `json:"type"`
	Name      string       `json:"name"`
	Namespace string       `json:"namespace"`
	Mode      string       `json:"mode"`  // of allowed_tools: auto or required
	Tools     []toolChoice `json:"tools"` // of allowed_tools
}

func (t *toolChoice) name() string {
	if t.Type == localShell {
		return localShell
	}
	return joinName(t.Namespace, t.Name)
}

func (q *Request) readToolChoice(c *generate.Constraint) error {
	raw := wire.OrNil(q.ToolChoice)
	if raw == nil {
		return nil
	}
	var word string
	if wire.Unmarshal(raw, &word) == nil && c.SetChoice(word) {
		return nil
	}
	var choice toolChoice
	if wire.Unmarshal(raw, &choice) == nil {
		switch choice.Type {
		case "function", "custom", localShell:
			return c.Require("tool_choice", choice.name())
		case "allowed_tools":
			return choice.allow(c)
		case "":
		default:
			return generate.Unsupported("tool_choice.type", "tool_choice.type: %q; this server "+
				"knows function, custom, local_shell and allowed_tools", choice.Type)
		}
	}
	return generate.Invalid("tool_choice", `tool_choice: want "none", "auto", "required", `+
		`{"type":"function","name":...} or {"type":"allowed_tools",...}`)
}

// allow restricts calls to the tools that the choice lists.
func (t *toolChoice) allow(c *generate.Constraint) error {
	var names []string
	for i := range t.Tools {
		names = append(names, t.Tools[i].name())
	}
	return c.Allow("tool_choice", t.Mode, names)
}

// customArguments returns the arguments of the function that stands for a custom tool.
func customArguments(input json.RawMessage) json.RawMessage {
	if wire.OrNil(input) == nil {
		input = json.RawMessage(`""`)
	}
	return append(append(json.RawMessage(`{"input":`), input...), '}')
}

// customInput returns the input of a custom tool. The arguments may be incomplete, because an
// answer may be cut off within them.
func customInput(arguments []byte) string {
	var fields struct {
		Input string `json:"input"`
	}
	for _, end := range []string{"", `"}`, `}`} {
		if wire.Unmarshal(append(arguments[:len(arguments):len(arguments)], end...), &fields) == nil {
			return fields.Input
		}
	}
	// It ends in the middle of an escape.
	if i := strings.LastIndexByte(string(arguments), '\\'); i >= 0 {
		return customInput(arguments[:i])
	}
	return ""
}

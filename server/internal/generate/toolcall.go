package generate

import (
	"strings"

	"loadstone/server/internal/wire"
)

// The text of a tool call in the form of Hermes; see toolForms.
const (
	callOpen  = "<tool_call>"
	callName  = "\n{\"name\": \""
	callArgs  = "\", \"arguments\": "
	callClose = "}\n</tool_call>"
)

// A ToolCall is one call of a tool that the model asks for.
type ToolCall struct {
	ID, Name  string
	Arguments []byte // a JSON object; incomplete where the answer was cut off within it
}

// guide returns the text that tells a model whose template knows no tools which tools there are and
// how to call one.
func (c *Constraint) guide() string {
	var b strings.Builder
	b.WriteString("You can call functions. Each line between <tools> and </tools> describes " +
		"one:\n<tools>\n")
	for _, t := range c.Tools {
		b.Write(t.describe())
		b.WriteByte('\n')
	}
	b.WriteString("</tools>\nTo call one, write its name and its arguments as JSON in this " +
		"form, and nothing behind it:\n" +
		callOpen + callName + "NAME" + callArgs + "ARGUMENTS" + callClose)
	return b.String()
}

// describe returns the line of a tool, in the form in which models were shown tools in training.
func (t *Tool) describe() []byte {
	b := wire.AppendPlainString([]byte(`{"type": "function", "function": {"name": `), t.Name)
	if t.Description != "" {
		b = wire.AppendPlainString(append(b, `, "description": `...), t.Description)
	}
	if len(t.Parameters) > 0 {
		b = wire.AppendPlain(append(b, `, "parameters": `...), t.Parameters)
	}
	return append(b, "}}"...)
}

// answerText returns an answer in the form of Hermes, whatever the model's: under it the exact
// tokens of an answer are remembered. With plain arguments it is the same for every client, however
// the client spells its JSON.
func answerText(text string, calls []ToolCall, plain bool) string {
	return hermes.text(text, calls, plain)
}

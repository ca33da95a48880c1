package generate

import (
	"fmt"
	"strings"

	"loadstone/server/internal/wire"
)

// The text of a tool call in an answer. Models that were trained on tools mostly know this form
// from Hermes and Qwen. The grammar of an answer with tools holds every model to it, byte for byte,
// so a call that is found in an answer is always whole and valid. After the text of an answer come
// its calls, and nothing else.
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

// guide returns the text that tells the model which tools there are and how to call one.
func (c *Constraint) guide() string {
	var b strings.Builder
	b.WriteString("You can call functions. Each line between <tools> and </tools> describes one:\n<tools>\n")
	for _, t := range c.Tools {
		b.Write(t.describe())
		b.WriteByte('\n')
	}
	b.WriteString("</tools>\nTo call one, write its name and its arguments as JSON in this form, and nothing behind it:\n" +
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

// answerText returns an answer as the model wrote it. With plain arguments the text is the same for
// every client, however the client spells its JSON.
func answerText(text string, calls []ToolCall, plain bool) string {
	if len(calls) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	for i, c := range calls {
		if i > 0 {
			b.WriteByte('\n')
		}
		args := c.Arguments
		if plain {
			args = plainArguments(args)
		}
		name := wire.AppendPlainString(nil, c.Name)
		fmt.Fprintf(&b, "%s%s%s%s%s%s", callOpen, callName, name[1:len(name)-1], callArgs, args,
			callClose)
	}
	return b.String()
}

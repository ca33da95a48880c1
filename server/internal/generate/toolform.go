package generate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"loadstone/engine/grammar"
	"loadstone/server/internal/wire"
)

// A toolForm describes how a family of models writes calls of tools. The grammar of an answer with
// tools holds the model to it, byte for byte, so a call in an answer is always whole and valid.
// Calls come after the text of an answer, and nothing follows them.
type toolForm struct {
	grammar.Form
	shows []string // what the chat templates of the family have, all of it

	// resultRole is the role of a message that has what a tool returned; "": it is the user's, in
	// the tags that Hermes has.
	resultRole string
}

// hermes is the form of models whose template shows no other. Most models that were trained on
// tools know it.
var hermes = &toolForms[len(toolForms)-1]

// toolForms has a row for each family. A model has the first form whose marks its chat template
// shows.
var toolForms = []toolForm{
	{ // Qwen3-Coder
		shows: []string{"<function=", "<parameter="},
		Form: grammar.Form{
			Open:  "<tool_call>",
			Name:  "\n<function=",
			Args:  ">\n",
			Close: "</function>\n</tool_call>",
			Next:  "\n<tool_call>\n<function=",
			XML:   true,
		},
	},
	{ // Mistral with tokenizer 11, such as Small 3.2
		shows: []string{"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"},
		Form: grammar.Form{
			Open: "[TOOL_CALLS]",
			ID:   "[CALL_ID]",
			Args: "[ARGS]",
			Next: "[TOOL_CALLS]",
		},
	},
	{ // Mistral from tokenizer 13 on
		shows: []string{"[TOOL_CALLS]", "[ARGS]"},
		Form: grammar.Form{
			Open: "[TOOL_CALLS]",
			Args: "[ARGS]",
			Next: "[TOOL_CALLS]",
		},
	},
	{ // Mistral with the SentencePiece tokenizer, whose template has a space
		shows: []string{"[TOOL_CALLS] ["},
		Form: grammar.Form{
			Open:  "[TOOL_CALLS]",
			Name:  ` [{"name": "`,
			Args:  `", "arguments": `,
			Close: "}",
			Next:  `, {"name": "`,
			End:   "]",
		},
	},
	{ // Mistral
		shows: []string{"[TOOL_CALLS]"},
		Form: grammar.Form{
			Open:  "[TOOL_CALLS]",
			Name:  `[{"name": "`,
			Args:  `", "arguments": `,
			Close: "}",
			Next:  `, {"name": "`,
			End:   "]",
		},
	},
	{ // DeepSeek V3 and R1
		shows: []string{"<｜tool▁calls▁begin｜>", "```json"},
		Form: grammar.Form{
			Open:  "<｜tool▁calls▁begin｜>",
			Name:  "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
			Args:  "\n```json\n",
			Close: "\n```<｜tool▁call▁end｜>",
			Next:  "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
			End:   "<｜tool▁calls▁end｜>",
		},
	},
	{ // DeepSeek V3.1
		shows: []string{"<｜tool▁calls▁begin｜>"},
		Form: grammar.Form{
			Open:  "<｜tool▁calls▁begin｜>",
			Name:  "<｜tool▁call▁begin｜>",
			Args:  "<｜tool▁sep｜>",
			Close: "<｜tool▁call▁end｜>",
			Next:  "<｜tool▁call▁begin｜>",
			End:   "<｜tool▁calls▁end｜>",
		},
	},
	{ // Llama 3.1 to 3.3: JSON and nothing else, perhaps behind the tag
		shows: []string{"ipython", `"parameters": `},
		Form: grammar.Form{
			Lead:    "<|python_tag|>",
			Open:    `{"name": "`,
			Args:    `", "parameters": `,
			Close:   "}",
			Next:    `; {"name": "`,
			AtStart: true,
		},
		resultRole: "tool",
	},
	{ // Hermes, Qwen2.5, Qwen3
		Form: grammar.Form{
			Open:  callOpen,
			Name:  callName,
			Args:  callArgs,
			Close: callClose,
			Next:  "\n" + callOpen + callName,
		},
	},
}

// toolFormOf returns the form that a template shows.
func toolFormOf(template string) *toolForm {
	for i := range toolForms {
		missing := func(mark string) bool { return !strings.Contains(template, mark) }
		if !slices.ContainsFunc(toolForms[i].shows, missing) {
			return &toolForms[i]
		}
	}
	return hermes
}

// marks returns the parts of the form that may be control tokens.
func (f *toolForm) marks() []string {
	return slices.DeleteFunc([]string{
		f.Lead, f.Open, f.ID, f.Args, f.Next, f.End, "</tool_call>", "<｜tool▁call▁begin｜>",
		"<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
	}, func(mark string) bool { return mark == "" || strings.ContainsAny(mark, "\"\n") })
}

// describes reports whether a template itself describes the tools to the model, in the form f. The
// template of a family without a row may do so too, but in a form that no grammar here enforces.
func (f *toolForm) describes(template string) bool {
	if !strings.Contains(template, "tools") {
		return false
	}
	return f != hermes || strings.Contains(template, callOpen) &&
		strings.Contains(strings.ReplaceAll(template, `\"`, `"`), `"arguments": `)
}

// form returns the form of the calls of a request's answer.
func (g *Generator) form(c *Constraint) *toolForm {
	if c.Schema != nil && g.tools.AtStart {
		return hermes // JSON at the beginning is the text that is demanded
	}
	return g.tools
}

// text returns an answer as the model wrote it.
func (f *toolForm) text(text string, calls []ToolCall, plain bool) string {
	if len(calls) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	for i, c := range calls {
		if i == 0 {
			b.WriteString(f.Open + f.Name)
		} else {
			b.WriteString(f.Next)
		}
		args := c.Arguments
		if plain || f.XML {
			args = plainArguments(args)
		}
		name := wire.AppendPlainString(nil, c.Name)
		b.Write(name[1 : len(name)-1])
		if f.ID != "" { // the ids that clients send are of another form
			fmt.Fprintf(&b, "%s%0*d", f.ID, grammar.IDBytes, i+1)
		}
		b.WriteString(f.Args)
		if f.XML {
			args = appendParameters(nil, args)
		}
		b.Write(args)
		b.WriteString(f.Close)
	}
	b.WriteString(f.End)
	return b.String()
}

// appendParameters appends the members of a JSON object one by one, and strings without quotes. If
// arguments is no object, it is appended as one text.
func appendParameters(b, arguments []byte) []byte {
	names, values := grammar.Members(arguments)
	if names == nil && string(arguments) != "{}" {
		names, values = []string{"arguments"}, [][]byte{arguments}
	}
	for i, name := range names {
		b = append(append(append(b, grammar.ParameterOpen...), name...), grammar.ParameterName...)
		var text string
		if values[i][0] == '"' && wire.Unmarshal(values[i], &text) == nil {
			b = append(b, text...)
		} else {
			b = append(b, values[i]...)
		}
		b = append(b, grammar.ParameterClose...)
	}
	return b
}

// describe returns the tools as a chat template takes them.
func (c *Constraint) describe() json.RawMessage {
	b := []byte("[")
	for i, t := range c.Tools {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t.describe()...)
	}
	return append(b, ']')
}

// callsOf returns the form of the calls that an answer may have, nil where it may have none.
func (g *Generator) callsOf(c *Constraint) *toolForm {
	if !c.allowsCalls() {
		return nil
	}
	return g.form(c)
}

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A tool is a function that the model may have called.
type tool struct {
	name, description string
	parameters        json.RawMessage // a JSON schema; nil: no parameters
	strict            bool            // a schema that cannot be enforced is an error, not a hint
}

// What shape.choice can be.
const (
	choiceNone     = "none"     // no calls
	choiceAuto     = "auto"     // calls or text, as the model likes
	choiceRequired = "required" // a call and nothing else
)

// A shape is what the form of an answer is held to. The zero value is any text.
type shape struct {
	tools  []tool
	choice string          // "" is none
	named  string          // the one tool that is demanded, "" for any
	many   bool            // an answer may have more than one call; a required one never has
	format json.RawMessage // schema of the text, nil for any
	at     string          // the field that has the schema, for errors
}

// calls says whether there may be calls in the answer.
func (s *shape) calls() bool { return len(s.tools) > 0 && s.choice != choiceNone }

// only keeps the tool with a name, which a request demands.
func (s *shape) only(param, name string) error {
	for _, t := range s.tools {
		if t.name == name {
			s.named, s.choice = name, choiceRequired
			return nil
		}
	}
	return invalid(param, "%s: no tool has the name %q", param, name)
}

// check holds for every API.
func (s *shape) check(at string) error {
	seen := make(map[string]bool)
	for i, t := range s.tools {
		if !isToolName(t.name) || seen[t.name] {
			return invalid(at, "%s[%d]: the name %q; want 1 to 64 of A-Z a-z 0-9 _ -, and each once", at, i, t.name)
		}
		seen[t.name] = true
		if len(t.parameters) > 0 && !isObject(string(t.parameters)) {
			return invalid(at, "%s[%d]: the parameters of %s; want a JSON schema, which is an object", at, i, t.name)
		}
	}
	if s.choice == choiceRequired && len(s.tools) == 0 {
		return invalid("tool_choice", "tool_choice: demands a call, and there are no tools")
	}
	return nil
}

// isToolName holds for 1 to 64 of A-Z a-z 0-9 _ -, OpenAI's rule: such a name needs no escapes in JSON.
func isToolName(s string) bool {
	return s != "" && len(s) <= 64 && isName("_"+s) && !strings.ContainsAny(s, ".:")
}

// isObject says whether a text is one JSON object.
func isObject(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") && json.Valid([]byte(s))
}

// conversation is the turns as the chat template gets them. Templates differ in what they know of tools and many know
// nothing, so tools are described in the system message, their calls are text of the assistant's, and their results text
// of the user's: every template can say that, and models trained on tools know the tags.
func (a *ask) conversation() (roles, contents []string) {
	turns := a.turns
	if a.shape.calls() {
		guide := a.shape.guide()
		if len(turns) > 0 && turns[0].role == "system" {
			turns = append([]turn{{role: "system", text: turns[0].text + "\n\n" + guide}}, turns[1:]...)
		} else {
			turns = append([]turn{{role: "system", text: guide}}, turns...)
		}
	}
	a.turns = turns
	for _, t := range turns {
		roles, contents = append(roles, t.role), append(contents, t.text)
	}
	return roles, contents
}

// guide tells the model what tools there are and how to call one.
func (s *shape) guide() string {
	var b strings.Builder
	b.WriteString("You can call functions. Each line between <tools> and </tools> describes one:\n<tools>\n")
	for _, t := range s.tools {
		b.Write(describe(t))
		b.WriteByte('\n')
	}
	b.WriteString("</tools>\nTo call one, write its name and its arguments as JSON in this form, and nothing behind it:\n" +
		callOpen + callName + "NAME" + callArgs + "ARGUMENTS" + callClose)
	return b.String()
}

// describe is the line of a tool, in the form in which models were shown them in training.
func describe(t tool) []byte {
	b := appendString([]byte(`{"type": "function", "function": {"name": `), t.name)
	if t.description != "" {
		b = appendString(append(b, `, "description": `...), t.description)
	}
	if len(t.parameters) > 0 {
		var c bytes.Buffer
		json.Compact(&c, t.parameters) // valid: the body was
		b = append(append(b, `, "parameters": `...), c.Bytes()...)
	}
	return append(b, "}}"...)
}

// answered appends an assistant's turn.
func (a *ask) answered(text string, calls []toolCall) {
	a.turns = append(a.turns, turn{role: "assistant", text: answerText(text, calls, false), key: answerText(text, calls, true)})
}

// toolResult appends what a tool returned. Results of several calls share a turn: some templates want roles to alternate.
func (a *ask) toolResult(text string) {
	text = "<tool_response>\n" + text + "\n</tool_response>"
	if n := len(a.turns); n > 0 && a.turns[n-1].result {
		a.turns[n-1].text += "\n" + text
		return
	}
	a.turns = append(a.turns, turn{role: "user", text: text, result: true})
}

// answerText is an answer as the model wrote it. With compact arguments it is the same for every client, however it writes
// JSON down.
func answerText(text string, calls []toolCall, compact bool) string {
	if len(calls) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	for i, c := range calls {
		if i > 0 {
			b.WriteByte('\n')
		}
		args := c.arguments
		if compact {
			var buf bytes.Buffer
			if json.Compact(&buf, args) == nil {
				args = buf.Bytes()
			}
		}
		fmt.Fprintf(&b, "%s%s%s%s%s%s", callOpen, callName, c.name, callArgs, args, callClose)
	}
	return b.String()
}

// chatTool is a tool of OpenAI's.
type chatTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      *bool           `json:"strict"`
	} `json:"function"`
}

// responseFormat is OpenAI's response_format.
type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// shape reads tools, tool_choice, parallel_tool_calls and response_format.
func (q *chatRequest) shape() (shape, error) {
	s := shape{choice: choiceNone, many: q.ParallelToolCalls == nil || *q.ParallelToolCalls}
	for i, t := range q.Tools {
		if t.Type != "function" {
			return s, unsupported("tools", "tools[%d].type: %q; this server knows function", i, t.Type)
		}
		f := t.Function
		s.tools = append(s.tools, tool{f.Name, f.Description, orNil(f.Parameters), f.Strict != nil && *f.Strict})
	}
	if len(s.tools) > 0 {
		s.choice = choiceAuto
	}
	if err := q.toolChoice(&s); err != nil {
		return s, err
	}
	if err := s.check("tools"); err != nil {
		return s, err
	}
	return s, q.format(&s)
}

func (q *chatRequest) toolChoice(s *shape) error {
	raw := orNil(q.ToolChoice)
	if raw == nil {
		return nil
	}
	var word string
	var named struct {
		Type     string
		Function struct{ Name string }
	}
	switch {
	case json.Unmarshal(raw, &word) == nil && (word == choiceNone || word == choiceAuto || word == choiceRequired):
		if len(s.tools) > 0 || word == choiceRequired {
			s.choice = word
		}
		return nil
	case json.Unmarshal(raw, &named) == nil && named.Type == "function":
		return s.only("tool_choice", named.Function.Name)
	}
	return invalid("tool_choice", `tool_choice: want "none", "auto", "required" or {"type":"function","function":{"name":...}}`)
}

func (q *chatRequest) format(s *shape) error {
	f := q.ResponseFormat
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text":
		return nil
	case "json_object":
		s.format, s.at = json.RawMessage(`{"type":"object"}`), "response_format"
		return nil
	case "json_schema":
		if f.JSONSchema == nil || orNil(f.JSONSchema.Schema) == nil {
			return invalid("response_format.json_schema", "response_format.json_schema: missing its schema")
		}
		s.format, s.at = f.JSONSchema.Schema, "response_format.json_schema.schema"
		return nil
	}
	return invalid("response_format.type", "response_format.type: %q; want text, json_object or json_schema", f.Type)
}

// orNil is nil where a field is null.
func orNil(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" || len(raw) == 0 {
		return nil
	}
	return raw
}

package responses

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// An item is an element of a conversation: what the client says, or what a model said.
type item struct {
	Type      string          `json:"type"` // "": a message, or without a role an item_reference
	ID        string          `json:"id"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"` // a string or parts
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	Arguments json.RawMessage `json:"arguments"` // a string of JSON
	Input     json.RawMessage `json:"input"`     // of a custom tool's call: a string
	Action    json.RawMessage `json:"action"`    // of a shell's call
	Output    json.RawMessage `json:"output"`    // a string or parts
	Summary   []part          `json:"summary"`   // of reasoning
	Encrypted string          `json:"encrypted_content"`
}

// A part is an element of an item's content.
type part struct {
	Type    string  `json:"type"`
	Text    *string `json:"text"`
	Refusal *string `json:"refusal"`
}

// A conversation makes messages of items. The items of one answer, its reasoning, its text and its
// calls, become one message.
type conversation struct {
	p     *generate.Params
	store Owned
	tools *toolNames

	from     referred
	referred int // bytes of the items that references have led to
	read     int // and of the responses that were read for that

	answer    bool // the items before were the model's; the rest is theirs
	text      string
	calls     []generate.ToolCall
	reasoning string
}

// addInput adds a request's own input and ends the conversation.
func (c *conversation) addInput(raw json.RawMessage) error {
	items, err := inputItems(raw)
	if err != nil {
		return err
	}
	for i, raw := range items {
		if err := c.add(fmt.Sprintf("input[%d]", i), raw); err != nil {
			return err
		}
	}
	c.endAnswer()
	return nil
}

// addStored adds the items of an earlier response.
func (c *conversation) addStored(r Earlier) error {
	for _, raw := range r.items {
		if err := c.add("previous_response_id", raw); err != nil {
			return err
		}
	}
	return nil
}

// inputItems returns the items of a body's input. A string is a message of the user's.
func inputItems(raw json.RawMessage) ([]json.RawMessage, error) {
	raw = wire.OrNil(raw)
	var items []json.RawMessage
	switch {
	case raw == nil:
	case raw[0] == '"':
		message := append([]byte(`{"type":"message","role":"user","content":`), raw...)
		items = append(items, append(message, '}'))
	case raw[0] != '[' || wire.Unmarshal(raw, &items) != nil:
		return nil, generate.Invalid("input", "input: want a string or an array of items")
	}
	return items, nil
}

// add adds the item at a path of the body.
func (c *conversation) add(path string, raw json.RawMessage) error {
	var it item
	if err := generate.Read(path, raw, &it); err != nil {
		return err
	}
	if it.Type == "" {
		if it.Type = "message"; it.Role == "" && it.ID != "" {
			it.Type = "item_reference"
		}
	}
	switch it.Type {
	case "message":
		return c.addMessage(path, &it)
	case "reasoning":
		text, err := c.reasoningOf(path, &it)
		if err != nil {
			return err
		}
		c.beginAnswer(false)
		c.reasoning = text
	case "function_call":
		c.addCall(generate.CalledTool(joinName(it.Namespace, it.Name), it.Arguments))
	case "custom_tool_call":
		c.addCall(generate.CalledTool(joinName(it.Namespace, it.Name), customArguments(it.Input)))
	case "local_shell_call":
		c.addCall(generate.CalledTool(localShell, it.Action))
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output":
		text, err := contentText(path+".output", it.Output)
		if err != nil {
			return err
		}
		c.endAnswer()
		c.p.AddToolResult(text)
	case "item_reference":
		return c.addReference(path, it.ID)
	case "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call":
		// Hosted tools that another server called; what they found stands in the answer.
	default:
		return generate.Unsupported(path+".type", "%s.type: %q; this server reads message, "+
			"reasoning, item_reference, and the calls of functions, custom tools and the local "+
			"shell with their outputs", path, it.Type)
	}
	return nil
}

// A referred response is the one that the last reference led to. References to the items of one
// response stand together.
type referred struct {
	id            string
	input, output []json.RawMessage
}

// Bounds of what the references of one request lead to, and of the conversation that it continues.
// A reference is short, and what it leads to may be as large as a body.
const (
	maxReferred = 8 << 20   // bytes of items: what a body has at most, unless configured otherwise
	maxRead     = 256 << 20 // bytes of the responses that are read for them
)

// addReference adds an item of a stored response.
func (c *conversation) addReference(path, id string) error {
	raw, err := c.stored(id)
	if err != nil {
		return generate.Invalid(path+".id", "%s.id: no stored item has the id %q", path, id)
	}
	if c.referred += len(raw); c.referred > maxReferred || c.read > maxRead {
		return generate.Invalid(path+".id", "%s.id: too much is referred to: the items may have %d "+
			"bytes, and the responses that they are of %d", path, maxReferred, maxRead)
	}
	return c.add(path, raw)
}

// stored returns the item with this id of a stored response.
func (c *conversation) stored(id string) (json.RawMessage, error) {
	response, place, ok := placeOf(id)
	if !ok {
		return nil, ErrNotFound
	}
	if c.from.id != response {
		r, err := c.store.Get(response)
		if err != nil {
			return nil, err
		}
		c.from = referred{id: response, input: r.Input, output: r.output()}
		c.read += len(r.Response)
		for _, raw := range r.Input {
			c.read += len(raw)
		}
	}
	items := c.from.output
	if input, ok := strings.CutPrefix(place, "in"); ok {
		items, place = c.from.input, input
	}
	n, err := strconv.Atoi(place)
	if err != nil || n < 0 || n >= len(items) {
		return nil, ErrNotFound
	}
	return items[n], nil
}

func (c *conversation) addMessage(path string, it *item) error {
	text, err := contentText(path+".content", it.Content)
	if err != nil {
		return err
	}
	switch it.Role {
	case "assistant":
		c.beginAnswer(true)
		c.text = text
		return nil
	case "user":
		c.endAnswer()
		c.p.AddMessage(generate.RoleUser, text)
	case "system", "developer":
		c.endAnswer()
		c.p.AddReminder(text)
	default:
		return generate.Invalid(path+".role",
			"%s.role: %q; want user, assistant, system or developer", path, it.Role)
	}
	return nil
}

// beginAnswer goes on with the model's message, or begins another: an answer has its reasoning
// first, then one text, then its calls.
func (c *conversation) beginAnswer(text bool) {
	if c.text != "" || len(c.calls) > 0 || !text && c.reasoning != "" {
		c.endAnswer()
	}
	c.answer = true
}

func (c *conversation) addCall(call generate.ToolCall) {
	c.answer = true
	c.calls = append(c.calls, call)
}

func (c *conversation) endAnswer() {
	if c.answer && (c.text != "" || len(c.calls) > 0) {
		c.p.AddAnswer(c.reasoning, c.text, c.calls)
	}
	c.answer, c.text, c.calls, c.reasoning = false, "", nil, ""
}

// contentText returns the text of content, which is a string or has parts of text. The parts of a
// message are joined without anything between them.
func contentText(path string, raw json.RawMessage) (string, error) {
	raw = wire.OrNil(raw)
	if raw == nil {
		return "", nil
	}
	var text string
	if raw[0] == '"' {
		err := wire.Unmarshal(raw, &text)
		return text, err
	}
	var parts []part
	if raw[0] == '{' { // what a local shell's client sends
		return string(wire.Plain(raw)), nil
	}
	if raw[0] != '[' {
		return "", generate.Invalid(path, "%s: want a string or an array of text parts", path)
	}
	if err := generate.Read(path, raw, &parts); err != nil {
		return "", err
	}
	var b strings.Builder
	for i, p := range parts {
		path := fmt.Sprintf("%s[%d]", path, i)
		switch p.Type {
		case "input_text", "output_text", "text":
		case "refusal":
			p.Text = p.Refusal
		default:
			return "", generate.Unsupported(path+".type",
				"%s.type: %q; this server reads text parts only", path, p.Type)
		}
		if p.Text == nil {
			return "", generate.Invalid(path+".text", "%s.text: missing", path)
		}
		b.WriteString(*p.Text)
	}
	return b.String(), nil
}

// reasoningOf returns the text of a reasoning item, "" for another model's, which cannot be read.
func (c *conversation) reasoningOf(path string, it *item) (string, error) {
	text, ok, err := c.store.unseal(path+".encrypted_content", it.Encrypted)
	if err != nil || ok {
		return text, err
	}
	text, _ = contentText("", it.reasoningContent())
	return text, nil
}

// reasoningContent returns the content with its parts as parts of text.
func (it *item) reasoningContent() json.RawMessage {
	var parts []part
	if wire.OrNil(it.Content) == nil || wire.Unmarshal(it.Content, &parts) != nil {
		return nil
	}
	for i := range parts {
		if parts[i].Type == "reasoning_text" {
			parts[i].Type = "text"
		}
	}
	return wire.Encode(parts)
}

// withID returns an item with its id, or with a new one if it has none.
func withID(raw json.RawMessage, response string, n int) json.RawMessage {
	var it item
	if wire.Unmarshal(raw, &it) != nil || it.ID != "" {
		return raw
	}
	kind := "item_"
	if it.Type == "" || it.Type == "message" {
		kind = "msg_"
	}
	id := fmt.Sprintf("%s%s_in%d", kind, strings.TrimPrefix(response, responsePrefix), n)
	head := wire.AppendString([]byte(`{"id":`), id)
	if it.Type == "" {
		head = append(head, `,"type":"message"`...)
	}
	rest := strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(string(raw), " \t\r\n"), "{"),
		" \t\r\n")
	if rest != "}" {
		head = append(head, ',')
	}
	return append(head, rest...)
}

package client

import (
	"cmp"
	"encoding/json"
	"strings"
)

// A responsesRequest is the body of a request of the responses API. It has no seed, as that of the
// messages API. The conversation is sent whole each time, and nothing of it is to be stored.
type responsesRequest struct {
	Model       string            `json:"model,omitempty"`
	Input       json.RawMessage   `json:"input"`
	MaxTokens   int               `json:"max_output_tokens,omitempty"`
	Temperature float64           `json:"temperature"`
	Store       bool              `json:"store"`
	Stream      bool              `json:"stream,omitempty"`
	Tools       []json.RawMessage `json:"tools,omitempty"`
	Text        *responsesText    `json:"text,omitempty"`
	Include     []string          `json:"include,omitempty"`
	TopLogprobs int               `json:"top_logprobs,omitempty"`
}

// responsesToolOf is a tool as the responses API has it.
func responsesToolOf(t *chatTool) any {
	f := &t.Function
	strict := f.Strict != nil && *f.Strict
	return responsesTool{"function", f.Name, f.Description, f.Parameters, strict}
}

type responsesTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      bool            `json:"strict"` // which is true where it is left out, unlike in chat
}

type responsesText struct {
	Format responsesFormat `json:"format"`
}

type responsesFormat struct {
	Type string `json:"type"`
	namedSchema
}

// These are the items of a conversation.
type (
	inputMessage struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	inputCall struct {
		Type      string `json:"type"`
		CallID    string `json:"call_id"`
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	inputResult struct {
		Type   string `json:"type"`
		CallID string `json:"call_id"`
		Output string `json:"output"`
	}
)

// responsesBody is the body of a request of the responses API.
func responsesBody(model string, p *Prompt) ([]byte, error) {
	if len(p.Stop) > 0 {
		return nil, &UnsayableError{Responses, "strings that end an answer"}
	}
	b := responsesRequest{Model: model, MaxTokens: p.MaxTokens, Temperature: p.Temperature,
		Stream: !p.NoStream}
	var err error
	if b.Tools, err = p.toolsAs(Responses, responsesToolOf); err != nil {
		return nil, err
	}
	if p.Schema != nil {
		b.Text = &responsesText{responsesFormat{"json_schema", namedSchema{schemaName, p.Schema, true}}}
	}
	if p.Logprobs {
		b.Include, b.TopLogprobs = []string{"message.output_text.logprobs"}, 2
	}
	said, err := responsesConversation(p.Messages)
	if err != nil {
		return nil, err
	}
	b.Input = list(said.list)
	return marshal(b)
}

// responsesConversation is a conversation as the responses API has it.
func responsesConversation(messages []Message) (said conversation, err error) {
	said.list, err = each(Responses, messages,
		func(values []json.RawMessage, m *Message) ([]json.RawMessage, error) {
			items, err := inputItems(m)
			for i := 0; i < len(items) && err == nil; i++ {
				var text []byte
				text, err = marshal(items[i])
				values = append(values, text)
			}
			return values, err
		})
	return said, err
}

// inputItems is a message as items of a conversation.
func inputItems(m *Message) (items []any, err error) {
	if m.Role == "tool" {
		return []any{inputResult{"function_call_output", m.ToolCallID, m.Content}}, nil
	}
	calls, err := m.calls()
	if m.Content != "" || len(calls) == 0 {
		items = append(items, inputMessage{m.Role, m.Content})
	}
	for _, c := range calls {
		items = append(items,
			inputCall{"function_call", c.ID, c.Function.Name, c.Function.Arguments})
	}
	return items, err
}

// A responseItem is what came of an item of an answer while it is streamed.
type responseItem struct {
	any    bool // some of the answer came, of this item or an earlier one
	said   bool // some of it came in pieces
	named  bool // it is a call whose name came when it began
	called bool // it, or an item before it, is a call of a tool
}

// parseResponseEvent reads an event of the stream of a response. What it means depends on its type,
// which may come last.
func (v *completion) parseResponseEvent(data []byte) error {
	v.reset()
	c := cursor{text: data}
	kind := ""
	delta, item, response, failed := c, c, c, c // where each of them is
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			kind = v.readKind(&c)
			return
		case "delta":
			delta.at = c.at
		case "item":
			item.at = c.at
		case "response":
			response.at = c.at
		case "error":
			failed.at = c.at
		}
		c.skip()
	})
	if c.err != nil {
		return c.err
	}
	v.part = true
	switch kind {
	case "response.output_text.delta", "response.refusal.delta":
		v.item.said = true
		v.text(&delta, &v.content)
		c.err = delta.err
	case "response.reasoning_text.delta", "response.reasoning_summary_text.delta",
		"response.reasoning.delta", "response.reasoning_summary.delta":
		v.item.said = true
		v.text(&delta, &v.reasoning)
		c.err = delta.err
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta",
		"response.mcp_call_arguments.delta":
		if v.called = delta.plain(v.called); len(v.called) > 0 {
			v.item.said = true
			v.calls++
		}
	case "response.output_item.added":
		v.item.said, v.item.named = false, false
		v.outputItem(&item, true)
	case "response.output_item.done":
		if !v.item.said {
			v.outputItem(&item, false)
		}
		v.item.said = true
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		v.done = true
		v.response(&response, !v.item.any) // some servers say all of it here alone
		if v.finish == "" && !v.failed && kind == "response.completed" {
			v.finished("completed", "")
		}
	case "error":
		v.failed, v.failure = true, failureText(data)
		if failed.at > 0 {
			v.error(&failed)
		}
	default:
		if !strings.HasPrefix(kind, "response.") && kind != "keepalive" {
			v.part, v.odd = false, excerpt(data)
		}
	}
	v.item.any = v.item.any || len(v.content)+len(v.reasoning)+v.calls > 0
	return v.settle(&c)
}

// parseResponse reads a response in one piece, or the error in its place.
func (v *completion) parseResponse(text []byte) error {
	v.reset()
	v.item = responseItem{}
	c := cursor{text: text}
	v.response(&c, true)
	if !v.part && !v.failed {
		v.odd = excerpt(text)
	}
	return v.settle(&c)
}

// response reads a response: why it ended and what it counts, and what it says unless that came in
// pieces before.
func (v *completion) response(c *cursor, says bool) {
	status, reason := "", ""
	c.object(func(key []byte) {
		switch string(key) {
		case "status":
			status = v.readKind(c)
		case "incomplete_details":
			reason = reasonOf(c)
		case "output":
			v.part = true
			if !says {
				c.skip()
				return
			}
			c.array(func() { v.outputItem(c, false) })
		case "usage":
			v.readUsage(c, &responsesUsage)
		case "model":
			v.readModel(c)
		case "error":
			v.error(c)
		default:
			c.skip()
		}
	})
	v.finished(status, reason)
}

// finished takes the status of a response, and why it is incomplete.
func (v *completion) finished(status, reason string) {
	switch {
	case status == "completed" && v.item.called:
		v.finish = "tool_calls"
	case status == "completed":
		v.finish = "stop"
	case reason == "max_output_tokens":
		v.finish = "length"
	case status == "incomplete":
		v.finish = cmp.Or(reason, status)
	case status == "failed" || status == "cancelled":
		v.finish = status
		if !v.failed {
			v.failed, v.failure = true, "the answer ended with status "+status
		}
	}
}

// reasonOf reads why a response is incomplete, "" where it is not.
func reasonOf(c *cursor) (reason string) {
	if c.next() != '{' {
		c.skip()
		return ""
	}
	c.object(func(key []byte) {
		if string(key) == "reason" && c.next() == '"' {
			reason = excerpt(c.string(nil))
		} else {
			c.skip()
		}
	})
	return reason
}

// outputItem reads an item of an answer, or what is known of it when it begins: of a call the name.
// What one that does not begin says of its name was said then, where pieces of it came.
func (v *completion) outputItem(c *cursor, begins bool) {
	var text, thought, arguments []byte
	name, kind := "", ""
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			kind = v.readKind(c)
		case "name":
			name = string(c.plain(nil))
		case "arguments", "input":
			arguments = c.plain(arguments)
		case "content":
			c.array(func() { v.outputPart(c, &text, &thought) })
		case "summary":
			c.array(func() { v.outputPart(c, &thought, &thought) })
		default:
			c.skip()
		}
	})
	isCall := strings.HasSuffix(kind, "_call") && name != ""
	v.item.called = v.item.called || isCall
	if begins && !isCall {
		return
	}
	v.content = append(v.content, text...)
	v.reasoning = append(v.reasoning, thought...)
	if !isCall {
		return
	}
	if v.calls++; begins || !v.item.named {
		v.called = append(append(append(v.called, '\n'), name...), ' ')
	}
	v.item.named = begins
	if !begins {
		v.called = append(v.called, arguments...)
	}
}

// outputPart reads a part of an item: a text, or one that is of reasoning.
func (v *completion) outputPart(c *cursor, text, thought *[]byte) {
	to := text
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			if strings.HasPrefix(v.readKind(c), "reasoning") {
				to = thought
			}
		case "text", "refusal":
			*to = c.string(*to)
		case "logprobs":
			if v.details {
				c.array(func() { v.tokens = append(v.tokens, readToken(c)) })
			} else {
				c.skip()
			}
		default:
			c.skip()
		}
	})
}

// readKind reads a text that is one of a few.
func (v *completion) readKind(c *cursor) string {
	if c.next() != '"' {
		c.skip()
		return ""
	}
	return string(c.quoted())
}

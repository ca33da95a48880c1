package client

import (
	"cmp"
	"encoding/json"
	"strings"
)

// messagesVersion is the version of the messages API that is spoken, which each request must name.
const messagesVersion = "2023-06-01"

// messagesLimit is the bound on answers of prompts without one: the messages API wants one.
const messagesLimit = 4096

// A messagesRequest is the body of a request of the messages API. It has no seed: an answer is the
// same again only where it is greedy.
type messagesRequest struct {
	Model       string            `json:"model,omitempty"`
	System      json.RawMessage   `json:"system,omitempty"`
	Messages    []json.RawMessage `json:"messages"`
	MaxTokens   int               `json:"max_tokens"`
	Temperature float64           `json:"temperature"`
	Stop        []string          `json:"stop_sequences,omitempty"`
	Stream      bool              `json:"stream,omitempty"`
	Tools       []json.RawMessage `json:"tools,omitempty"`
	Output      *messagesOutput   `json:"output_config,omitempty"`
}

// messagesToolOf is a tool as the messages API has it.
func messagesToolOf(t *chatTool) any {
	f := &t.Function
	schema := f.Parameters
	if schema == nil {
		schema = json.RawMessage(`{"type":"object"}`)
	}
	return messagesTool{f.Name, f.Description, schema}
}

type messagesTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"input_schema"`
}

type messagesOutput struct {
	Format messagesFormat `json:"format"`
}

type messagesFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// A blockMessage is a message of blocks. One that is a text alone is sent as that.
type blockMessage struct {
	Role   string
	Blocks []block
	Raw    json.RawMessage // the whole message, in place of them
}

// A block is a text, a call of a tool or its result, by its type.
type block struct {
	Type    string          `json:"type"`
	Text    string          `json:"text,omitempty"`
	ID      string          `json:"id,omitempty"`          // of a call
	Name    string          `json:"name,omitempty"`        // of its tool
	Input   json.RawMessage `json:"input,omitempty"`       // of its arguments
	CallID  string          `json:"tool_use_id,omitempty"` // of a result
	Content *string         `json:"content,omitempty"`     // of a result
}

func (m blockMessage) MarshalJSON() ([]byte, error) {
	if len(m.Blocks) == 1 && m.Blocks[0].Type == "text" {
		return marshal(Message{Role: m.Role, Content: m.Blocks[0].Text})
	}
	return marshal(struct {
		Role    string  `json:"role"`
		Content []block `json:"content"`
	}{m.Role, m.Blocks})
}

// messagesBody is the body of a request of the messages API.
func messagesBody(model string, p *Prompt) ([]byte, error) {
	b := messagesRequest{Model: model, MaxTokens: cmp.Or(p.MaxTokens, messagesLimit),
		Temperature: p.Temperature, Stop: p.Stop, Stream: !p.NoStream}
	var err error
	if b.Tools, err = p.toolsAs(Messages, messagesToolOf); err != nil {
		return nil, err
	}
	if p.Schema != nil {
		b.Output = &messagesOutput{messagesFormat{"json_schema", p.Schema}}
	}
	said, err := messagesConversation(p.Messages)
	if err != nil {
		return nil, err
	}
	b.System, b.Messages = said.system, said.list
	return marshal(b)
}

// messagesConversation is a conversation as the messages API has it: what the system says stands
// apart, results of tools are the user's, and messages of one role that follow each other are one.
func messagesConversation(messages []Message) (said conversation, err error) {
	var system []string
	var list []blockMessage
	for i := range messages {
		m := &messages[i]
		role, blocks, err := blocksOf(m)
		switch last := len(list) - 1; {
		case err != nil:
			return said, err
		case m.Raw != nil && m.Raw[0] != '{':
			said.system = m.Raw
		case m.Raw != nil:
			list = append(list, blockMessage{Raw: m.Raw})
		case role == "system" || role == "developer":
			system = append(system, m.Content)
		case last >= 0 && list[last].Role == role:
			list[last].Blocks = append(list[last].Blocks, blocks...)
		default:
			list = append(list, blockMessage{Role: role, Blocks: blocks})
		}
	}
	if len(system) > 0 && said.system == nil {
		if said.system, err = marshal(strings.Join(system, "\n\n")); err != nil {
			return said, err
		}
	}
	for _, m := range list {
		text := m.Raw
		if text == nil {
			if text, err = marshal(m); err != nil {
				return said, err
			}
		}
		said.list = append(said.list, text)
	}
	return said, nil
}

// blocksOf is a message as blocks, and whose they are.
func blocksOf(m *Message) (role string, blocks []block, err error) {
	if m.Role == "tool" {
		return "user", []block{{Type: "tool_result", CallID: m.ToolCallID, Content: &m.Content}}, nil
	}
	calls, err := m.calls()
	if err != nil {
		return "", nil, err
	}
	if m.Content != "" || len(calls) == 0 {
		blocks = append(blocks, block{Type: "text", Text: m.Content})
	}
	for _, c := range calls {
		input := json.RawMessage(cmp.Or(c.Function.Arguments, "{}"))
		if !json.Valid(input) { // a model wrote it; the API takes objects alone
			input = json.RawMessage("{}")
		}
		blocks = append(blocks,
			block{Type: "tool_use", ID: c.ID, Name: c.Function.Name, Input: input})
	}
	return m.Role, blocks, nil
}

// parseMessageEvent reads an event of the stream of a message.
func (v *completion) parseMessageEvent(data []byte) error {
	if v.same(data) {
		return nil
	}
	v.reset()
	c := cursor{text: data}
	kind := ""
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			kind = v.readKind(&c)
		case "message":
			v.wholeMessage(&c)
			v.output = -1 // of one token, before there is any
		case "content_block":
			v.block(&c)
		case "delta":
			v.blockDelta(&c)
		case "usage":
			v.messageUsage(&c)
		case "error":
			v.error(&c)
		default:
			c.skip()
		}
	})
	v.part, v.done = true, kind == "message_stop"
	switch kind {
	case "message_start", "content_block_start", "content_block_delta", "content_block_stop",
		"message_delta", "message_stop", "ping", "error":
	default:
		v.part, v.odd = false, excerpt(data)
	}
	return v.settle(&c)
}

// parseMessage reads a message in one piece, or the error in its place.
func (v *completion) parseMessage(text []byte) error {
	v.reset()
	c := cursor{text: text}
	v.wholeMessage(&c)
	if !v.part && !v.failed {
		v.odd = excerpt(text)
	}
	return v.settle(&c)
}

// wholeMessage reads a message with all of its blocks, or that of the event that begins one.
func (v *completion) wholeMessage(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "content":
			v.part = true
			c.array(func() { v.block(c) })
		case "stop_reason":
			v.stopReason(c)
		case "usage":
			v.messageUsage(c)
		case "model":
			v.readModel(c)
		case "error":
			v.error(c)
		default:
			c.skip()
		}
	})
}

// block reads a block of a message, or what is known of it when it begins.
func (v *completion) block(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "text":
			v.text(c, &v.content)
		case "thinking":
			v.text(c, &v.reasoning)
		case "name":
			v.calls++
			v.called = append(c.string(append(v.called, '\n')), ' ')
		case "input":
			if raw := c.value(); !falsy(raw) {
				v.called = append(v.called, raw...)
			}
		case "type", "id", "signature", "data", "citations", "tool_use_id", "content", "cache_control",
			"caller":
			c.skip()
		default:
			v.unknown(c, key)
		}
	})
}

// blockDelta reads what an event adds to a block, or to the message.
func (v *completion) blockDelta(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "text":
			v.text(c, &v.content)
		case "thinking":
			v.text(c, &v.reasoning)
		case "partial_json":
			before := len(v.called)
			if v.called = c.string(v.called); len(v.called) > before {
				v.calls++
			}
		case "stop_reason":
			v.stopReason(c)
		case "type", "signature", "citation", "stop_sequence", "container", "stop_details",
			"context_management":
			c.skip()
		default:
			v.unknown(c, key)
		}
	})
}

// stopReasons are the finish reasons of OpenAI's APIs, which records have, by Anthropic's.
var stopReasons = map[string]string{
	"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
	"refusal": "content_filter", "model_context_window_exceeded": "length",
}

func (v *completion) stopReason(c *cursor) {
	v.readFinish(c)
	v.finish = cmp.Or(stopReasons[v.finish], v.finish)
}

// messageUsage reads the counts of a message. Those of a stream are in two events, which complete
// each other. The tokens of a prompt are counted in three parts, by what the cache did for them.
func (v *completion) messageUsage(c *cursor) {
	v.partial = true
	if c.next() != '{' {
		if raw := c.value(); !falsy(raw) {
			v.unread = "it is " + excerpt(raw)
		}
		return
	}
	fresh, written := -1, -1
	c.object(func(key []byte) {
		switch string(key) {
		case "input_tokens":
			v.count(c, key, &fresh)
		case "cache_creation_input_tokens":
			v.count(c, key, &written)
		case "cache_read_input_tokens":
			v.count(c, key, &v.cached)
		case "output_tokens":
			v.count(c, key, &v.output)
		case "output_tokens_details":
			v.countIn(c, "thinking_tokens", &v.hidden)
		case "drafts":
			v.drafts(c)
		default:
			c.skip()
		}
	})
	if fresh >= 0 {
		v.prompt = fresh + max(written, 0) + max(v.cached, 0)
	}
}

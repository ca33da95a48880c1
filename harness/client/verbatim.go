package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// raw reports whether a message is to be sent byte for byte.
func (p *Prompt) raw() bool {
	return slices.ContainsFunc(p.Messages, func(m Message) bool { return m.Raw != nil })
}

// inChat is a prompt in the form of the chat API, from which those of the others are made.
func (p *Prompt) inChat() (*Prompt, error) {
	own := *p
	own.Form, own.Fields = "", nil
	own.Messages = nil
	for _, m := range p.Messages {
		if results := m.results(p.Form); results != nil {
			own.Messages = append(own.Messages, results...)
			continue
		}
		m.Raw = nil
		own.Messages = append(own.Messages, m)
	}
	var err error
	own.Tools, err = chatTools(p.Form, p.Tools)
	return &own, err
}

// results are the messages of the chat API that a message of the messages API with results of tools
// is; nil where it has none.
func (m *Message) results(form API) (all []Message) {
	if form != Messages || m.Raw == nil {
		return nil
	}
	var said struct{ Content []json.RawMessage }
	if json.Unmarshal(m.Raw, &said) != nil {
		return nil
	}
	found := false
	for _, raw := range said.Content {
		var b struct {
			Type   string
			CallID string `json:"tool_use_id"`
		}
		one, err := load.ParseMessage(string(Messages), blockAlone(raw))
		switch {
		case json.Unmarshal(raw, &b) != nil || err != nil:
			return nil
		case b.Type == "tool_result":
			found = true
			all = append(all, Message{Role: "tool", ToolCallID: b.CallID, Content: one.Text})
		case one.Text != "":
			all = append(all, Message{Role: m.Role, Content: one.Text})
		}
	}
	if !found {
		return nil
	}
	return all
}

// blockAlone is a user's message that has one block.
func blockAlone(block json.RawMessage) json.RawMessage {
	return fmt.Appendf(nil, `{"role":"user","content":[%s]}`, block)
}

// A conversation is a prompt's messages as an API has them: a list, and what stands apart from it.
type conversation struct {
	system json.RawMessage // of the messages API; nil: none
	list   []json.RawMessage
}

// recordedBody is the body that a prompt's Fields are of, in their order. Of them the model is the
// client's, and the bound on the answer the prompt's. What is streamed is what was.
func recordedBody(d *dialect, model string, p *Prompt) ([]byte, error) {
	said, err := d.conversation(p.Messages)
	if err != nil {
		return nil, err
	}
	out := append(p.room(bytesOf(said.list)+bytesOf(p.Tools)+4096), '{')
	for _, f := range p.Fields {
		value := f.Value
		switch {
		case value == nil && (f.Name == "messages" || f.Name == "input" || f.Name == "prompt"):
			value = list(said.list)
		case value == nil && f.Name == "system":
			value = said.system
		case value == nil && f.Name == "tools":
			value = list(p.Tools)
		case f.Name == "model" && model != "":
			value, err = marshal(model)
		case slices.Contains(limits, f.Name) && p.MaxTokens > 0:
			value = strconv.AppendInt(nil, int64(p.MaxTokens), 10)
		}
		if err != nil {
			return nil, err
		}
		if value == nil {
			value = []byte("null")
		}
		name, err := marshal(f.Name)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	if p.ExactTokens && (d.api == Chat || d.api == Completions) {
		out = fmt.Appendf(out, `,"ignore_eos":true,"min_tokens":%d`, p.MaxTokens)
	}
	return append(out, '}'), nil
}

// streams reports whether a body that was recorded asks for a stream.
func (p *Prompt) streams() bool {
	return slices.ContainsFunc(p.Fields, func(f load.Field) bool {
		return f.Name == "stream" && string(f.Value) == "true"
	})
}

// limits are the fields that bound an answer, in all APIs.
var limits = []string{"max_tokens", "max_completion_tokens", "max_output_tokens"}

// list is a JSON array of values, or, where a list is one text alone, that. Beside others a text is
// the user's message.
func list(values []json.RawMessage) json.RawMessage {
	isText := func(v json.RawMessage) bool { return len(v) > 0 && v[0] == '"' }
	if len(values) == 1 && isText(values[0]) {
		return values[0]
	}
	if slices.ContainsFunc(values, isText) {
		values = slices.Clone(values)
		for i, v := range values {
			if isText(v) {
				values[i] = fmt.Appendf(nil, `{"role":"user","content":%s}`, v)
			}
		}
	}
	return appendList(make([]byte, 0, bytesOf(values)), values)
}

// marshal is v as JSON in which raw parts stay as they are: json.Marshal would write < as \u003c.
func marshal(v any) ([]byte, error) { return appendJSON(nil, v) }

// appendText appends a text as marshal writes it. Most have no character that is written otherwise.
func appendText(out []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendJSON(out, text)
		}
	}
	return append(append(append(out, '"'), text...), '"'), nil
}

// appendJSON appends v as marshal writes it.
func appendJSON(out []byte, v any) ([]byte, error) {
	w := jsonWriters.Get().(*jsonWriter)
	defer w.release()
	if err := w.json.Encode(v); err != nil {
		return nil, err
	}
	return append(out, bytes.TrimSuffix(w.text.Bytes(), []byte("\n"))...), nil
}

// A jsonWriter writes JSON into memory that is used again.
type jsonWriter struct {
	text bytes.Buffer
	json *json.Encoder
}

var jsonWriters = sync.Pool{New: func() any {
	w := &jsonWriter{}
	w.json = json.NewEncoder(&w.text)
	w.json.SetEscapeHTML(false)
	return w
}}

// release gives the memory back, but for that of a text beyond all measure.
func (w *jsonWriter) release() {
	if w.text.Cap() <= 1<<20 {
		w.text.Reset()
		jsonWriters.Put(w)
	}
}

// each makes a list of messages as an API has them, each of which add adds as values of it. Those
// with Raw are that.
func each(api API, messages []Message,
	add func(values []json.RawMessage, m *Message) ([]json.RawMessage,
		error)) ([]json.RawMessage, error) {
	values := make([]json.RawMessage, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.Raw != nil {
			values = append(values, m.Raw)
			continue
		}
		if written := m.Wire.in(api); written != nil {
			values = append(values, written...)
			continue
		}
		before := len(values)
		var err error
		if values, err = add(values, m); err != nil {
			return nil, err
		}
		if m.Wire != nil {
			m.Wire.keep(api, slices.Clone(values[before:]))
		}
	}
	return values, nil
}

// A Wire is how a message is written in one API. A conversation of a hundred messages grows by two
// with each call, and writing all of them as JSON anew took most of the client's time. It is safe
// for concurrent use; the zero Wire is ready for use.
type Wire struct {
	written atomic.Pointer[wireText]
	digest  atomic.Pointer[record.Digest] // of the message; see Message.digest
}

type wireText struct {
	api    API
	values []json.RawMessage
}

// in is how the message is written in an API, nil where it was not written in it yet.
func (w *Wire) in(api API) []json.RawMessage {
	if w == nil {
		return nil
	}
	if t := w.written.Load(); t != nil && t.api == api {
		return t.values
	}
	return nil
}

func (w *Wire) keep(api API, values []json.RawMessage) { w.written.Store(&wireText{api, values}) }

// appendList appends a JSON array of values, which are not looked at again.
func appendList(out []byte, values []json.RawMessage) []byte {
	out = append(out, '[')
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

// bytesOf is how many bytes a JSON array of values has.
func bytesOf(values []json.RawMessage) int {
	n := 2
	for _, v := range values {
		n += len(v) + 1
	}
	return n
}

// chatTools are tools in the form of the chat API, of tools in that of an API. A tool that is no
// function, such as one that the server itself has, stays as it is.
func chatTools(of API, tools []json.RawMessage) ([]json.RawMessage, error) {
	if of == "" || of == Chat {
		return tools, nil
	}
	var out []json.RawMessage
	for i, raw := range tools {
		var t struct {
			Type        string          `json:"type"`
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
			Schema      json.RawMessage `json:"input_schema"`
		}
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("tool %d: %w", i, err)
		}
		schema := t.Parameters
		if of == Messages {
			schema = t.Schema
		}
		if t.Name == "" || schema == nil {
			out = append(out, raw)
			continue
		}
		text, err := marshal(newTool{"function", newFunction{t.Name, t.Description, schema}})
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

type newTool struct {
	Type     string      `json:"type"`
	Function newFunction `json:"function"`
}

type newFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A reply is the answers of any API to a request, whole or as events, as far as they came.
type reply struct {
	answers []choice // mostly one
	code    string   // of an error in the stream
	prompt  int      // tokens, 0: it did not say
	output  int      // of all answers
	id      string   // of a response, which the server may have stored
	stored  bool

	calls        bool   // a tool
	begun, ended bool   // a stream, by the API's last event
	wrong        string // what is wrong with the form, "": nothing
}

// A choice is one of several answers to a request.
type choice struct {
	text   string
	reason string // why it ended, as the API says; "": it did not say
}

// choice returns answer number i.
func (r *reply) choice(i int) *choice {
	if i < 0 || i > 7 {
		r.wrong = fmt.Sprintf("the index of an answer is %d", i)
		i = 0
	}
	for len(r.answers) <= i {
		r.answers = append(r.answers, choice{})
	}
	return &r.answers[i]
}

// complete reports whether the answer has come in full.
func (r *reply) complete() bool { return r.ended && r.code == "" }

// A part is everything that is looked at in the bodies and the events of all APIs.
type part struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Store   bool   `json:"store"`
	Choices []struct {
		Index        int         `json:"index"`
		Text         string      `json:"text"`
		Message      chatMessage `json:"message"`
		Delta        chatMessage `json:"delta"`
		FinishReason string      `json:"finish_reason"`
	} `json:"choices"`
	Content    []item          `json:"content"`
	StopReason string          `json:"stop_reason"`
	Delta      json.RawMessage `json:"delta"`
	Block      item            `json:"content_block"` // that begins
	Item       item            `json:"item"`          // the same
	Status     string          `json:"status"`
	Output     []item          `json:"output"`
	Response   *part           `json:"response"`
	Usage      struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Input      int `json:"input_tokens"`
		Output     int `json:"output_tokens"`
		Read       int `json:"cache_read_input_tokens"`
		Created    int `json:"cache_creation_input_tokens"`
	} `json:"usage"`
	Error *struct {
		Type, Code, Message string
	} `json:"error"`
}

// A chatMessage is a message of a chat, or a piece of one.
type chatMessage struct {
	Content   string `json:"content"`
	ToolCalls []struct {
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

// text returns the text, or the call as the model writes it, or a piece of either.
func (m *chatMessage) text(rest string) string {
	text := m.Content
	for _, c := range m.ToolCalls {
		if f := c.Function; f.Name != "" {
			text += callText(f.Name, f.Arguments, rest)
		} else {
			text += f.Arguments
		}
	}
	return text
}

// An item is a text or a call of a tool.
type item struct {
	Type, Text, Name, Arguments string
	Input                       json.RawMessage
	Content                     []struct{ Text string }
}

func (i *item) text() string {
	switch {
	case i.Type == "tool_use":
		return callText(i.Name, string(i.Input), callClose)
	case i.Type == "function_call":
		return callText(i.Name, i.Arguments, callClose)
	case len(i.Content) == 1:
		return i.Content[0].Text
	}
	return i.Text
}

func parseReply(body []byte, stream bool) *reply {
	r := new(reply)
	if !stream {
		var p part
		if err := json.Unmarshal(body, &p); err != nil {
			r.wrong = err.Error()
			return r
		}
		r.whole(&p)
		return r
	}
	// What is behind the last empty line has not come in full.
	frames := strings.Split(string(body), "\n\n")
	for _, frame := range frames[:len(frames)-1] {
		r.frame(frame)
	}
	if rest := frames[len(frames)-1]; rest != "" && r.ended {
		r.wrong = fmt.Sprintf("%q comes after the last event", rest)
	}
	return r
}

func (r *reply) whole(p *part) {
	r.ended = true
	r.usage(p)
	if p.Error != nil {
		r.code = p.Error.Code
		if r.code == "" {
			r.code = p.Error.Type
		}
		return
	}
	switch {
	case len(p.Choices) > 0:
		for i, c := range p.Choices {
			if c.Index != i {
				r.wrong = fmt.Sprintf("answer %d has the index %d", i, c.Index)
			}
			*r.choice(i) = choice{c.Message.text(callClose) + c.Text, c.FinishReason}
		}
	case len(p.Output) == 1:
		*r.choice(0) = choice{p.Output[0].text(), p.Status}
		r.id, r.stored = p.ID, p.Store
	case len(p.Content) == 1:
		*r.choice(0) = choice{p.Content[0].text(), p.StopReason}
	default:
		r.wrong = "it has no answer"
	}
}

func (r *reply) usage(p *part) {
	u := p.Usage
	r.prompt = max(r.prompt, u.Prompt, u.Input+u.Read+u.Created)
	r.output = max(r.output, u.Completion, u.Output)
}

// frame takes an event of a stream.
func (r *reply) frame(frame string) {
	var data string
	for line := range strings.Lines(frame + "\n") {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "data: "):
			data += line[len("data: "):]
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "event: "):
		default:
			r.wrong = fmt.Sprintf("line %q", line)
		}
	}
	switch {
	case data == "":
		return
	case r.ended:
		r.wrong = fmt.Sprintf("%q comes after the last event", data)
		return
	case data == "[DONE]":
		r.ended = true
		open := func(c choice) bool { return c.reason == "" }
		if len(r.answers) == 0 || slices.ContainsFunc(r.answers, open) {
			r.wrong = "[DONE] without a reason to finish"
		}
		return
	}
	var p part
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		r.wrong = fmt.Sprintf("%q: %v", data, err)
		return
	}
	r.begun = true
	r.event(&p)
}

func (r *reply) event(p *part) {
	r.usage(p)
	if p.Response != nil {
		r.usage(p.Response)
	}
	if p.Error != nil {
		r.ended, r.code = true, p.Error.Code
		if r.code == "" {
			r.code = p.Error.Type
		}
		return
	}
	var delta struct {
		Text       string `json:"text"`
		JSON       string `json:"partial_json"`
		StopReason string `json:"stop_reason"`
	}
	switch p.Type {
	case "": // chat, completions
		for _, c := range p.Choices {
			a := r.choice(c.Index)
			a.text += c.Delta.text("") + c.Text
			if c.FinishReason != "" {
				r.end(a, c.FinishReason)
			}
		}
	case "content_block_start":
		r.beginCall(&p.Block)
	case "response.output_item.added":
		r.beginCall(&p.Item)
	case "content_block_delta", "message_delta":
		json.Unmarshal(p.Delta, &delta)
		a := r.choice(0)
		if a.text += delta.Text + delta.JSON; delta.StopReason != "" {
			r.end(a, delta.StopReason)
		}
	case "message_stop":
		r.ended = true
	case "response.output_text.delta", "response.function_call_arguments.delta":
		var text string
		json.Unmarshal(p.Delta, &text)
		r.choice(0).text += text
	case "response.completed", "response.incomplete":
		a := r.choice(0)
		if r.calls {
			a.text += callClose
		}
		r.end(a, p.Response.Status)
		r.ended, r.id, r.stored = true, p.Response.ID, p.Response.Store
		if len(p.Response.Output) != 1 || p.Response.Output[0].text() != a.text {
			r.wrong = "the last event has another text than the others"
		}
	case "response.failed", "error":
		r.ended, r.code = true, "failed"
		if p.Response != nil && p.Response.Error != nil {
			r.code = p.Response.Error.Code
		}
	}
}

// beginCall notes that a call of a tool begins, if that is what the item is.
func (r *reply) beginCall(i *item) {
	if i.Type == "tool_use" || i.Type == "function_call" {
		r.calls = true
		r.choice(0).text += callText(i.Name, "", "")
	}
}

// end notes why an answer ended.
func (r *reply) end(c *choice, reason string) {
	if c.reason != "" {
		r.wrong = "it finishes twice"
	}
	if c.reason = reason; reason == "tool_calls" || reason == "tool_use" {
		c.text += callClose
	}
}

// lengthReason reports whether a reason says that the answer was cut at its length.
func lengthReason(reason string) bool {
	return reason == "length" || reason == "max_tokens" || reason == "incomplete"
}

package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A reply is an answer of any API, whole or as events, as far as it came.
type reply struct {
	text   string
	reason string // why it ended, as the API says; "": it did not say
	code   string // of an error in the stream
	prompt int    // tokens, 0: it did not say
	output int

	begun, ended bool   // a stream, by the API's last event
	wrong        string // what is wrong with the form, "": nothing
}

// complete reports whether the answer has come in full.
func (r *reply) complete() bool { return r.ended && r.code == "" }

// A part is everything that is looked at in the bodies and the events of all APIs.
type part struct {
	Type    string `json:"type"`
	Choices []struct {
		Text    string `json:"text"`
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Content    []struct{ Text string } `json:"content"`
	StopReason string                  `json:"stop_reason"`
	Delta      json.RawMessage         `json:"delta"`
	Status     string                  `json:"status"`
	Output     []struct {
		Content []struct{ Text string } `json:"content"`
	} `json:"output"`
	Response *part `json:"response"`
	Usage    struct {
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
	case len(p.Choices) == 1:
		r.text, r.reason = p.Choices[0].Message.Content+p.Choices[0].Text, p.Choices[0].FinishReason
	case len(p.Output) == 1 && len(p.Output[0].Content) == 1:
		r.text, r.reason = p.Output[0].Content[0].Text, p.Status
	case len(p.Content) == 1:
		r.text, r.reason = p.Content[0].Text, p.StopReason
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
		if r.ended = true; r.reason == "" {
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
		StopReason string `json:"stop_reason"`
	}
	switch p.Type {
	case "": // chat, completions
		for _, c := range p.Choices {
			r.text += c.Delta.Content + c.Text
			if c.FinishReason != "" {
				r.end(c.FinishReason)
			}
		}
	case "content_block_delta", "message_delta":
		json.Unmarshal(p.Delta, &delta)
		if r.text += delta.Text; delta.StopReason != "" {
			r.end(delta.StopReason)
		}
	case "message_stop":
		r.ended = true
	case "response.output_text.delta":
		var text string
		json.Unmarshal(p.Delta, &text)
		r.text += text
	case "response.completed", "response.incomplete":
		r.end(p.Response.Status)
		r.ended = true
		if len(p.Response.Output) != 1 || p.Response.Output[0].Content[0].Text != r.text {
			r.wrong = "the last event has another text than the others"
		}
	case "response.failed", "error":
		r.ended, r.code = true, "failed"
		if p.Response != nil && p.Response.Error != nil {
			r.code = p.Response.Error.Code
		}
	}
}

// end notes why the answer ended.
func (r *reply) end(reason string) {
	if r.reason != "" {
		r.wrong = "it finishes twice"
	}
	r.reason = reason
}

// lengthReason reports whether a reason says that the answer was cut at its length.
func lengthReason(reason string) bool {
	return reason == "length" || reason == "max_tokens" || reason == "incomplete"
}

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"loadstone/engine"
)

// chatRequest is the body of POST /v1/chat/completions. A field that is not here is ignored, as the SDKs expect of a
// server older than they are. The second half is here in order to be refused: ignoring it would give a wrong answer.
type chatRequest struct {
	Model               string        `json:"model"`
	Messages            []chatMessage `json:"messages"`
	MaxTokens           *int          `json:"max_tokens"`
	MaxCompletionTokens *int          `json:"max_completion_tokens"` // wins over max_tokens
	Temperature         *float64      `json:"temperature"`           // 0 to 2, default 1
	TopP                *float64      `json:"top_p"`                 // 0 to 1, default 1
	TopK                int           `json:"top_k"`                 // extension; 0 or -1: off
	Seed                *int64        `json:"seed"`
	Stop                stopStrings   `json:"stop"`
	N                   *int          `json:"n"`
	Stream              bool          `json:"stream"`
	StreamOptions       *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	Tools            []json.RawMessage      `json:"tools"`
	ToolChoice       json.RawMessage        `json:"tool_choice"`
	Functions        []json.RawMessage      `json:"functions"`
	ResponseFormat   *struct{ Type string } `json:"response_format"`
	Logprobs         bool                   `json:"logprobs"`
	TopLogprobs      int                    `json:"top_logprobs"`
	LogitBias        map[string]float64     `json:"logit_bias"`
	PresencePenalty  float64                `json:"presence_penalty"`
	FrequencyPenalty float64                `json:"frequency_penalty"`
	MinP             float64                `json:"min_p"`
	Modalities       []string               `json:"modalities"`
}

type chatMessage struct {
	Role      string            `json:"role"`
	Content   json.RawMessage   `json:"content"` // string, array of text parts, or null
	ToolCalls []json.RawMessage `json:"tool_calls"`
}

// stopStrings is a string, an array of strings, or null.
type stopStrings []string

func (s *stopStrings) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil && b[0] == '"' {
		*s = stopStrings{one}
		return nil
	}
	if json.Unmarshal(b, (*[]string)(s)) != nil {
		return invalid("stop", "stop: want a string or an array of strings")
	}
	return nil
}

const (
	maxStops      = 4
	maxStopLength = 1 << 10 // bytes
)

// A chat is a valid request in the engine's terms.
type chat struct {
	agent           string
	roles, contents []string
	maxTokens       int
	defaultMax      bool // maxTokens is the server's: it may shrink to what the context leaves
	sampling        engine.Sampling
	stops           []string
	stream, usage   bool
}

// decodeChat reads and validates a body. Its errors are for the client and name the field.
func (s *Server) decodeChat(w *response, r *http.Request) (*chat, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyError(err)
	}
	w.control.SetReadDeadline(time.Time{}) // limitBody's, which would cut off a long answer: the connection is watched for its end
	q := new(chatRequest)
	if err := json.Unmarshal(body, q); err != nil {
		return nil, syntaxError(err)
	}
	if q.Model != "" {
		if err := s.isServed(q.Model); err != nil {
			return nil, err
		}
	}
	agent := r.Header.Get("X-Agent-ID")
	if agent != "" && !isName(agent) {
		return nil, &apiError{status: 400, kind: "invalid_request_error", code: "invalid_agent_id", param: "X-Agent-ID",
			message: "X-Agent-ID: want 1 to 128 of A-Z a-z 0-9 _ - . : not beginning with one of the last three"}
	}
	c, err := q.chat(s.cfg.MaxTokens)
	if err != nil {
		return nil, err
	}
	c.agent = agent
	return c, nil
}

// bodyError tells a client that sent too much, or nothing in time, which the table knows, from one that is gone.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("reading the body: %v: %w", err, context.Canceled)
}

func syntaxError(err error) error {
	var (
		api    *apiError
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &typed):
		return invalid(typed.Field, "%s: want %s, got %s at byte %d", typed.Field, jsonName(typed.Type.Kind().String()), typed.Value, typed.Offset)
	case errors.As(err, &syntax):
		e := invalid("", "the body is not JSON: %v at byte %d", err, syntax.Offset)
		e.code = "invalid_json"
		return e
	default:
		e := invalid("", "the body is not JSON: %v", err)
		e.code = "invalid_json"
		return e
	}
}

// jsonName says a Go kind in JSON's words.
func jsonName(kind string) string {
	switch kind {
	case "int", "int64":
		return "an integer"
	case "float64":
		return "a number"
	case "bool":
		return "a boolean"
	case "slice":
		return "an array"
	case "struct", "map":
		return "an object"
	default:
		return "a " + kind
	}
}

// chat validates the request.
func (q *chatRequest) chat(defaultMax int) (*chat, error) {
	if err := q.unsupported(); err != nil {
		return nil, err
	}
	c := &chat{stops: q.Stop, stream: q.Stream}
	if err := q.messages(c); err != nil {
		return nil, err
	}
	if err := q.numbers(c, defaultMax); err != nil {
		return nil, err
	}
	if len(q.Stop) > maxStops {
		return nil, invalid("stop", "stop: %d strings; at most %d", len(q.Stop), maxStops)
	}
	for _, stop := range q.Stop {
		if stop == "" || len(stop) > maxStopLength {
			return nil, invalid("stop", "stop: a string of %d bytes; want 1 to %d", len(stop), maxStopLength)
		}
	}
	if q.StreamOptions != nil {
		if !q.Stream {
			return nil, invalid("stream_options", "stream_options: only with stream true")
		}
		c.usage = q.StreamOptions.IncludeUsage
	}
	return c, nil
}

// unsupported refuses what would change the answer and what this server cannot do.
func (q *chatRequest) unsupported() error {
	if q.N != nil && *q.N != 1 {
		return unsupported("n", "n: %d answers; this server gives 1", *q.N)
	}
	choice := string(q.ToolChoice)
	for _, f := range []struct {
		param string
		used  bool
	}{
		{"tools", len(q.Tools) > 0},
		{"tool_choice", !slices.Contains([]string{"", "null", `"none"`, `"auto"`}, choice)},
		{"functions", len(q.Functions) > 0},
		{"response_format", q.ResponseFormat != nil && q.ResponseFormat.Type != "text"},
		{"logprobs", q.Logprobs},
		{"top_logprobs", q.TopLogprobs != 0},
		{"logit_bias", len(q.LogitBias) > 0},
		{"presence_penalty", q.PresencePenalty != 0},
		{"frequency_penalty", q.FrequencyPenalty != 0},
		{"min_p", q.MinP != 0},
		{"modalities", slices.ContainsFunc(q.Modalities, func(m string) bool { return m != "text" })},
	} {
		if f.used {
			return unsupported(f.param, "%s: not supported by this server", f.param)
		}
	}
	return nil
}

func (q *chatRequest) messages(c *chat) error {
	if len(q.Messages) == 0 {
		return invalid("messages", "messages: at least one is needed")
	}
	for i, m := range q.Messages {
		at := fmt.Sprintf("messages[%d]", i)
		role := m.Role
		switch role {
		case "system", "user", "assistant", "tool":
		case "developer":
			role = "system" // the newer name of the same thing; templates know the older one
		default:
			return invalid(at+".role", "%s.role: %q; want system, developer, user, assistant or tool", at, m.Role)
		}
		if len(m.ToolCalls) > 0 {
			return unsupported(at+".tool_calls", "%s.tool_calls: not supported by this server", at)
		}
		text, err := contentText(at+".content", m.Content, role == "assistant")
		if err != nil {
			return err
		}
		c.roles = append(c.roles, role)
		c.contents = append(c.contents, text)
	}
	return nil
}

// contentText is the text of a message: a string, or the parts of an array one after the other, with nothing between.
func contentText(at string, raw json.RawMessage, mayBeNull bool) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		if mayBeNull {
			return "", nil
		}
		return "", invalid(at, "%s: missing", at)
	}
	var text string
	if raw[0] == '"' {
		err := json.Unmarshal(raw, &text)
		return text, err
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if bytes.HasPrefix(raw, []byte("[")) && json.Unmarshal(raw, &parts) == nil {
		var b strings.Builder
		for i, p := range parts {
			at := fmt.Sprintf("%s[%d]", at, i)
			if p.Type != "text" {
				return "", unsupported(at+".type", "%s.type: %q; this server reads text parts only", at, p.Type)
			}
			if p.Text == nil {
				return "", invalid(at+".text", "%s.text: missing", at)
			}
			b.WriteString(*p.Text)
		}
		return b.String(), nil
	}
	return "", invalid(at, "%s: want a string or an array of text parts", at)
}

func (q *chatRequest) numbers(c *chat, defaultMax int) error {
	c.maxTokens, c.defaultMax = defaultMax, true
	for _, f := range []struct {
		param string
		value *int
	}{{"max_tokens", q.MaxTokens}, {"max_completion_tokens", q.MaxCompletionTokens}} {
		if f.value == nil {
			continue
		}
		if *f.value < 1 {
			return invalid(f.param, "%s: %d; want at least 1", f.param, *f.value)
		}
		c.maxTokens, c.defaultMax = *f.value, false
	}
	c.sampling.Temperature = 1
	if t := q.Temperature; t != nil {
		if *t < 0 || *t > 2 {
			return invalid("temperature", "temperature: %v; want 0 to 2", *t)
		}
		c.sampling.Temperature = *t
	}
	if p := q.TopP; p != nil {
		if *p < 0 || *p > 1 {
			return invalid("top_p", "top_p: %v; want 0 to 1", *p)
		}
		c.sampling.TopP = *p
		if *p == 0 { // the likeliest token alone, whereas the engine's 0 is off
			c.sampling.Temperature = 0
		}
	}
	if q.TopK < -1 {
		return invalid("top_k", "top_k: %d; want at least 1, or 0 for off", q.TopK)
	}
	c.sampling.TopK = max(q.TopK, 0)
	if q.Seed != nil {
		c.sampling.Seed = uint64(*q.Seed)
	} else {
		c.sampling.Seed = rand.Uint64()
	}
	return nil
}

// completion is the answer to a request that does not stream.
type completion struct {
	ID      string             `json:"id"`
	Object  string             `json:"object"`
	Created int64              `json:"created"`
	Model   string             `json:"model"`
	Choices []completionChoice `json:"choices"`
	Usage   usage              `json:"usage"`
}

type completionChoice struct {
	Index   int `json:"index"`
	Message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"message"`
	Logprobs     *struct{} `json:"logprobs"` // always null
	FinishReason string    `json:"finish_reason"`
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	Details          promptDetails `json:"prompt_tokens_details"`
}

type promptDetails struct {
	CachedTokens int    `json:"cached_tokens"`
	Miss         string `json:"miss,omitempty"` // extension: why the rest was not cached
}

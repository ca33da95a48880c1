package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"loadstone/engine"
)

// An ask is a valid request of any of the APIs, in the engine's terms.
type ask struct {
	agent      string
	turns      []turn  // the conversation,
	prompt     *string // or the text to continue where there is none
	param      string  // the field of the body that has either, for errors
	maxTokens  int
	defaultMax bool // maxTokens is the server's: it may shrink to what the context leaves
	sampling   engine.Sampling
	logprobs   int // -1: none; otherwise how many of the likeliest tokens are wanted beside each
	stops      []string
	stream     bool
	usage      bool // the stream is to end with the usage
	shape      shape
}

// A turn is a message of a conversation.
type turn struct {
	role   string // system, user or assistant
	text   string
	key    string // of an assistant's turn: what answers knows it by
	result bool   // it has results of tools
}

// samplingFields are the fields that both OpenAI APIs have.
type samplingFields struct {
	Model            string             `json:"model"`
	SessionID        string             `json:"session_id"` // extension, see identity
	MaxTokens        *int               `json:"max_tokens"`
	Temperature      *float64           `json:"temperature"` // 0 to 2, default 1
	TopP             *float64           `json:"top_p"`       // 0 to 1, default 1
	TopK             int                `json:"top_k"`       // extension; 0 or -1: off
	MinP             float64            `json:"min_p"`       // extension; 0: off
	Seed             *int64             `json:"seed"`
	Stop             stopStrings        `json:"stop"`
	PresencePenalty  float64            `json:"presence_penalty"`
	FrequencyPenalty float64            `json:"frequency_penalty"`
	LogitBias        map[string]float64 `json:"logit_bias"`
	N                *int               `json:"n"`
	Stream           bool               `json:"stream"`
	StreamOptions    *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (q *samplingFields) named() (model, session string) { return q.Model, q.SessionID }

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
	maxStops         = 4       // OpenAI's
	maxStopSequences = 64      // Anthropic has no limit; every one of them is looked for in every byte
	maxStopLength    = 1 << 10 // bytes
	maxBiases        = 1024
	maxLikeliest     = 20 // what OpenAI's top_logprobs may be
)

// readBody reads a body into q.
func readBody(w *response, r *http.Request, q any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	w.control.SetReadDeadline(time.Time{}) // limitBody's, which would cut off a long answer: the connection is watched for its end
	if err := json.Unmarshal(body, q); err != nil {
		return syntaxError(err)
	}
	return nil
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
		// The path has the names of embedded structs in it, which are none of JSON's.
		field := strings.TrimPrefix(typed.Field, "samplingFields.")
		at := field
		if at == "" {
			at = "the body"
		}
		return invalid(field, "%s: want %s, got %s at byte %d", at, jsonName(typed.Type.Kind().String()), typed.Value, typed.Offset)
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

// ask validates the fields. What it needs to know of the model and does not yet, Server.resolve checks.
func (q *samplingFields) ask(defaultMax int) (*ask, error) {
	a := &ask{stops: q.Stop, stream: q.Stream, logprobs: -1}
	if q.N != nil && *q.N != 1 {
		return nil, unsupported("n", "n: %d answers; this server gives 1", *q.N)
	}
	a.maxTokens, a.defaultMax = defaultMax, true
	if err := a.most("max_tokens", q.MaxTokens); err != nil {
		return nil, err
	}
	if err := q.numbers(&a.sampling); err != nil {
		return nil, err
	}
	if len(q.Stop) > maxStops {
		return nil, invalid("stop", "stop: %d strings; at most %d", len(q.Stop), maxStops)
	}
	if err := checkStops("stop", q.Stop); err != nil {
		return nil, err
	}
	if q.StreamOptions != nil {
		if !q.Stream {
			return nil, invalid("stream_options", "stream_options: only with stream true")
		}
		a.usage = q.StreamOptions.IncludeUsage
	}
	return a, nil
}

func checkStops(param string, stops []string) error {
	for _, stop := range stops {
		if stop == "" || len(stop) > maxStopLength {
			return invalid(param, "%s: a string of %d bytes; want 1 to %d", param, len(stop), maxStopLength)
		}
	}
	return nil
}

// most takes the length of the answer from a field, where it is there.
func (a *ask) most(param string, n *int) error {
	if n == nil {
		return nil
	}
	if *n < 1 {
		return invalid(param, "%s: %d; want at least 1", param, *n)
	}
	a.maxTokens, a.defaultMax = *n, false
	return nil
}

func (q *samplingFields) numbers(s *engine.Sampling) error {
	for _, f := range []struct {
		param     string
		value     float64
		low, high float64
	}{
		{"temperature", deref(q.Temperature, 1), 0, 2},
		{"top_p", deref(q.TopP, 1), 0, 1},
		{"min_p", q.MinP, 0, 1},
		{"presence_penalty", q.PresencePenalty, -2, 2},
		{"frequency_penalty", q.FrequencyPenalty, -2, 2},
	} {
		if !(f.value >= f.low && f.value <= f.high) {
			return invalid(f.param, "%s: %v; want %v to %v", f.param, f.value, f.low, f.high)
		}
	}
	if q.TopK < -1 {
		return invalid("top_k", "top_k: %d; want at least 1, or 0 for off", q.TopK)
	}
	s.Temperature, s.TopP, s.TopK = deref(q.Temperature, 1), deref(q.TopP, 1), max(q.TopK, 0)
	if s.TopP == 0 { // the likeliest token alone, whereas the engine's 0 is off
		s.Temperature = 0
	}
	s.MinP, s.Presence, s.Frequency = q.MinP, q.PresencePenalty, q.FrequencyPenalty
	s.Seed = rand.Uint64()
	if q.Seed != nil {
		s.Seed = uint64(*q.Seed)
	}
	return q.bias(s)
}

func (q *samplingFields) bias(s *engine.Sampling) error {
	if len(q.LogitBias) > maxBiases {
		return invalid("logit_bias", "logit_bias: %d tokens; at most %d", len(q.LogitBias), maxBiases)
	}
	for token, b := range q.LogitBias {
		id, err := strconv.ParseInt(token, 10, 32)
		if err != nil || id < 0 {
			return invalid("logit_bias", "logit_bias: %q; want token ids as keys", token)
		}
		if !(math.Abs(b) <= 100) {
			return invalid("logit_bias", "logit_bias: %v for token %d; want -100 to 100", b, id)
		}
		if s.Bias == nil {
			s.Bias = make(map[int32]float64)
		}
		s.Bias[int32(id)] = b
	}
	return nil
}

func deref(p *float64, preset float64) float64 {
	if p == nil {
		return preset
	}
	return *p
}

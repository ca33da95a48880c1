package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// completionRequest is the body of POST /v1/completions: a text that the model continues, without a chat template.
type completionRequest struct {
	samplingFields
	Prompt   json.RawMessage `json:"prompt"`   // a string, or an array of one
	Logprobs *int            `json:"logprobs"` // 0 to 5
	Echo     bool            `json:"echo"`
	Suffix   string          `json:"suffix"`
	BestOf   *int            `json:"best_of"`
}

func (q *completionRequest) ask(defaultMax int) (*ask, error) {
	a, err := q.samplingFields.ask(defaultMax)
	if err != nil {
		return nil, err
	}
	a.param = "prompt"
	switch {
	case q.Echo:
		return nil, unsupported("echo", "echo: not supported by this server")
	case q.Suffix != "":
		return nil, unsupported("suffix", "suffix: not supported by this server")
	case q.BestOf != nil && *q.BestOf != 1:
		return nil, unsupported("best_of", "best_of: %d answers; this server makes 1", *q.BestOf)
	}
	if n := q.Logprobs; n != nil {
		if *n < 0 || *n > 5 {
			return nil, invalid("logprobs", "logprobs: %d; want 0 to 5", *n)
		}
		a.logprobs = *n
	}
	var one string
	var list []string
	switch {
	case json.Unmarshal(q.Prompt, &one) == nil && string(q.Prompt) != "null":
		a.prompt = &one
	case json.Unmarshal(q.Prompt, &list) == nil && len(list) == 1:
		a.prompt = &list[0]
	case json.Unmarshal(q.Prompt, &list) == nil && len(list) > 1:
		return nil, unsupported("prompt", "prompt: %d texts; this server continues 1 at a time", len(list))
	default:
		return nil, invalid("prompt", "prompt: want a string, or an array of one; token ids are not taken")
	}
	return a, nil
}

// completions serves POST /v1/completions.
func (s *Server) completions(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(completionRequest))
	if err != nil {
		return err
	}
	defer g.cancel()
	return s.completionAnswer(w, g)
}

func (s *Server) completionAnswer(w *response, g *generation) error {
	id := newID("cmpl-")
	if g.ask.stream {
		return s.stream(w, g, &textEvents{events: s.newEvents(w, "text_completion", id, g.ask.usage), logprobs: g.likely >= 0})
	}
	return s.whole(w, g, func(e ending) any { return s.newTextCompletion(id, g, e) })
}

type textCompletion struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"`
	Model       string       `json:"model"`
	Fingerprint string       `json:"system_fingerprint,omitempty"`
	Choices     []textChoice `json:"choices"`
	Usage       usage        `json:"usage"`
}

type textChoice struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	Logprobs     *textLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

// textLogprobs has an entry a token in each list.
type textLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // bytes from the beginning of the answer
}

func (s *Server) newTextCompletion(id string, g *generation, e ending) textCompletion {
	choice := textChoice{Text: string(g.answer), FinishReason: e.reason}
	if g.likely >= 0 {
		offset := 0
		choice.Logprobs = newTextLogprobs(g.given(), &offset)
	}
	return textCompletion{ID: id, Object: "text_completion", Created: time.Now().Unix(), Model: s.cfg.Model, Fingerprint: s.fingerprint(),
		Choices: []textChoice{choice}, Usage: e.usage}
}

// newTextLogprobs moves offset past the tokens.
func newTextLogprobs(probs []tokenProbs, offset *int) *textLogprobs {
	valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	l := &textLogprobs{Tokens: []string{}, TokenLogprobs: []float64{}, TopLogprobs: []map[string]float64{}, TextOffset: []int{}}
	for _, p := range probs {
		top := make(map[string]float64)
		for _, q := range p.likely {
			if _, ok := top[valid(q.text)]; !ok { // the likelier of two that look the same
				top[valid(q.text)] = q.logprob
			}
		}
		l.Tokens = append(l.Tokens, valid(p.text))
		l.TokenLogprobs = append(l.TokenLogprobs, p.logprob)
		l.TopLogprobs = append(l.TopLogprobs, top)
		l.TextOffset = append(l.TextOffset, *offset)
		*offset += len(p.text)
	}
	return l
}

// textEvents are the chunks of a completion.
type textEvents struct {
	*events
	logprobs bool
	offset   int
}

func (e *textEvents) open(*generation) {}

func (e *textEvents) text(b []byte, probs []tokenProbs) {
	e.begin(`{"index":0,"text":`)
	e.buf = append(appendString(e.buf, b), `,"logprobs":`...)
	if e.logprobs {
		e.buf = append(e.buf, mustJSON(newTextLogprobs(probs, &e.offset))...)
	} else {
		e.buf = append(e.buf, "null"...)
	}
	e.end(`,"finish_reason":null}`)
}

// A completion has no tools.
func (e *textEvents) call(int, string, string) {}
func (e *textEvents) arguments(int, []byte)    {}

func (e *textEvents) finish(end ending) {
	e.begin(`{"index":0,"text":"","logprobs":null,"finish_reason":`)
	e.end(strconv.Quote(end.reason) + "}")
	e.done(end.usage)
}

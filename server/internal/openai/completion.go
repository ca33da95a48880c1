package openai

import (
	"strings"
	"time"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

type textCompletion struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"` // Unix time in seconds
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

// A CompletionWriter writes one answer to a CompletionRequest, whole or as events.
type CompletionWriter struct {
	events
	head     Head
	logprobs bool
	offset   int // bytes of the answer's text whose tokens have been written
}

// Choice returns the writer of choice number i of several, of which this is the first's.
func (w *CompletionWriter) Choice(i int) *CompletionWriter {
	c := *w
	c.index, c.offset = i, 0
	return &c
}

// NewCompletionWriter returns a writer for the answer to a request.
func NewCompletionWriter(h Head, p *generate.Params) *CompletionWriter {
	w := &CompletionWriter{head: h, logprobs: p.TopLogprobs >= 0}
	if p.Stream {
		w.events = newEvents(h, "text_completion", p.StreamUsage)
	}
	return w
}

// Whole returns the body of an answer that does not stream.
func (w *CompletionWriter) Whole(a generate.Answer) any {
	return w.WholeOf([]generate.Answer{a})
}

// WholeOf returns the body of several answers that do not stream.
func (w *CompletionWriter) WholeOf(all []generate.Answer) any {
	c := textCompletion{
		ID:          w.head.ID,
		Object:      "text_completion",
		Created:     time.Now().Unix(),
		Model:       w.head.Model,
		Fingerprint: w.head.Fingerprint,
		Usage:       newUsage(generate.SumUsage(all)),
	}
	for i, a := range all {
		choice := textChoice{Index: i, Text: string(a.Text), FinishReason: a.Reason}
		if w.logprobs {
			choice.Logprobs = w.Choice(i).newLogprobs(a.Probs)
		}
		c.Choices = append(c.Choices, choice)
	}
	return c
}

// AppendStart appends nothing: this API has no event before the first piece.
func (w *CompletionWriter) AppendStart(b []byte, _ generate.Usage) []byte { return b }

// AppendPiece appends the event of a piece. A completion has no tools, so every piece is text.
func (w *CompletionWriter) AppendPiece(b []byte, p generate.Piece) []byte {
	b = w.beginChoice(b, `"text":`)
	b = append(wire.AppendString(b, p.Bytes), `,"logprobs":`...)
	if w.logprobs {
		b = append(b, wire.Encode(w.newLogprobs(p.Probs))...)
	} else {
		b = append(b, "null"...)
	}
	return w.end(b, `,"finish_reason":null}`)
}

// AppendFinish appends what comes after the last piece of a complete answer.
func (w *CompletionWriter) AppendFinish(b []byte, a generate.Answer) []byte {
	return w.AppendDone(w.AppendEnd(b, a), a.Usage)
}

// AppendEnd appends what comes after the last piece of one of several answers.
func (w *CompletionWriter) AppendEnd(b []byte, a generate.Answer) []byte {
	b = w.beginChoice(b, `"text":"","logprobs":null,"finish_reason":"`)
	b = append(append(b, a.Reason...), '"')
	return w.end(b, "}")
}

// textLogprobs has one entry for each token in each of its lists.
type textLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	// bytes from the beginning of the answer
	TextOffset []int `json:"text_offset"`
}

// newLogprobs returns the log-probabilities of tokens and moves the offset past them.
func (w *CompletionWriter) newLogprobs(probs []generate.TokenProbs) *textLogprobs {
	valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	l := &textLogprobs{
		Tokens:        []string{},
		TokenLogprobs: []float64{},
		TopLogprobs:   []map[string]float64{},
		TextOffset:    []int{},
	}
	for _, p := range probs {
		top := make(map[string]float64)
		for _, q := range p.Top {
			if _, ok := top[valid(q.Text)]; !ok { // the likelier of two that look the same
				top[valid(q.Text)] = q.Logprob
			}
		}
		l.Tokens = append(l.Tokens, valid(p.Text))
		l.TokenLogprobs = append(l.TokenLogprobs, p.Logprob)
		l.TopLogprobs = append(l.TopLogprobs, top)
		l.TextOffset = append(l.TextOffset, w.offset)
		w.offset += len(p.Text)
	}
	return l
}

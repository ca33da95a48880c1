package openai

import (
	"strconv"
	"strings"
	"time"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A Completion is the answer to a chat that does not stream.
type Completion struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"` // Unix time in seconds
	Model       string       `json:"model"`
	Fingerprint string       `json:"system_fingerprint,omitempty"` // see Head
	Choices     []chatChoice `json:"choices"`
	Usage       usage        `json:"usage"`
}

type chatChoice struct {
	Index   int `json:"index"`
	Message struct {
		Role string `json:"role"`
		// null beside tool calls where the model wrote no text
		Content   *string        `json:"content"`
		Reasoning string         `json:"reasoning_content,omitempty"`
		ToolCalls []chatToolCall `json:"tool_calls,omitempty"`
	} `json:"message"`
	Logprobs     *chatLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

// A ChatWriter writes one answer to a chat, whole or as events.
type ChatWriter struct {
	events
	head     Head
	logprobs bool
}

// Choice returns the writer of choice number i of several, of which this is the first's.
func (w *ChatWriter) Choice(i int) *ChatWriter {
	c := *w
	c.index = i
	return &c
}

// NewChatWriter returns a writer for the answer to a request.
func NewChatWriter(h Head, p *generate.Params) *ChatWriter {
	w := &ChatWriter{head: h, logprobs: p.TopLogprobs >= 0}
	if p.Stream {
		w.events = newEvents(h, "chat.completion.chunk", p.StreamUsage)
	}
	return w
}

// Whole returns the body of an answer that does not stream.
func (w *ChatWriter) Whole(a generate.Answer) any { return w.WholeOf([]generate.Answer{a}) }

// WholeOf returns the body of several answers that do not stream.
func (w *ChatWriter) WholeOf(all []generate.Answer) any {
	c := Completion{
		ID:          w.head.ID,
		Object:      "chat.completion",
		Created:     time.Now().Unix(),
		Model:       w.head.Model,
		Fingerprint: w.head.Fingerprint,
		Usage:       newUsage(generate.SumUsage(all)),
	}
	for i, a := range all {
		c.Choices = append(c.Choices, w.Choice(i).choice(a))
	}
	return c
}

func (w *ChatWriter) choice(a generate.Answer) chatChoice {
	choice := chatChoice{Index: w.index, FinishReason: a.Reason}
	choice.Message.Role = "assistant"
	if len(a.Text) > 0 || len(a.Calls) == 0 {
		choice.Message.Content = new(string(a.Text))
	}
	choice.Message.Reasoning = string(a.Reasoning)
	for _, c := range a.Calls {
		call := chatToolCall{ID: c.ID, Type: "function"}
		call.Function.Name, call.Function.Arguments = c.Name, string(c.Arguments)
		choice.Message.ToolCalls = append(choice.Message.ToolCalls, call)
	}
	if w.logprobs {
		choice.Logprobs = newChatLogprobs(a.Probs)
	}
	return choice
}

// AppendStart appends what comes before the first piece.
func (w *ChatWriter) AppendStart(b []byte, _ generate.Usage) []byte {
	b = w.beginChoice(b, `"delta":{"role":"assistant","content":""},`)
	return w.end(b, `"logprobs":null,"finish_reason":null}`)
}

// AppendPiece appends the event of a piece.
func (w *ChatWriter) AppendPiece(b []byte, p generate.Piece) []byte {
	switch p.Kind {
	case generate.PieceText:
		return w.appendText(b, p)
	case generate.PieceReasoning:
		b = w.beginChoice(b, `"delta":{"reasoning_content":`)
		b = wire.AppendString(b, p.Bytes)
		return w.end(b, `},"logprobs":null,"finish_reason":null}`)
	case generate.PieceCall:
		b = w.beginChoice(b, `"delta":{"tool_calls":[{"index":`)
		b = strconv.AppendInt(b, int64(p.Call), 10)
		b = wire.AppendString(append(b, `,"id":`...), p.ID)
		b = wire.AppendString(append(b, `,"type":"function","function":{"name":`...), p.Name)
		return w.end(b, `,"arguments":""}}]},"logprobs":null,"finish_reason":null}`)
	default:
		b = w.beginChoice(b, `"delta":{"tool_calls":[{"index":`)
		b = strconv.AppendInt(b, int64(p.Call), 10)
		b = wire.AppendString(append(b, `,"function":{"arguments":`...), p.Bytes)
		return w.end(b, `}}]},"logprobs":null,"finish_reason":null}`)
	}
}

func (w *ChatWriter) appendText(b []byte, p generate.Piece) []byte {
	b = w.beginChoice(b, `"delta":{"content":`)
	b = wire.AppendString(b, p.Bytes)
	b = append(b, `},"logprobs":`...)
	if w.logprobs {
		b = append(b, wire.Encode(newChatLogprobs(p.Probs))...)
	} else {
		b = append(b, "null"...)
	}
	return w.end(b, `,"finish_reason":null}`)
}

// AppendFinish appends what comes after the last piece of a complete answer.
func (w *ChatWriter) AppendFinish(b []byte, a generate.Answer) []byte {
	return w.AppendDone(w.AppendEnd(b, a), a.Usage)
}

// AppendEnd appends what comes after the last piece of one of several answers.
func (w *ChatWriter) AppendEnd(b []byte, a generate.Answer) []byte {
	b = w.beginChoice(b, `"delta":{},"logprobs":null,"finish_reason":"`)
	b = append(append(b, a.Reason...), '"')
	return w.end(b, "}")
}

type chatLogprobs struct {
	Content []chatLogprob `json:"content"`
}

type chatLogprob struct {
	Token   string        `json:"token"`
	Logprob float64       `json:"logprob"`
	Bytes   []int         `json:"bytes"`
	Top     []chatLogprob `json:"top_logprobs,omitzero"` // nil in these themselves
}

func newChatLogprobs(probs []generate.TokenProbs) *chatLogprobs {
	l := &chatLogprobs{Content: []chatLogprob{}}
	for _, p := range probs {
		token := newChatLogprob(p)
		token.Top = []chatLogprob{}
		for _, q := range p.Top {
			token.Top = append(token.Top, newChatLogprob(q))
		}
		l.Content = append(l.Content, token)
	}
	return l
}

// newChatLogprob returns a token. In the text of a token that is a part of a character stands
// U+FFFD; its bytes are exact.
func newChatLogprob(p generate.TokenProbs) chatLogprob {
	token := chatLogprob{Token: strings.ToValidUTF8(p.Text, "\uFFFD"), Logprob: p.Logprob,
		Bytes: []int{}}
	for _, b := range []byte(p.Text) {
		token.Bytes = append(token.Bytes, int(b))
	}
	return token
}

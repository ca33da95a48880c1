package anthropic

import (
	"encoding/json"
	"strconv"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A MessageWriter writes one answer, whole or as events.
type MessageWriter struct {
	id, model string
	thinking  bool // the last block is one of thinking
	begun     bool // message_start has been written
	blocks    int  // how many blocks have been begun
}

// NewMessageWriter returns a writer for the answer of a model; id is the answer's.
func NewMessageWriter(id, model string) *MessageWriter {
	return &MessageWriter{id: id, model: model}
}

// Whole returns the body of an answer that does not stream.
func (w *MessageWriter) Whole(a generate.Answer) any {
	content := []byte("[")
	if len(a.Reasoning) > 0 {
		content = wire.AppendString(append(content, `{"type":"thinking","thinking":`...), a.Reasoning)
		content = append(content, `,"signature":"`+signature+`"}`...)
	}
	if len(a.Text) > 0 || len(a.Calls) == 0 {
		if len(content) > 1 {
			content = append(content, ',')
		}
		content = append(content, `{"type":"text","text":`...)
		content = append(wire.AppendString(content, a.Text), '}')
	}
	for _, c := range a.Calls {
		if len(content) > 1 {
			content = append(content, ',')
		}
		content = wire.AppendString(append(content, `{"type":"tool_use","id":`...), c.ID)
		content = wire.AppendString(append(content, `,"name":`...), c.Name)
		content = append(append(content, `,"input":`...), input(c)...)
		content = append(content, '}')
	}
	return json.RawMessage(w.appendMessage(nil, append(content, ']'), &a, a.Usage))
}

// signature stands where Anthropic's API has proof that a block of thinking is its own.
const signature = "loadstone"

// appendMessage appends a message; a is nil while the answer is not complete.
func (w *MessageWriter) appendMessage(
	b, content []byte, a *generate.Answer, u generate.Usage,
) []byte {
	b = wire.AppendString(append(b, `{"id":`...), w.id)
	b = wire.AppendString(append(b, `,"type":"message","role":"assistant","model":`...), w.model)
	b = append(append(b, `,"content":`...), content...)
	b = append(b, `,"stop_reason":`...)
	if a == nil {
		b = append(b, `null,"stop_sequence":null`...)
	} else {
		b = appendStop(b, a)
	}
	b = append(append(b, `,"usage":`...), wire.Encode(newUsage(u))...)
	return append(b, '}')
}

// appendStop appends why an answer ended, in Anthropic's words, and the stop sequence that ended
// it.
func appendStop(b []byte, a *generate.Answer) []byte {
	reason := "end_turn"
	switch {
	case a.Stop != "":
		reason = "stop_sequence"
	case a.Reason == generate.ReasonLength:
		reason = "max_tokens"
	case a.Reason == generate.ReasonToolCalls:
		reason = "tool_use"
	}
	b = append(wire.AppendString(b, reason), `,"stop_sequence":`...)
	if a.Stop == "" {
		return append(b, "null"...)
	}
	return wire.AppendString(b, a.Stop)
}

// input returns a call's arguments. Where max_tokens cut the call off, they are not JSON and the
// call gets an empty object.
func input(c generate.ToolCall) []byte {
	if !json.Valid(c.Arguments) {
		return []byte("{}")
	}
	return c.Arguments
}

// AppendKeepAlive appends what a client hears when no token has come for a while: a ping once the
// message has begun, and a comment before, because the SDKs want message_start as the first event.
func (w *MessageWriter) AppendKeepAlive(b []byte) []byte {
	if !w.begun {
		return append(b, wire.KeepAlive...)
	}
	return append(b, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
}

// AppendStart appends what comes before the first piece. u is the usage so far.
func (w *MessageWriter) AppendStart(b []byte, u generate.Usage) []byte {
	w.begun = true
	u.OutputTokens = 0
	b = begin(b, "message_start", `,"message":`)
	return end(w.appendMessage(b, []byte("[]"), nil, u))
}

// AppendPiece appends the events of a piece.
func (w *MessageWriter) AppendPiece(b []byte, p generate.Piece) []byte {
	switch p.Kind {
	case generate.PieceReasoning:
		if !w.thinking {
			b = end(append(w.beginBlock(b), `{"type":"thinking","thinking":"","signature":""}`...))
			w.thinking = true
		}
		b = w.beginIndexed(b, "content_block_delta", `,"delta":{"type":"thinking_delta","thinking":`)
		return end(append(wire.AppendString(b, p.Bytes), '}'))
	case generate.PieceText:
		if w.blocks == 0 || w.thinking {
			b = w.appendTextBlock(b)
		}
		b = w.beginIndexed(b, "content_block_delta", `,"delta":{"type":"text_delta","text":`)
		return end(append(wire.AppendString(b, p.Bytes), '}'))
	case generate.PieceCall:
		b = w.beginBlock(b)
		b = wire.AppendString(append(b, `{"type":"tool_use","id":`...), p.ID)
		b = wire.AppendString(append(b, `,"name":`...), p.Name)
		return end(append(b, `,"input":{}}`...))
	default:
		b = w.beginIndexed(b, "content_block_delta",
			`,"delta":{"type":"input_json_delta","partial_json":`)
		return end(append(wire.AppendString(b, p.Bytes), '}'))
	}
}

// AppendFinish appends what comes after the last piece of a complete answer.
func (w *MessageWriter) AppendFinish(b []byte, a generate.Answer) []byte {
	if w.blocks == 0 || w.thinking {
		b = w.appendTextBlock(b)
	}
	b = w.endBlock(b)
	b = begin(b, "message_delta", `,"delta":{"stop_reason":`)
	b = appendStop(b, &a)
	b = append(b, `},"usage":`...)
	b = end(append(b, wire.Encode(newUsage(a.Usage))...))
	return end(begin(b, "message_stop", ""))
}

// appendTextBlock begins a block of text.
func (w *MessageWriter) appendTextBlock(b []byte) []byte {
	return end(append(w.beginBlock(b), `{"type":"text","text":""}`...))
}

// beginBlock ends the block before, if there is one, and begins the event of the next.
func (w *MessageWriter) beginBlock(b []byte) []byte {
	b = w.endBlock(b)
	w.blocks++
	return w.beginIndexed(b, "content_block_start", `,"content_block":`)
}

func (w *MessageWriter) endBlock(b []byte) []byte {
	if w.blocks == 0 {
		return b
	}
	if w.thinking {
		w.thinking = false
		b = end(w.beginIndexed(b, "content_block_delta",
			`,"delta":{"type":"signature_delta","signature":"`+signature+`"}`))
	}
	return end(w.beginIndexed(b, "content_block_stop", ""))
}

// beginIndexed begins an event of the block that began last.
func (w *MessageWriter) beginIndexed(b []byte, name, rest string) []byte {
	b = begin(b, name, `,"index":`)
	return append(strconv.AppendInt(b, int64(w.blocks-1), 10), rest...)
}

// begin begins an event, and end ends it.
func begin(b []byte, name, rest string) []byte {
	b = append(append(b, "event: "...), name...)
	b = append(append(b, "\ndata: {\"type\":\""...), name...)
	return append(append(b, '"'), rest...)
}

func end(b []byte) []byte { return append(b, "}\n\n"...) }

// usage parts the prompt into what was read from the cache, what was computed and is now cached,
// and what was computed for this answer alone.
type usage struct {
	InputTokens   int `json:"input_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
	OutputTokens  int `json:"output_tokens"`

	Drafts *generate.Drafts `json:"drafts,omitempty"`
}

func newUsage(u generate.Usage) usage {
	return usage{
		InputTokens:   u.PromptTokens - u.CacheableTokens,
		CacheCreation: u.CacheableTokens - u.Start.CachedTokens,
		CacheRead:     u.Start.CachedTokens,
		OutputTokens:  u.OutputTokens,
		Drafts:        u.Drafts.OrNil(),
	}
}

package server

import (
	"encoding/json"
	"strconv"
)

// messageUsage parts the prompt into what was read from the cache, what was computed and is now in it, and what was
// computed for this answer alone. A named agent's prompt is kept to the last token, an anonymous one's in whole blocks.
type messageUsage struct {
	InputTokens   int `json:"input_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
	OutputTokens  int `json:"output_tokens"`
}

func newMessageUsage(g *generation, blockTokens, output int) messageUsage {
	kept, cached := g.prompt, g.start.CachedTokens
	if g.ask.agent == "" {
		kept -= kept % blockTokens
	}
	kept = max(kept, cached)
	return messageUsage{InputTokens: g.prompt - kept, CacheCreation: kept - cached, CacheRead: cached, OutputTokens: output}
}

// stopReason says an ending in Anthropic's words.
func stopReason(e ending) string {
	switch {
	case e.stop != "":
		return "stop_sequence"
	case e.reason == "length":
		return "max_tokens"
	case e.reason == "tool_calls":
		return "tool_use"
	default:
		return "end_turn"
	}
}

// messageEvents writes one answer of the Anthropic API.
type messageEvents struct {
	w           *response
	id, model   string
	blockTokens int

	g     *generation
	buf   []byte
	block int // blocks begun
	err   error
}

// stopJSON is the stop sequence or null.
func stopJSON(e ending) []byte {
	if e.stop == "" {
		return []byte("null")
	}
	return appendString(nil, e.stop)
}

func (m *messageEvents) head(e *ending, output int, content []byte) []byte {
	b := appendString([]byte(`{"id":`), m.id)
	b = appendString(append(b, `,"type":"message","role":"assistant","model":`...), m.model)
	b = append(append(b, `,"content":`...), content...)
	if e == nil {
		b = append(b, `,"stop_reason":null,"stop_sequence":null`...)
	} else {
		b = appendString(append(b, `,"stop_reason":`...), stopReason(*e))
		b = append(append(b, `,"stop_sequence":`...), stopJSON(*e)...)
	}
	b = append(b, `,"usage":`...)
	b = append(b, mustJSON(newMessageUsage(m.g, m.blockTokens, output))...)
	return append(b, '}')
}

// whole is the answer in one piece.
func (m *messageEvents) whole(g *generation, e ending) json.RawMessage {
	m.g = g
	content := []byte("[")
	if len(g.answer) > 0 || len(g.calls) == 0 {
		content = append(appendString(append(content, `{"type":"text","text":`...), g.answer), '}')
	}
	for _, c := range g.calls {
		if len(content) > 1 {
			content = append(content, ',')
		}
		content = appendString(append(content, `{"type":"tool_use","id":`...), c.id)
		content = appendString(append(content, `,"name":`...), c.name)
		content = append(append(content, `,"input":`...), input(c)...)
		content = append(content, '}')
	}
	return m.head(&e, e.usage.CompletionTokens, append(content, ']'))
}

// input is a call's arguments; of a call that max_tokens cut off nothing is left that is JSON.
func input(c toolCall) []byte {
	if !json.Valid(c.arguments) {
		return []byte("{}")
	}
	return c.arguments
}

func (m *messageEvents) open(g *generation) {
	m.g = g
	m.event("message_start", `,"message":`)
	m.buf = append(m.buf, m.head(nil, 0, []byte("[]"))...)
	m.end()
}

// idle pings, as this API does, once the message has begun: the SDKs want message_start first.
func (m *messageEvents) idle() {
	m.w.head("")
	if m.g == nil {
		m.buf = append(m.buf[:0], comment...)
	} else {
		m.buf = append(m.buf[:0], "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
	}
	if m.err == nil {
		_, m.err = m.w.Write(m.buf)
	}
	m.flush()
}

func (m *messageEvents) event(name, rest string) {
	m.buf = append(append(m.buf[:0], "event: "...), name...)
	m.buf = append(append(m.buf, "\ndata: {\"type\":\""...), name...)
	m.buf = append(append(m.buf, '"'), rest...)
}

func (m *messageEvents) end() {
	m.buf = append(m.buf, "}\n\n"...)
	if m.err == nil {
		_, m.err = m.w.Write(m.buf)
	}
}

func (m *messageEvents) indexed(name, rest string) {
	m.event(name, `,"index":`)
	m.buf = append(strconv.AppendInt(m.buf, int64(m.block-1), 10), rest...)
}

// begin ends the block before and begins the next.
func (m *messageEvents) begin() {
	m.close()
	m.block++
	m.indexed("content_block_start", `,"content_block":`)
}

func (m *messageEvents) close() {
	if m.block > 0 {
		m.indexed("content_block_stop", "")
		m.end()
	}
}

func (m *messageEvents) text(b []byte, _ []tokenProbs) {
	if m.block == 0 {
		m.begin()
		m.buf = append(m.buf, `{"type":"text","text":""}`...)
		m.end()
	}
	m.indexed("content_block_delta", `,"delta":{"type":"text_delta","text":`)
	m.buf = append(appendString(m.buf, b), '}')
	m.end()
}

func (m *messageEvents) call(_ int, id, name string) {
	m.begin()
	m.buf = appendString(append(m.buf, `{"type":"tool_use","id":`...), id)
	m.buf = appendString(append(m.buf, `,"name":`...), name)
	m.buf = append(m.buf, `,"input":{}}`...)
	m.end()
}

func (m *messageEvents) arguments(_ int, b []byte) {
	m.indexed("content_block_delta", `,"delta":{"type":"input_json_delta","partial_json":`)
	m.buf = append(appendString(m.buf, b), '}')
	m.end()
}

func (m *messageEvents) finish(e ending) {
	if m.block == 0 {
		m.begin()
		m.buf = append(m.buf, `{"type":"text","text":""}`...)
		m.end()
	}
	m.close()
	m.event("message_delta", `,"delta":{"stop_reason":`)
	m.buf = appendString(m.buf, stopReason(e))
	m.buf = append(append(m.buf, `,"stop_sequence":`...), stopJSON(e)...)
	m.buf = append(m.buf, `},"usage":`...)
	m.buf = append(m.buf, mustJSON(newMessageUsage(m.g, m.blockTokens, e.usage.CompletionTokens))...)
	m.end()
	m.event("message_stop", "")
	m.end()
	m.flush()
}

func (m *messageEvents) flush() {
	if m.err == nil {
		m.err = m.w.FlushError()
	}
}

func (m *messageEvents) failed() bool { return m.err != nil }

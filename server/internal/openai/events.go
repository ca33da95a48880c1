package openai

import (
	"strconv"
	"time"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// events writes the chunks of one streamed answer. The chunks of an answer differ in little but the
// delta, so the rest is made once, and a token costs the escaping of its text.
type events struct {
	head  string // of every chunk, up to the choices
	tail  string // of every chunk but the one with the usage, after the choices
	usage bool   // the client asked for the usage
	index int    // of the choice
}

func newEvents(h Head, object string, usage bool) events {
	b := wire.AppendString([]byte(`data: {"id":`), h.ID)
	b = wire.AppendString(append(b, `,"object":`...), object)
	b = append(b, `,"created":`...)
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = wire.AppendString(append(b, `,"model":`...), h.Model)
	if h.Fingerprint != "" {
		b = wire.AppendString(append(b, `,"system_fingerprint":`...), h.Fingerprint)
	}
	b = append(b, `,"choices":[`...)
	tail := "]}\n\n"
	if usage {
		tail = `],"usage":null` + "}\n\n"
	}
	return events{head: string(b), tail: tail, usage: usage}
}

// AppendKeepAlive appends what a client hears when no token has come for a while.
func (e *events) AppendKeepAlive(b []byte) []byte { return append(b, wire.KeepAlive...) }

// beginChoice appends a chunk up to the field in its choice that follows the index.
func (e *events) beginChoice(b []byte, field string) []byte {
	b = strconv.AppendInt(e.begin(b, `{"index":`), int64(e.index), 10)
	return append(append(b, ','), field...)
}

// begin appends a chunk up to its choice's beginning, and end appends the rest.
func (e *events) begin(b []byte, choice string) []byte {
	return append(append(b, e.head...), choice...)
}

func (e *events) end(b []byte, choice string) []byte {
	return append(append(b, choice...), e.tail...)
}

// AppendDone appends what comes after the finish chunks of all answers.
func (e *events) AppendDone(b []byte, u generate.Usage) []byte {
	if e.usage {
		b = e.begin(b, `],"usage":`)
		b = append(append(b, wire.Encode(newUsage(u))...), "}\n\n"...)
	}
	return append(b, "data: [DONE]\n\n"...)
}

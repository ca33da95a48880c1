package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"
)

const eventStream = "text/event-stream"

// events writes the chunks of one streamed answer. They differ in little but the delta, so the rest is made once and a
// token costs the escaping of its text and one write.
type events struct {
	w     *response
	head  string // of every chunk, up to the choices
	tail  string // of every chunk but that with the usage, after the choices
	usage bool   // the client asked for it
	buf   []byte
	err   error // the first one of a write or flush: the client is gone
}

func newEvents(w *response, id, model string, created int64, usage bool) *events {
	b := appendString([]byte(`data: {"id":`), id)
	b = append(b, `,"object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, created, 10)
	b = appendString(append(b, `,"model":`...), model)
	b = append(b, `,"choices":[`...)
	tail := "]}\n\n"
	if usage {
		tail = `],"usage":null` + "}\n\n"
	}
	return &events{w: w, head: string(b), tail: tail, usage: usage}
}

// open sends the head of the response, announces its trailers and begins the answer with its role.
func (e *events) open(timing string) {
	h := e.w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // or nginx holds the tokens back
	h.Set("Trailer", trailerTotal+", "+serverTiming)
	h.Set(serverTiming, timing)
	e.w.WriteHeader(http.StatusOK)
	e.write(`{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`)
}

// content sends a piece of the answer: whole characters.
func (e *events) content(text []byte) {
	e.buf = append(e.buf[:0], e.head...)
	e.buf = append(e.buf, `{"index":0,"delta":{"content":`...)
	e.buf = appendString(e.buf, text)
	e.buf = append(e.buf, `},"logprobs":null,"finish_reason":null}`...)
	e.buf = append(e.buf, e.tail...)
	e.send()
}

// finish ends a complete answer, and only that.
func (e *events) finish(reason string, u usage) {
	e.write(`{"index":0,"delta":{},"logprobs":null,"finish_reason":"` + reason + `"}`)
	if e.usage {
		numbers, err := json.Marshal(u)
		if err != nil {
			panic(err) // integers and a string: cannot fail
		}
		e.buf = append(append(e.buf[:0], e.head...), `],"usage":`...)
		e.buf = append(append(e.buf, numbers...), "}\n\n"...)
		e.send()
	}
	e.buf = append(e.buf[:0], "data: [DONE]\n\n"...)
	e.send()
	e.flush()
}

func (e *events) write(choice string) {
	e.buf = append(append(append(e.buf[:0], e.head...), choice...), e.tail...)
	e.send()
}

func (e *events) send() {
	if e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
}

func (e *events) flush() {
	if e.err == nil {
		e.err = e.w.FlushError()
	}
}

// appendString appends text as a JSON string; a byte that is no part of a character becomes U+FFFD.
func appendString[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c == '\n':
			dst = append(dst, '\\', 'n')
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return append(dst, '"')
}

package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

const eventStream = "text/event-stream"

// events writes the chunks of one streamed answer of the OpenAI APIs. They differ in little but the delta, so the rest is made once and a
// token costs the escaping of its text and one write.
type events struct {
	w     *response
	head  string // of every chunk, up to the choices
	tail  string // of every chunk but that with the usage, after the choices
	usage bool   // the client asked for it
	buf   []byte
	err   error // the first one of a write or flush: the client is gone
}

func (s *Server) newEvents(w *response, object, id string, usage bool) *events {
	b := appendString([]byte(`data: {"id":`), id)
	b = appendString(append(b, `,"object":`...), object)
	b = append(b, `,"created":`...)
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = appendString(append(b, `,"model":`...), s.cfg.Model)
	if f := s.fingerprint(); f != "" {
		b = appendString(append(b, `,"system_fingerprint":`...), f)
	}
	b = append(b, `,"choices":[`...)
	tail := "]}\n\n"
	if usage {
		tail = `],"usage":null` + "}\n\n"
	}
	return &events{w: w, head: string(b), tail: tail, usage: usage}
}

// head sends the head of a stream's response, unless it is out, and announces its trailers.
func (w *response) head(timing string) {
	if w.status != 0 {
		return
	}
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // or nginx holds the tokens back
	h.Set("Trailer", trailerTotal+", "+serverTiming)
	if timing != "" {
		h.Set(serverTiming, timing)
	}
	w.WriteHeader(http.StatusOK)
}

// keepAlive is how long a client may hear nothing. Proxies and clients give up after 30 s or more.
const keepAlive = 15 * time.Second

// comment is a line that every reader of event streams skips.
const comment = ": still at it\n\n"

func (e *events) idle() {
	e.w.head("")
	e.buf = append(e.buf[:0], comment...)
	e.send()
	e.flush()
}

// begin starts a frame, which end sends.
func (e *events) begin(choice string) { e.buf = append(append(e.buf[:0], e.head...), choice...) }

func (e *events) end(choice string) {
	e.buf = append(append(e.buf, choice...), e.tail...)
	e.send()
}

// done ends a complete answer, and only that, after its finish chunk.
func (e *events) done(u usage) {
	if e.usage {
		e.begin(`],"usage":`)
		e.buf = append(append(e.buf, mustJSON(u)...), "}\n\n"...)
		e.send()
	}
	e.buf = append(e.buf[:0], "data: [DONE]\n\n"...)
	e.send()
	e.flush()
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

// failed says that a write failed: the client is gone.
func (e *events) failed() bool { return e.err != nil }

// mustJSON encodes what cannot fail to be encoded.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// chatEvents are the chunks of a chat.
type chatEvents struct {
	*events
	logprobs bool
}

func (e *chatEvents) open(*generation) {
	e.begin(`{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`)
	e.end("")
}

func (e *chatEvents) text(b []byte, probs []tokenProbs) {
	e.begin(`{"index":0,"delta":{"content":`)
	e.buf = appendString(e.buf, b)
	e.buf = append(e.buf, `},"logprobs":`...)
	if e.logprobs {
		e.buf = append(e.buf, mustJSON(newChatLogprobs(probs))...)
	} else {
		e.buf = append(e.buf, "null"...)
	}
	e.end(`,"finish_reason":null}`)
}

func (e *chatEvents) call(index int, id, name string) {
	e.begin(`{"index":0,"delta":{"tool_calls":[{"index":`)
	e.buf = strconv.AppendInt(e.buf, int64(index), 10)
	e.buf = appendString(append(e.buf, `,"id":`...), id)
	e.buf = appendString(append(e.buf, `,"type":"function","function":{"name":`...), name)
	e.end(`,"arguments":""}}]},"logprobs":null,"finish_reason":null}`)
}

func (e *chatEvents) arguments(index int, b []byte) {
	e.begin(`{"index":0,"delta":{"tool_calls":[{"index":`)
	e.buf = strconv.AppendInt(e.buf, int64(index), 10)
	e.buf = appendString(append(e.buf, `,"function":{"arguments":`...), b)
	e.end(`}}]},"logprobs":null,"finish_reason":null}`)
}

func (e *chatEvents) finish(end ending) {
	e.begin(`{"index":0,"delta":{},"logprobs":null,"finish_reason":"`)
	e.end(end.reason + `"}`)
	e.done(end.usage)
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

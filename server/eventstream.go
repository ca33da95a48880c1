package server

import (
	"net/http"
	"time"

	"loadstone/server/internal/generate"
)

const eventStreamType = "text/event-stream"

// An eventStream sends server-sent events. Events are appended to buf, and send writes them.
type eventStream struct {
	w   *response
	buf []byte

	sent    time.Time // when the client was last sent an event; before the first, when this began
	durable bool      // X-Durable will be a trailer
	err     error     // the first error of a write or a flush: the client is gone
}

// newEventStream returns a stream whose buffer has room for the event of a token.
func newEventStream(w *response) *eventStream {
	return &eventStream{w: w, buf: make([]byte, 0, 512), sent: time.Now()}
}

// sendHead sends the head of the response, unless it is out already, and announces the trailers.
func (e *eventStream) sendHead(timing string) {
	if e.w.status != 0 {
		return
	}
	h := e.w.Header()
	h.Set("Content-Type", eventStreamType)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // or nginx holds the tokens back
	h.Set("Trailer", trailerTotal+", "+serverTiming)
	if e.durable {
		h.Add("Trailer", headerDurable)
	}
	if timing != "" {
		h.Set(serverTiming, timing)
	}
	e.w.WriteHeader(http.StatusOK)
}

// send writes the events in buf.
func (e *eventStream) send() {
	if len(e.buf) > 0 {
		e.sent = time.Now()
	}
	e.write()
}

// write writes what is in buf, whether it is an event or keeps the connection open.
func (e *eventStream) write() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// keepAlive sends what appends appends, and the head before it, if the client has had no event for
// KeepAliveInterval. It is to be called once in that time. Tokens alone do not count: what they say
// may be held back for long, as the value of a parameter is whose type is not known.
func (e *eventStream) keepAlive(appends func(b []byte) []byte) {
	if time.Since(e.sent) < generate.KeepAliveInterval {
		return
	}
	e.sendHead("")
	e.buf = appends(e.buf)
	e.write()
	e.flush()
}

func (e *eventStream) flush() {
	if e.err == nil {
		e.err = e.w.FlushError()
	}
}

package server

import "net/http"

const eventStreamType = "text/event-stream"

// An eventStream sends server-sent events. Events are appended to buf, and send writes them.
type eventStream struct {
	w   *response
	buf []byte

	durable bool  // X-Durable will be a trailer
	err     error // the first error of a write or a flush: the client is gone
}

// newEventStream returns a stream whose buffer has room for the event of a token.
func newEventStream(w *response) *eventStream {
	return &eventStream{w: w, buf: make([]byte, 0, 512)}
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
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// keepAlive sends what appends appends, for a client that has heard nothing for a while, and the
// head before it.
func (e *eventStream) keepAlive(appends func(b []byte) []byte) {
	e.sendHead("")
	e.buf = appends(e.buf)
	e.send()
	e.flush()
}

func (e *eventStream) flush() {
	if e.err == nil {
		e.err = e.w.FlushError()
	}
}

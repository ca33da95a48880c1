package server

import (
	"net/http"
	"strconv"
	"time"

	"loadstone/server/internal/generate"
)

const (
	headerFirstByte = "X-Request-Latency-Ms"
	trailerTotal    = "X-Total-Latency-Ms"
	serverTiming    = "Server-Timing"
)

// writeTimeout is how long a client may take to make room for one write. Every write renews it, so
// that an answer may take any time, and a client that stops reading is given up all the same.
const writeTimeout = 30 * time.Second

// A response is the ResponseWriter of every handler. It knows when the request arrived, and what
// was answered.
type response struct {
	http.ResponseWriter
	control   *http.ResponseController
	start     time.Time // when the request arrived
	renewed   time.Time // when the write deadline was last moved
	status    int       // as sent; 0 before
	caller    caller    // whose key the request has
	trace     TraceContext
	anthropic bool  // errors go out in Anthropic's envelope
	maxBody   int64 // largest body of the request in bytes
	// failed appends the last event of a stream that fails, where its API has one of its own
	failed  func(b []byte, code, message string) []byte
	outcome int // for the log, where it differs from status: 499, or a failed stream's

	generation *generate.Generation // nil where nothing is generated
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		w.Header().Set(headerFirstByte, milliseconds(time.Since(w.start)))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	// Moving a deadline costs about as much as formatting a token, so it is moved at most once a
	// second.
	if now := time.Now(); now.Sub(w.renewed) > time.Second {
		w.renewed = now
		// This fails for a test's recorder, which has no deadline.
		w.control.SetWriteDeadline(now.Add(writeTimeout))
	}
	return w.ResponseWriter.Write(b)
}

func (w *response) FlushError() error { return w.control.Flush() }

// A handler answers a request, or returns the error that fail answers with.
type handler func(*response, *http.Request) error

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}

package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"loadstone/server/internal/anthropic"
	"loadstone/server/internal/openai"
)

// writeJSON answers with v as JSON.
func writeJSON(w *response, status int, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // an error here means that the client is gone
	return nil
}

// body returns the error in the envelope of the API that the request came by, as a whole answer and
// as an event of a stream that failed half-way.
func (e *apiError) body(w *response) []byte {
	if w.anthropic {
		message := cmp.Or(e.anthropic, e.message)
		return anthropic.ErrorBody(e.status, message, w.Header().Get("X-Request-ID"))
	}
	return openai.ErrorBody(e.kind, e.code, e.param, e.message)
}

// write tells the client: with a whole answer or, where a stream has begun, with a last event in
// place of the finish.
func (e *apiError) write(w *response) {
	if w.status != 0 {
		w.outcome = e.status
		switch {
		case e.status == statusClientClosed:
		case w.anthropic:
			w.Write(slices.Concat([]byte("event: error\ndata: "), e.body(w), []byte("\n\n")))
		case w.failed != nil:
			w.Write(w.failed(nil, e.code, e.message))
		default:
			w.Write(slices.Concat([]byte("data: "), e.body(w), []byte("\n\n")))
		}
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if e.retry > 0 {
		h.Set("Retry-After", retryAfter(e.retry))
	}
	if e.code == "invalid_api_key" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if e.never {
		h.Set("X-Should-Retry", "false")
	}
	if e.status == http.StatusRequestEntityTooLarge || e.status == http.StatusRequestTimeout {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	status := e.status
	if w.anthropic && status == http.StatusServiceUnavailable {
		status = statusOverloaded
	}
	w.WriteHeader(status)
	w.Write(append(e.body(w), '\n'))
}

// fail answers with an error of the table. Errors inside the server go to the log as well.
func (s *Server) fail(w *response, err error) {
	e := classify(err)
	s.metrics.reject(e.code)
	if e.status == http.StatusInternalServerError {
		s.logOf(w).Error("request failed", "error", e.message)
	}
	e.write(w)
}

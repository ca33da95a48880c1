package server

import (
	"crypto/rand"
	"net/http"
	"runtime/debug"
	"time"
)

// bodyTimeout is how long a client may take to send a body of at most Config.MaxBody bytes.
const bodyTimeout = 60 * time.Second

// requestID gives every response an id, which is the client's own where it sent a valid one. The
// response's header holds the id, and code that needs it reads it there.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !isName(id) {
			id = "req_" + rand.Text()
		}
		w.Header().Set("X-Request-ID", id)
		if isAnthropic(r.URL.Path) {
			w.Header().Set("Request-Id", id) // where Anthropic's SDKs look for it
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a 500, and the process goes on. It stands inside observed so that
// the 500 is measured and logged like any other answer.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := w.(*response)
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.metrics.panics.Add(1)
			s.logOf(x).Error("panic", "path", r.URL.EscapedPath(), "value", v, "stack",
				string(debug.Stack()))
			if x.status != 0 && x.Header().Get("Content-Type") != eventStreamType {
				// Half of an answer is out. Only a broken connection keeps it from passing for a
				// whole one.
				x.outcome = http.StatusInternalServerError
				panic(http.ErrAbortHandler)
			}
			classify(errPanic).write(x)
		}()
		next.ServeHTTP(w, r)
	})
}

// importPath is the route that takes files, which may be larger than limitBody allows elsewhere.
const importPath = "/v1/agents/import"

// limitBody bounds a body in size and in time, even where no handler reads it, because net/http
// then reads it after the answer.
func limitBody(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == importPath {
			next.ServeHTTP(w, r) // which has its own bounds
			return
		}
		if r.ContentLength > limit {
			// The client is told at once, and before it sends the body where it asked with Expect:
			// net/http sends 100 Continue when a handler begins to read.
			classify(&http.MaxBytesError{Limit: limit}).write(w.(*response))
			return
		}
		if r.ContentLength != 0 {
			w.(*response).control.SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

package server

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
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

// recovered turns a panic into a 500, and the process goes on. It stands inside latency so that the
// 500 is measured and logged like any other answer.
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
			s.log.Error("panic",
				"request", x.Header().Get("X-Request-ID"), "path", r.URL.EscapedPath(),
				"value", v, "stack", string(debug.Stack()))
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

// exposedHeaders are the headers that a page may read.
const exposedHeaders = "Location, Request-Id, Retry-After, Server-Timing, X-Cache-Miss, " +
	"X-Cache-Tier, X-Cached-Tokens, X-Request-ID, X-Request-Latency-Ms, X-Restored-Bytes, X-Should-Retry"

// cors lets pages of the allowed origins read the answers. Requests that do not come from a page
// pass unchanged. Pages from this machine's loopback addresses are always allowed, and any other
// origin must be configured: a server without a key must not answer to every page that its user
// happens to have open.
func cors(allowed []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		ok := origin != "" && (isLoopback(origin) ||
			slices.Contains(allowed, origin) || slices.Contains(allowed, "*"))
		if ok {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", exposedHeaders)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if ok {
				h.Set("Access-Control-Allow-Methods", "DELETE, GET, POST")
				h.Set("Access-Control-Allow-Headers",
					r.Header.Get("Access-Control-Request-Headers"))
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !ok && origin != "" && r.Method != http.MethodGet && r.Method != http.MethodHead &&
			!isSame(origin, r.Host) {
			// A browser lets any page post and only keeps the answer from it. This check keeps a
			// foreign page from making the model work.
			e := &apiError{
				status: 403, kind: kindInvalid, code: "origin_not_allowed",
				message: "pages of this origin may not use the server; " +
					"its operator can allow the origin",
			}
			e.write(w.(*response))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isSame says whether a page of the origin came from this server. A host name that is not this
// machine's own proves nothing, because a foreign site's name can be made to lead here. An address
// cannot.
func isSame(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host && net.ParseIP(u.Hostname()) != nil
}

// isLoopback says whether an origin is on this machine.
func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1" ||
		strings.HasSuffix(host, ".localhost")
}

// limitBody bounds a body in size and in time, even where no handler reads it, because net/http
// then reads it after the answer.
func limitBody(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == importPath {
			next.ServeHTTP(w, r) // which has its own bounds
			return
		}
		if r.ContentLength != 0 {
			w.(*response).control.SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

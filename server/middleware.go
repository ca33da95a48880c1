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

// requestID gives every response an id, the client's own where it sent a sane one. The response's header is where the
// id lives: whoever needs it reads it there.
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

// isName says whether a client's name for something (a request, an agent) is one to keep: 1 to 128 of A-Z a-z 0-9 and
// - _ . : with a letter, a digit or _ in front, so that it can stand in a log line or a file name.
func isName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case (c == '-' || c == '.' || c == ':') && i > 0:
		default:
			return false
		}
	}
	return true
}

// recovered turns a panic into a 500 and the process lives on. It stands inside latency so that the 500 is measured and
// logged like any other answer.
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
			s.log.Error("panic", "request", x.Header().Get("X-Request-ID"), "path", r.URL.EscapedPath(), "value", v, "stack", string(debug.Stack()))
			if x.status != 0 && x.Header().Get("Content-Type") != eventStream {
				x.outcome = http.StatusInternalServerError
				panic(http.ErrAbortHandler) // half of an answer is out: only a broken connection keeps it from passing for a whole one
			}
			classify(errPanic).write(x)
		}()
		next.ServeHTTP(w, r)
	})
}

// exposed are the headers that a page may read.
const exposed = "Location, Request-Id, Retry-After, Server-Timing, X-Cache-Miss, X-Cache-Tier, X-Cached-Tokens, X-Request-ID, X-Request-Latency-Ms, X-Restored-Bytes, X-Should-Retry"

// cors lets pages of the allowed origins read the answers; others, and programs, are not concerned. Pages served from
// this machine's loopback addresses are always allowed, any other origin must be configured: a server without a key
// must not answer to whatever page its user happens to have open.
func cors(allowed []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		ok := origin != "" && (isLoopback(origin) || slices.Contains(allowed, origin) || slices.Contains(allowed, "*"))
		if ok {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", exposed)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if ok {
				h.Set("Access-Control-Allow-Methods", "DELETE, GET, POST")
				h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !ok && origin != "" && r.Method != http.MethodGet && r.Method != http.MethodHead && !isSame(origin, r.Host) {
			// A page needs no leave to post, only to read the answer: this is what keeps it from making the model work.
			(&apiError{status: 403, kind: "invalid_request_error", code: "origin_not_allowed",
				message: "pages of this origin may not use the server; -origins allows them"}).write(w.(*response))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isSame says whether a page of the origin was served by this server. A host name that is not this machine's own proves
// nothing, because a foreign page's name can be made to lead here; an address cannot.
func isSame(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host && net.ParseIP(u.Hostname()) != nil
}

func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || strings.HasSuffix(host, ".localhost")
}

// limitBody bounds a body in size and in time, also where no handler reads it: net/http does, after the answer.
func limitBody(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == importPath {
			next.ServeHTTP(w, r) // has its own bounds
			return
		}
		if r.ContentLength != 0 {
			w.(*response).control.SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

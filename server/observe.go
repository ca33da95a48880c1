package server

import (
	"cmp"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// observed makes the response of every request, and notes what became of it. The log line, the
// metrics and the trailer of a stream have the time of the whole request. The header has the time
// to the first byte, which is the same where nothing is streamed.
func (s *Server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &response{
			ResponseWriter: w,
			control:        http.NewResponseController(w),
			start:          time.Now(),
			anthropic:      isAnthropic(r.URL.Path),
			maxBody:        s.cfg.MaxBody,
			trace:          traceOf(r.Header),
		}
		defer s.observe(x, r)
		next.ServeHTTP(x, r)
	})
}

// observe notes a request that has been answered: in the metrics, for the status page, as a span
// and in the access log.
func (s *Server) observe(w *response, r *http.Request) {
	elapsed := time.Since(w.start)
	// A trailer is sent only where the handler announced it.
	w.Header().Set(trailerTotal, milliseconds(elapsed))
	status := cmp.Or(w.outcome, w.status, http.StatusOK)
	s.metrics.request(route(r), w.caller.principal, status, elapsed)
	if g := w.generation; g != nil && status == http.StatusOK {
		s.recent.add(newServed(g, w.start.Add(elapsed), elapsed))
	}
	if s.cfg.OnSpan != nil && !isProbe(r.URL.Path) {
		s.cfg.OnSpan(s.span(w, r, status, elapsed))
	}
	if s.cfg.QuietProbes && status == http.StatusOK && isProbe(r.URL.Path) {
		return
	}
	if s.cfg.AccessLog.Enabled(r.Context(), slog.LevelInfo) {
		// The path as it was sent, still escaped: a decoded path could hold a line break.
		path, ms := r.URL.EscapedPath(), float64(elapsed)/float64(time.Millisecond)
		s.logAccess(w, r.Method, path, route(r), status, ms)
	}
}

// isProbe reports whether a path is one that machines and the status page ask for all the time.
func isProbe(path string) bool {
	return path == "/metrics" || path == "/admin/status" || isHealth(path)
}

// route returns the pattern of the route that answered, without its method.
func route(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	return r.Pattern
}

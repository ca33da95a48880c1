package server

import (
	"cmp"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	headerFirstByte = "X-Request-Latency-Ms"
	trailerTotal    = "X-Total-Latency-Ms"
	serverTiming    = "Server-Timing"
)

// writeTimeout is how long a client may take to make room for one write. It is renewed by every write, so that an
// answer may be as long as it likes and a client that stops reading still goes away.
const writeTimeout = 30 * time.Second

// A response is the ResponseWriter of every handler: it knows when the request came in, what was answered and when.
type response struct {
	http.ResponseWriter
	control   *http.ResponseController
	start     time.Time
	renewed   time.Time // when the write deadline was last moved
	status    int       // as sent, 0 before
	anthropic bool      // errors go out in Anthropic's envelope
	outcome   int       // as logged where that differs from what was sent: 499, or the failure of a stream

	generation *generation // nil where nothing is generated
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
	// Moving a deadline costs about as much as formatting a token, so it is moved at most once a second.
	if now := time.Now(); now.Sub(w.renewed) > time.Second {
		w.renewed = now
		w.control.SetWriteDeadline(now.Add(writeTimeout)) // a test's recorder has none: nothing to do about the error
	}
	return w.ResponseWriter.Write(b)
}

func (w *response) FlushError() error { return w.control.Flush() }

// latency measures every request: the log line and the metrics have the whole, the header has the time to the first
// byte, which is the whole where nothing is streamed, and the trailer of a stream has the whole again.
func (s *Server) latency(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &response{ResponseWriter: w, control: http.NewResponseController(w), start: time.Now(), anthropic: isAnthropic(r.URL.Path)}
		defer func() {
			elapsed := time.Since(x.start)
			w.Header().Set(trailerTotal, milliseconds(elapsed)) // goes out only where the handler announced it
			status := cmp.Or(x.outcome, x.status, http.StatusOK)
			s.metrics.request(route(r), status, elapsed)
			if g := x.generation; g != nil && status == http.StatusOK {
				s.recent.add(g.served(x.start.Add(elapsed), elapsed))
			}
			// The path as it was sent, still escaped: a decoded one could hold a line break.
			if s.cfg.QuietProbes && status == http.StatusOK && isProbe(r.URL.Path) {
				return
			}
			if s.cfg.AccessLog.Enabled(r.Context(), slog.LevelInfo) {
				s.access(x, r.Method, r.URL.EscapedPath(), route(r), status, float64(elapsed)/float64(time.Millisecond))
			}
		}()
		next.ServeHTTP(x, r)
	})
}

// isProbe holds for what machines, and the status page, ask all the time.
func isProbe(path string) bool {
	return path == "/metrics" || path == "/admin/status" || strings.HasPrefix(path, "/health/")
}

// route is the pattern that answered, without its method.
func route(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	return r.Pattern
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}

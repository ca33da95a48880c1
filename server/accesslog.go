package server

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
)

// LineLog returns an access log that writes one line for each request, in the form that the command
// `loadstone logs` reads:
//
//	REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms
//
// It keeps four of a request's attributes. A slog.JSONHandler in its place keeps all of them.
func LineLog(w io.Writer) *slog.Logger { return slog.New(&lineHandler{w: w}) }

type lineHandler struct {
	mu sync.Mutex
	w  io.Writer
}

func (h *lineHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *lineHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *lineHandler) WithGroup(string) slog.Handler            { return h }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 128)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "method":
			b = append(append(b, "REQUEST: "...), a.Value.String()...)
		case "path":
			b = append(append(b, ' '), a.Value.String()...)
		case "status":
			b = strconv.AppendInt(append(b, " STATUS: "...), a.Value.Int64(), 10)
		case "latency_ms":
			b = strconv.AppendFloat(append(b, " LATENCY: "...), a.Value.Float64(), 'f', 2, 64)
			b = append(b, "ms\n"...)
			return false
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

// logOf returns the log of errors for what happens in a request: its records have the request's id,
// and its trace where it belongs to one.
func (s *Server) logOf(w *response) *slog.Logger {
	log := s.log.With("request", w.Header().Get("X-Request-ID"))
	if id := w.trace.TraceID; id != "" {
		log = log.With("trace", id)
	}
	return log
}

// logAccess logs a request that has been answered. It never sees a prompt, an answer or a key.
func (s *Server) logAccess(w *response, method, path, route string, status int, ms float64) {
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		// LineLog reads these four, in this order.
		slog.String("method", method), slog.String("path", path),
		slog.Int("status", status), slog.Float64("latency_ms", ms),

		slog.String("route", route), slog.String("request", w.Header().Get("X-Request-ID")))
	if id := w.trace.TraceID; id != "" {
		attrs = append(attrs, slog.String("trace", id))
	}
	if p := w.caller.principal; p != "" {
		attrs = append(attrs, slog.String("principal", p))
	}
	if g := w.generation; g != nil {
		u := g.Usage()
		attrs = append(attrs,
			slog.String("agent", g.Params.Agent), slog.Bool("stream", g.Params.Stream),
			slog.String("tier", u.Start.Tier), slog.String("miss", u.Start.Miss),
			slog.Int("prompt_tokens", u.PromptTokens),
			slog.Int("cached_tokens", u.Start.CachedTokens),
			slog.Int("output_tokens", u.OutputTokens),
			slog.Duration("queue", u.Start.Queue), slog.Duration("prefill", u.Start.Prefill))
		if g.Params.CutTo > 0 {
			attrs = append(attrs, slog.Int("max_tokens_cut_to", g.Params.CutTo))
		}
		if g.Params.BillingCut {
			attrs = append(attrs, slog.Bool("billing_line_cut", true))
		}
	}
	s.cfg.AccessLog.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

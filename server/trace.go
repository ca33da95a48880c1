package server

import (
	"cmp"
	"net/http"
	"time"
)

// A Span is what became of one request, for whoever exports it as a part of a trace. It has no
// prompt, no answer and no key.
type Span struct {
	Trace TraceContext // the caller's; the zero TraceContext where it sent none that is valid

	Method, Route, Path string
	Status              int
	Start               time.Time
	Duration            time.Duration
	Request, Principal  string // ids; "" for none

	// Of a request for an answer; zero otherwise.
	Model, Agent            string
	Tier                    string // where the agent's memory was
	Queue, Prefill          time.Duration
	Prompt, Cached, Outputs int // tokens
}

// A TraceContext says which trace a request belongs to, as W3C's header traceparent has it.
type TraceContext struct {
	TraceID string // 32 hexadecimal digits
	Parent  string // 16 hexadecimal digits: the caller's span
	Sampled bool   // the caller records its span
}

// traceparent is W3C's header (Trace Context, Recommendation of 2021-11-23).
const traceparent = "Traceparent"

// traceOf returns the trace that a request belongs to. A header that is not valid, or given more
// than once, counts as none, as the recommendation has it.
func traceOf(h http.Header) TraceContext {
	if values := h[traceparent]; len(values) == 1 {
		if t, ok := parseTraceparent(values[0]); ok {
			return t
		}
	}
	return TraceContext{}
}

// parseTraceparent reads VERSION-TRACE-PARENT-FLAGS, such as
// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01. A later version may have more after
// that, behind another hyphen, and means the same by what is before.
func parseTraceparent(s string) (TraceContext, bool) {
	const length = 55
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return TraceContext{}, false
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	switch {
	case !isLowerHex(version), !isLowerHex(trace), !isLowerHex(parent), !isLowerHex(flags):
		return TraceContext{}, false
	case version == "ff", isZeros(trace), isZeros(parent):
		return TraceContext{}, false
	case version == "00" && len(s) > length, len(s) > length && s[length] != '-':
		return TraceContext{}, false
	}
	digit := flags[1]
	if digit >= 'a' {
		digit -= 'a' - 10
	}
	return TraceContext{trace, parent, digit&1 == 1}, true
}

// isLowerHex reports whether a text has hexadecimal digits alone, none of them upper-case.
func isLowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZeros(s string) bool {
	for _, c := range []byte(s) {
		if c != '0' {
			return false
		}
	}
	return true
}

// span is what became of a request that has been answered.
func (s *Server) span(w *response, r *http.Request, status int, elapsed time.Duration) Span {
	span := Span{Trace: w.trace, Method: r.Method, Route: cmp.Or(route(r), "none"),
		Path: r.URL.EscapedPath(), Status: status, Start: w.start, Duration: elapsed,
		Request: w.Header().Get("X-Request-ID"), Principal: w.caller.principal}
	if g := w.generation; g != nil {
		u := g.Usage()
		span.Model, span.Agent, span.Tier = s.cfg.Model, g.Params.Agent, u.Start.Tier
		span.Queue, span.Prefill = u.Start.Queue, u.Start.Prefill
		span.Prompt, span.Cached, span.Outputs = u.PromptTokens, u.Start.CachedTokens, u.OutputTokens
	}
	return span
}

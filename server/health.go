package server

import (
	"net/http"
	"strings"
	"time"

	"loadstone/engine"
)

// healthInfo is the body of all health checks. None of them asks the engine's goroutine anything,
// so they answer at once, however long a step of the model takes.
type healthInfo struct {
	Status      string   `json:"status"`
	Reason      string   `json:"reason,omitempty"`
	Loaded      *int64   `json:"loaded_percent,omitempty"`
	Utilization *float64 `json:"pool_utilization,omitempty"` // 0 to 1
	// Disk is full or failing while memories of agents wait that cannot be saved. The server
	// answers all the same.
	Disk string `json:"disk,omitempty"`
	// Detail says more of the reason model_lost.
	Detail string `json:"detail,omitempty"`
	// StepSeconds is how long the model has been in its step, where it is stuck there.
	StepSeconds int `json:"step_seconds,omitempty"`
}

// maxStep is how long a step of the model may take until the server says that it is not ready. The
// longest known, 256 tokens of a prompt on a model of 12 billion weights and two cores, takes 20 s.
const maxStep = time.Minute

// isHealth reports whether a path is that of a health check.
func isHealth(path string) bool {
	return path == "/health" || strings.HasPrefix(path, "/health/")
}

// health serves GET /health, which load generators and probes look for because vLLM, SGLang and
// llama.cpp have it. Like those, it is 200 from when the model is loaded, however much work there
// is, and 503 before, while the model is stuck or lost, and again while the server goes down.
// /health/ready says more.
func (s *Server) health(w *response, r *http.Request) error {
	h := s.readiness()
	switch h.Reason {
	case "loading", "draining", "model_stuck", "model_lost":
		return s.ready(w, r)
	}
	h.Status, h.Reason = "ok", ""
	return writeJSON(w, http.StatusOK, h)
}

// live serves GET /health/live, which says that the process answers. A process that does not answer
// should be restarted.
func (s *Server) live(w *response, r *http.Request) error {
	return writeJSON(w, http.StatusOK, healthInfo{Status: "alive"})
}

// startup serves GET /health/startup: whether the model is loaded. Until then the other two health
// checks mean nothing.
func (s *Server) startup(w *response, r *http.Request) error {
	if s.backend.Load() == nil {
		w.Header().Set("Retry-After", retryAfter(loadingRetry))
		h := healthInfo{Status: "starting", Reason: "loading", Loaded: new(s.loading.Load())}
		return writeJSON(w, http.StatusServiceUnavailable, h)
	}
	return writeJSON(w, http.StatusOK, healthInfo{Status: "started"})
}

// ready serves GET /health/ready: whether the server takes new work. A load balancer should send
// none to it otherwise.
func (s *Server) ready(w *response, r *http.Request) error {
	h := s.readiness()
	if h.Reason == "loading" {
		w.Header().Set("Retry-After", retryAfter(loadingRetry))
	}
	if h.Reason != "" {
		return writeJSON(w, http.StatusServiceUnavailable, h)
	}
	return writeJSON(w, http.StatusOK, h)
}

// readiness returns the state of the server, with a reason where it takes no work.
func (s *Server) readiness() healthInfo {
	h := healthInfo{Status: "not_ready"}
	b := s.backend.Load()
	var lost error
	full := false
	if b != nil {
		lost = b.engine.Lost()
		stats := b.engine.Stats()
		h.Utilization, full = new(stats.Utilization()), stats.NearlyFull()
		if disk := b.engine.Disk(); disk != engine.DiskOK {
			h.Disk = disk
		}
	}
	switch {
	case s.draining.Load():
		h.Reason = "draining"
	case b == nil:
		h.Reason, h.Loaded = "loading", new(s.loading.Load())
	case lost != nil:
		h.Reason, h.Detail = "model_lost", lost.Error()
	case b.engine.Stuck() > maxStep:
		h.Reason, h.StepSeconds = "model_stuck", int(b.engine.Stuck().Seconds())
	case full:
		h.Reason = "pool_near_exhaustion"
	default:
		h.Status = "ready"
	}
	return h
}

// drainState serves GET /admin/drain, which says how far a drain has come: it is complete when no
// request runs and none waits.
func (s *Server) drainState(w *response, r *http.Request) error {
	state := struct {
		Draining bool `json:"draining"`
		Running  int  `json:"running"`
		Queued   int  `json:"queued"`
	}{Draining: s.draining.Load()}
	if b := s.backend.Load(); b != nil {
		st := b.engine.Stats()
		state.Running, state.Queued = st.Running, st.Queued
	}
	return writeJSON(w, http.StatusOK, state)
}

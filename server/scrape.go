package server

import (
	"net/http"
	"runtime"
	"strconv"

	"loadstone/engine"
)

// serveMetrics serves GET /metrics: what the server, the engine and the process count.
func (s *Server) serveMetrics(w *response, r *http.Request) error {
	b := s.metrics.append(nil)
	if backend := s.backend.Load(); backend != nil {
		b = appendStats(b, backend.engine.Stats())
		if w.caller.operator {
			usage := s.roster.usage.get(backend.engine, (*engine.Engine).Usage)
			b = s.metrics.appendPrincipals(b, usage, s.principalName)
		}
	}
	b = appendProcess(b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	w.Write(b)
	return nil
}

// appendProcess appends what the process counts.
func appendProcess(b []byte) []byte {
	if rss, ok := residentBytes(); ok {
		b = appendHead(b, "process_resident_memory_bytes", "gauge",
			"Resident memory, including the model's.")
		b = appendSample(b, "process_resident_memory_bytes", float64(rss))
	}
	if cpu, ok := cpuTime(); ok {
		b = appendHead(b, "process_cpu_seconds_total", "counter", "CPU time, user and system.")
		b = appendSample(b, "process_cpu_seconds_total", cpu.Seconds())
	}
	if open, ok := openFiles(); ok {
		b = appendHead(b, "process_open_fds", "gauge", "Open file descriptors.")
		b = appendSample(b, "process_open_fds", float64(open))
	}
	b = appendHead(b, "go_goroutines", "gauge", "Goroutines.")
	return appendSample(b, "go_goroutines", float64(runtime.NumGoroutine()))
}

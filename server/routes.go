package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/internal/files"
	"loadstone/server/internal/responses"
)

// New returns a server that is loading. It panics where one key has two owners; ParseKeys returns
// no such keys.
func New(cfg Config) *Server {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 8 << 20
	}
	if cfg.DurableWait == 0 {
		cfg.DurableWait = defaultDurableWait
	}
	if cfg.AccessLog == nil {
		cfg.AccessLog = slog.New(slog.DiscardHandler)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{
		cfg:     cfg,
		log:     cfg.Log,
		started: time.Now(),
		limits:  newLimits(cfg.Rate, cfg.AgentRate),
	}
	s.responses = cfg.Responses
	if s.responses == nil {
		// In RAM, which cannot fail.
		s.responses, _ = responses.OpenStore(files.OS{}, "", responses.Limits{})
	}
	s.cfg.Keys, s.cfg.OperatorKeys = nil, nil
	if err := s.SetKeys(cfg.Keys, cfg.OperatorKeys); err != nil {
		panic("server: " + err.Error())
	}
	var paths []string
	s.handler, paths = s.routes()
	s.metrics = newMetrics(paths)
	return s
}

// routes returns the whole chain of handlers and the paths of the routes.
func (s *Server) routes() (http.Handler, []string) {
	table := []struct {
		method, path string
		handle       handler
	}{
		{"POST", "/v1/chat/completions", s.chat},
		{"POST", "/v1/completions", s.completions},
		{"POST", "/v1/messages", s.messages},
		{"POST", "/v1/messages/count_tokens", s.countTokens},
		{"POST", "/v1/responses", s.respond},
		{"POST", "/v1/responses/input_tokens", s.countInput},
		{"GET", "/v1/responses/{id}", s.getResponse},
		{"DELETE", "/v1/responses/{id}", s.deleteResponse},
		{"POST", "/v1/responses/{id}/cancel", s.cancelResponse},
		{"GET", "/v1/responses/{id}/input_items", s.inputItems},
		{"POST", "/v1/tokenize", s.tokenize},
		{"POST", "/tokenize", s.tokenize},
		{"POST", "/v1/detokenize", s.detokenize},
		{"POST", "/detokenize", s.detokenize},
		{"POST", "/v1/apply-template", s.applyTemplate},
		{"POST", "/apply-template", s.applyTemplate},
		{"GET", "/v1/models", s.models},
		{"GET", "/v1/models/{id...}", s.model},
		{"POST", "/v1/agents", s.createAgent},
		{"GET", "/v1/agents", s.listAgents},
		{"GET", "/v1/agents/stats", s.agentStats},
		{"POST", importPath, s.importAgent},
		{"GET", "/v1/agents/{id}", s.onAgent(nil)},
		{"DELETE", "/v1/agents/{id}", s.deleteAgent},
		{"POST", "/v1/agents/{id}/generate", s.generateForAgent},
		{"POST", "/v1/agents/{id}/pin", s.pinAgent(engine.Principal.Pin)},
		{"POST", "/v1/agents/{id}/unpin", s.pinAgent(engine.Principal.Unpin)},
		{"GET", "/v1/agents/{id}/export", s.exportAgent},
		{"GET", "/health", s.health},
		{"GET", "/health/live", s.live},
		{"GET", "/health/ready", s.ready},
		{"GET", "/health/startup", s.startup},
		{"GET", "/admin/drain", s.drainState},
		{"GET", "/admin/status", s.status},
		{"GET", "/{$}", s.page},
		{"GET", "/metrics", s.serveMetrics},
	}
	mux := http.NewServeMux()
	handle := func(pattern string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			x := w.(*response)
			if err := h(x, r); err != nil {
				s.fail(x, err)
			}
		})
	}
	var paths []string
	for _, route := range table {
		handle(route.method+" "+route.path, route.handle)
		if !slices.Contains(paths, route.path) {
			paths = append(paths, route.path)
		}
	}
	handle("/", func(w *response, r *http.Request) error { return noRoute(mux, paths, w, r) })
	h := s.authenticated(mux)
	h = limitBody(s.cfg.MaxBody, h)
	h = cors(s.cfg.Origins, h)
	h = s.recovered(h)
	h = s.observed(h)
	return requestID(h), paths
}

// noRoute returns the error for a path that does not exist, or for a method that a path does not
// have.
func noRoute(mux *http.ServeMux, paths []string, w *response, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "POST"} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
			r.Pattern = pattern // for the metrics
		}
	}
	if allowed == nil {
		return &apiError{
			status: 404, kind: kindInvalid, code: "not_found",
			message: "no such path: " + r.URL.Path + hint(paths, r.URL.Path),
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &apiError{
		status: 405, kind: kindInvalid, code: "method_not_allowed",
		message: fmt.Sprintf("%s is not allowed on %s; use %s",
			r.Method, r.URL.Path, strings.Join(allowed, " or ")),
	}
}

// hint names the path that a client probably meant, whose base URL lacks /v1 or has it twice, or
// has something else in front; "" where none is alike.
func hint(paths []string, asked string) string {
	path, meant := strings.TrimRight(asked, "/"), ""
	for _, p := range paths {
		tail, ok := strings.CutPrefix(p, "/v1")
		if ok && !strings.Contains(p, "{") && strings.HasSuffix(path, tail) && len(p) > len(meant) {
			meant = p
		}
	}
	switch {
	case meant == "":
		return ""
	case "/v1"+path == meant:
		return "; want " + meant + ": does the client's base URL lack /v1?"
	case path == "/v1"+meant:
		return "; want " + meant + ": the client adds /v1 itself, so its base URL must not have it"
	}
	return "; want " + meant
}

// Package server speaks HTTP for an engine: the OpenAI and Anthropic APIs, agents and their memories, health in three
// tiers, Prometheus metrics, and a status page.
//
// A request passes request id, latency and log, recovery, CORS, the body limit and the key, in that order, so that every answer
// whatever its kind has an id, a log line and a metric. The handler decodes and validates it, renders and encodes the
// conversation, submits it to the engine and turns the tokens that come back into text. Nothing here touches the
// model or its memory, and nothing that answers /health or /metrics waits for a step of it.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine"
	"loadstone/engine/grammar"
)

// Text is what the server needs to know of a model's language. Its methods are called from many goroutines at once.
type Text interface {
	// EncodeChat renders messages, ending with the beginning of an answer, and encodes them. answers[i], where not
	// nil, are the exact tokens that the model generated for message i, and stand in place of contents[i]'s own.
	EncodeChat(roles, contents []string, answers [][]int32) ([]int32, error)
	// AppendToken appends a token's bytes, which may be a part of a UTF-8 character.
	AppendToken(dst []byte, id int32) []byte
	// Encode encodes a text; special says whether control tokens written in it count and whether what begins every text is put
	// in front.
	Encode(s string, special bool) []int32
	// StopTokens are the ids that end an answer.
	StopTokens() []int32
}

// Config says what a Server serves. The zero value of every field but Model means its default.
type Config struct {
	Model       string       // the name under which the model is served
	MaxTokens   int          // length of an answer where the request does not say. 0: 256
	MaxBody     int64        // largest request body in bytes. 0: 8 MiB
	Origins     []string     // origins whose pages may read the answers, beside this machine's own; "*" for all
	Keys        []string     // API keys, one of which every request but health must have. None: everybody is welcome
	Rate        int          // requests a minute that are taken, with a minute's worth at once. 0: any number
	AgentRate   int          // the same for each agent
	AccessLog   *slog.Logger // one record a request; never a prompt, an answer or a key. nil: none
	QuietProbes bool         // no log lines for scrapes, health checks and the status page that went well
	Log         *slog.Logger // what went wrong inside. nil: slog.Default()
}

// A Server is an http.Handler for one model. It answers from the start; until Ready it says that it is loading.
type Server struct {
	cfg      Config
	handler  http.Handler
	log      *slog.Logger
	started  time.Time
	metrics  *metrics
	answers  *answers
	keys     keys
	limits   *limits
	backend  atomic.Pointer[backend] // nil while loading
	loading  atomic.Int64            // per cent of the weights that have been read
	draining atomic.Bool
	recent   recent
	roster   roster
}

type backend struct {
	engine     *engine.Engine
	text       Text
	vocabulary func() *grammar.Vocabulary // made when the first answer must be held to a form
}

// New returns a server that is loading.
func New(cfg Config) *Server {
	if cfg.MaxTokens == 0 {
		cfg.MaxTokens = 256
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 8 << 20
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
		answers: newAnswers(1 << 20),
		keys:    newKeys(cfg.Keys),
		limits:  newLimits(cfg.Rate, cfg.AgentRate),
	}
	s.cfg.Keys = nil
	var paths []string
	s.handler, paths = s.routes()
	s.metrics = newMetrics(paths)
	return s
}

// Loading says how much of a model's weights has been read, in bytes: those who ask for what is not ready yet are told.
func (s *Server) Loading(done, total int64) {
	if total > 0 {
		s.loading.Store(100 * done / total)
	}
}

// Ready gives the server its engine and its text: from now on it takes work. It must be called at most once.
func (s *Server) Ready(e *engine.Engine, t Text) {
	vocabulary := sync.OnceValue(func() *grammar.Vocabulary {
		return grammar.NewVocabulary(e.Vocab(), t.AppendToken, t.StopTokens())
	})
	if !s.backend.CompareAndSwap(nil, &backend{e, t, vocabulary}) {
		panic("server: Ready called twice")
	}
}

// Drain takes the server out of service: readiness goes off, new work gets 503, and answers in flight are finished, or
// cut off with an error when ctx ends first, which is then Drain's error.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	if b := s.backend.Load(); b != nil {
		return b.engine.Drain(ctx)
	}
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// routes returns the whole chain and the paths that are routes.
func (s *Server) routes() (http.Handler, []string) {
	type route struct {
		method, path string
		handle       func(*response, *http.Request) error
	}
	table := []route{
		{"POST", "/v1/chat/completions", s.chat},
		{"POST", "/v1/completions", s.completions},
		{"POST", "/v1/messages", s.messages},
		{"POST", "/v1/messages/count_tokens", s.countTokens},
		{"GET", "/v1/models", s.models},
		{"GET", "/v1/models/{id}", s.model},
		{"POST", "/v1/agents", s.createAgent},
		{"GET", "/v1/agents", s.listAgents},
		{"GET", "/v1/agents/stats", s.agentStats},
		{"POST", importPath, s.importAgent},
		{"GET", "/v1/agents/{id}", s.onAgent(inspect)},
		{"DELETE", "/v1/agents/{id}", s.deleteAgent},
		{"POST", "/v1/agents/{id}/generate", s.generate},
		{"POST", "/v1/agents/{id}/pin", s.onAgent((*engine.Engine).Pin)},
		{"POST", "/v1/agents/{id}/unpin", s.onAgent((*engine.Engine).Unpin)},
		{"GET", "/v1/agents/{id}/export", s.exportAgent},
		{"GET", "/health/live", s.live},
		{"GET", "/health/ready", s.ready},
		{"GET", "/health/startup", s.startup},
		{"GET", "/admin/drain", s.drainState},
		{"GET", "/admin/status", s.status},
		{"GET", "/{$}", s.page},
		{"GET", "/metrics", s.serveMetrics},
	}
	mux := http.NewServeMux()
	handle := func(pattern string, h func(*response, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			x := w.(*response)
			if err := h(x, r); err != nil {
				s.fail(x, err)
			}
		})
	}
	var paths []string
	for _, e := range table {
		handle(e.method+" "+e.path, e.handle)
		if !slices.Contains(paths, e.path) {
			paths = append(paths, e.path)
		}
	}
	handle("/", func(w *response, r *http.Request) error { return noRoute(mux, w, r) })
	return requestID(s.latency(s.recovered(cors(s.cfg.Origins, limitBody(s.cfg.MaxBody, s.authenticated(mux)))))), paths
}

// noRoute tells a path that is not there from a method that the path does not have.
func noRoute(mux *http.ServeMux, w *response, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "POST"} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
			r.Pattern = pattern // for the metrics
		}
	}
	if allowed == nil {
		return &apiError{status: 404, kind: "invalid_request_error", code: "not_found", message: "no such path: " + r.URL.Path}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &apiError{status: 405, kind: "invalid_request_error", code: "method_not_allowed",
		message: r.Method + " is not allowed on " + r.URL.Path + "; use " + strings.Join(allowed, " or ")}
}

// fail answers with an error of the table. What is not the client's doing goes to the log as well.
func (s *Server) fail(w *response, err error) {
	e := classify(err)
	s.metrics.reject(e.code)
	if e.status == http.StatusInternalServerError {
		s.log.Error("request failed", "request", w.Header().Get("X-Request-ID"), "error", e.message)
	}
	e.write(w)
}

// Package server speaks HTTP for an engine: the OpenAI and Anthropic APIs, agents and their
// memories, health in three tiers, Prometheus metrics, and a status page.
//
// A request passes request id, latency and log, recovery, CORS, the body limit and the key, in that
// order, so that every answer of whatever kind has an id, a log line and a metric. A request for an
// answer then goes this way:
//
//	HTTP  -->  server: routes, limits, who asks
//	             |  body                                 ^  whole answer or events
//	             v                                       |
//	           internal/openai, responses, anthropic: wire types, validation, writers
//	             |  generate.Params                      ^  generate.Piece, generate.Answer
//	             v                                       |
//	           internal/generate: prompt, text and tool calls, tokens of earlier answers
//	             |  engine.Request                       ^  engine.Token
//	             v                                       |
//	           engine
//
// Nothing here touches the model or its memory, and nothing that answers /health or /metrics waits
// for a step of the model.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"loadstone/engine"
	"loadstone/internal/files"
	"loadstone/server/internal/generate"
	"loadstone/server/internal/responses"
)

// Text is what the server needs to know of a model's language. Its methods are called from many
// goroutines at once.
type Text interface {
	// EncodeChat renders messages, up to the beginning of an answer, and encodes them. There is one
	// role, content and answer for each message. answers[i], where it is not nil, are the exact
	// tokens that the model generated for message i, and stand in place of those of contents[i].
	// variables are further variables of the chat template; those that it does not name do nothing.
	// A chat of more than limit tokens, unless limit is 0, need not be encoded to its end, only so
	// far that there are more than limit.
	EncodeChat(roles, contents []string, answers [][]int32, variables map[string]any, limit int) (
		[]int32, error)
	// ChatTemplate returns the template's source, "" for none: it shows the forms of the model's
	// reasoning and of its calls of tools.
	ChatTemplate() string
	// AppendToken appends a token's bytes to dst. They may be a part of a UTF-8 character.
	AppendToken(dst []byte, id int32) []byte
	// Encode encodes a text. With special, control tokens that are written in the text count as
	// such, and the tokens that begin every text are put in front. limit is that of EncodeChat.
	Encode(s string, special bool, limit int) []int32
	// AppendText is AppendToken, but control tokens have the text with which they are written.
	AppendText(dst []byte, id int32) []byte
	// StopTokens returns the ids that end an answer.
	StopTokens() []int32
}

// Config says what a Server serves. The zero value of every field except Model means its default.
type Config struct {
	// Model is the name under which the model is served.
	Model string
	// Aliases are further names under which the model is served; "*" is any.
	Aliases []string
	// MaxTokens bounds the length of an answer where the request names none. 0: such an answer may
	// go to the end of the model's context
	MaxTokens int
	// MaxBody is the size of the largest request body in bytes. 0: 8 MiB
	MaxBody int64
	// Origins are the web origins whose pages may read the answers, beside those of this machine;
	// "*" is all.
	Origins []string
	// Responses keeps the answers of the Responses API that later requests name. nil: a store in
	// RAM
	Responses *ResponseStore
	// Keys are the API keys. Every request except health checks needs one of them, and sees nothing
	// of other principals than the key's. None: no key is needed, and there is one principal
	Keys []Key
	// OperatorKeys open /metrics, /admin and the status page with the names of principals and
	// agents. None: without Keys, everybody sees the names there, and with them nobody does
	OperatorKeys []string
	// Rate is how many requests are taken in a minute, and at most at once. 0: no limit
	Rate int
	// AgentRate is the same for each agent. 0: no limit
	AgentRate int
	// DurableWait is how long the answer to a request that is durable waits for the disk. 0:
	// 10 s
	DurableWait time.Duration
	// AccessLog gets a record for each request, without prompts, answers and keys. nil: no log
	AccessLog *slog.Logger
	// QuietProbes keeps scrapes, health checks and the status page out of the access log if they
	// went well.
	QuietProbes bool
	// Log gets the errors inside the server. nil: slog.Default()
	Log *slog.Logger
	// OnSpan, unless nil, is told of every request that has been answered, except health checks,
	// scrapes and the status page's. It is called by the goroutine of the request and must be fast.
	OnSpan func(Span)
}

// A Server is an http.Handler for one model. It answers from the start; until Ready is called it
// says that it is loading.
type Server struct {
	cfg       Config
	handler   http.Handler
	log       *slog.Logger
	started   time.Time
	metrics   *metrics
	keys      atomic.Pointer[keyring]
	responses *ResponseStore
	limits    *limits
	backend   atomic.Pointer[backend] // nil while loading
	loading   atomic.Int64            // how much of the weights has been read, in per cent
	draining  atomic.Bool
	recent    recent
	roster    roster
}

// A ResponseStore keeps answers of the Responses API; see OpenResponses.
type ResponseStore = responses.Store

// ResponseLimits bound what a ResponseStore keeps of one principal; beyond them the oldest answers
// go first.
type ResponseLimits = responses.Limits

// OpenResponses opens a directory in which answers of the Responses API are kept, a file for each,
// and makes it if need be; without a directory they are kept in RAM. They are kept for 30 days at
// most. sealKeys are those of engine.Config.
func OpenResponses(
	dir string, limits ResponseLimits, sealKeys ...[]byte,
) (*ResponseStore, error) {
	return OpenResponsesOn(files.OS{}, dir, limits, sealKeys...)
}

// OpenResponsesOn is OpenResponses on a file system that a test gives.
func OpenResponsesOn(
	sys files.System, dir string, limits ResponseLimits, sealKeys ...[]byte,
) (*ResponseStore, error) {
	return responses.OpenStore(sys, dir, limits, sealKeys...)
}

// A backend is what answers once the model is loaded.
type backend struct {
	engine    *engine.Engine
	generator *generate.Generator
}

// Loading tells the server how much of a model's weights has been read, in bytes. Requests that
// come before the model is ready are answered with it.
func (s *Server) Loading(done, total int64) {
	if total > 0 {
		s.loading.Store(100 * done / total)
	}
}

// Ready gives the server its engine and its text: from now on it takes work. It must be called at
// most once.
func (s *Server) Ready(e *engine.Engine, t Text) {
	b := &backend{engine: e, generator: generate.New(e, t, s.metrics.token)}
	if !s.backend.CompareAndSwap(nil, b) {
		panic("server: Ready called twice")
	}
	if ring := s.keys.Load(); !ring.keyless {
		if err := ring.share(e); err != nil {
			s.log.Error("principals have no shares", "error", err)
		}
	}
}

// Drain takes the server out of service: it is not ready any more, new work gets 503, and answers
// in flight are finished. They are cut off with an error when ctx ends first; Drain then returns
// ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	if b := s.backend.Load(); b != nil {
		return b.engine.Drain(ctx)
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// of returns the engine's principal to which a request belongs.
func (b *backend) of(w *response) engine.Principal { return b.engine.Principal(w.caller.principal) }

// loaded returns the backend, or an error while the model is loading.
func (s *Server) loaded() (*backend, error) {
	b := s.backend.Load()
	if b == nil {
		return nil, loadingError{s.loading.Load()}
	}
	return b, nil
}

// accepting returns the backend, or an error while the server takes no work.
func (s *Server) accepting() (*backend, error) {
	if s.draining.Load() {
		return nil, engine.ErrDraining
	}
	b, err := s.loaded()
	if err != nil {
		return nil, err
	}
	if err := b.engine.Lost(); err != nil {
		return nil, lostError{err}
	}
	return b, nil
}

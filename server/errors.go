package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"loadstone/engine"
)

// statusClientClosed is the status of a request whose client went away before its answer was complete: as a rule nobody
// but the log and the metrics sees it. (Nginx introduced the number.)
const statusClientClosed = 499

// statusOverloaded is Anthropic's for a server that cannot take the request now; OpenAI's is 503.
const statusOverloaded = 529

var (
	errPanic = errors.New("internal error; the request id finds it in the server's log")
)

// A loadingError turns away what comes before the model is loaded.
type loadingError struct{ percent int64 }

func (e loadingError) Error() string {
	return fmt.Sprintf("the model is loading (%d %%); retry in %s s", e.percent, retryAfter(loadingRetry))
}

// loadingRetry is what a client is told to wait: what is loaded in less is worth no answer that says when.
const loadingRetry = 2 * time.Second

// An apiError is an error as a client gets it.
type apiError struct {
	status  int
	kind    string // OpenAI's error.type
	code    string // error.code: stable, for programs
	param   string // error.param: the field at fault, "" for none
	message string
	retry   time.Duration // Retry-After, 0 for none
	never   bool          // a retry cannot help although the status suggests it: x-should-retry: false
}

func (e *apiError) Error() string { return e.message }

func invalid(param, format string, args ...any) *apiError {
	return &apiError{status: 400, kind: "invalid_request_error", code: "invalid_value", param: param, message: fmt.Sprintf(format, args...)}
}

func unsupported(param, format string, args ...any) *apiError {
	return &apiError{status: 400, kind: "invalid_request_error", code: "unsupported_parameter", param: param, message: fmt.Sprintf(format, args...)}
}

// classify is the one table from an error to what the client gets. A full pool is 429 while work drains out of it and
// 400 when the request is larger than the whole pool: only the first is worth another try.
func classify(err error) *apiError {
	var (
		api     *apiError
		pool    *engine.PoolError
		queue   *engine.QueueError
		agent   *engine.AgentError
		length  *engine.ContextError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &length):
		return &apiError{status: 400, kind: "invalid_request_error", code: "context_length_exceeded", message: err.Error()}
	case errors.As(err, &pool) && pool.Need > pool.Total:
		return &apiError{status: 400, kind: "invalid_request_error", code: "pool_too_small", param: "max_tokens", message: err.Error()}
	case errors.As(err, &pool):
		return &apiError{status: 429, kind: "rate_limit_error", code: "pool_exhausted", message: err.Error(), retry: max(pool.RetryAfter, time.Second)}
	case errors.As(err, &queue):
		return &apiError{status: 429, kind: "rate_limit_error", code: "queue_full", message: err.Error(), retry: max(queue.RetryAfter, time.Second)}
	case errors.As(err, &agent):
		return &apiError{status: 429, kind: "rate_limit_error", code: "agent_busy", message: err.Error(), retry: max(agent.RetryAfter, time.Second)}
	case errors.Is(err, engine.ErrNoMemory):
		return &apiError{status: 404, kind: "invalid_request_error", code: "agent_not_found", param: "agent_id", message: err.Error()}
	case errors.Is(err, engine.ErrExists):
		return &apiError{status: 409, kind: "conflict", code: "agent_exists", param: "agent_id", message: err.Error(), never: true}
	case errors.Is(err, engine.ErrNoDir):
		return &apiError{status: 400, kind: "invalid_request_error", code: "agents_not_kept", message: "agents are not kept on disk here; start the server with -agents-dir"}
	case errors.Is(err, engine.ErrOtherModel):
		return &apiError{status: 409, kind: "conflict", code: "model_changed", message: err.Error(), never: true}
	case errors.Is(err, engine.ErrCorrupt):
		return &apiError{status: 400, kind: "invalid_request_error", code: "invalid_memory", message: err.Error()}
	case errors.Is(err, engine.ErrNoRoom):
		return &apiError{status: 413, kind: "invalid_request_error", code: "request_too_large", message: err.Error()}
	case errors.As(err, &tooLong):
		return &apiError{status: 413, kind: "invalid_request_error", code: "request_too_large", message: fmt.Sprintf("the body is larger than %d bytes", tooLong.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &apiError{status: 408, kind: "invalid_request_error", code: "request_timeout", message: "the body did not arrive in time"}
	case errors.As(err, new(loadingError)):
		return &apiError{status: 503, kind: "server_error", code: "loading", message: err.Error(), retry: loadingRetry}
	case errors.Is(err, engine.ErrDraining):
		return &apiError{status: 503, kind: "server_error", code: "draining", message: "the server is shutting down; retry in 5 s", retry: 5 * time.Second}
	case errors.Is(err, context.Canceled):
		return &apiError{status: statusClientClosed, kind: "invalid_request_error", code: "client_closed_request", message: "the client went away"}
	case errors.Is(err, errPanic):
		return &apiError{status: 500, kind: "server_error", code: "internal_error", message: err.Error(), never: true}
	default:
		return &apiError{status: 500, kind: "server_error", code: "internal_error", message: err.Error()}
	}
}

// refusals are the codes with which the server turns sound work away: the reasons of loadstone_rejects_total.
var refusals = []string{"agent_busy", "context_length_exceeded", "draining", "loading", "pool_exhausted", "pool_too_small", "queue_full", "rate_limit_exceeded"}

// anthropicType is error.type in Anthropic's envelope. Its SDKs know no 503: what is full or going down is overloaded.
func (e *apiError) anthropicType() string {
	switch e.status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503:
		return "overloaded_error"
	case 500:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

// anthropicBody is the error in Anthropic's envelope.
func (e *apiError) anthropicBody(requestID string) []byte {
	type fields struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return mustJSON(struct {
		Type      string `json:"type"`
		Error     fields `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", fields{e.anthropicType(), e.message}, requestID})
}

// body is the error in OpenAI's envelope, as a whole answer and as a frame of a stream that failed half-way.
func (e *apiError) body() []byte {
	type fields struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	f := fields{Message: e.message, Type: e.kind, Code: e.code}
	if e.param != "" {
		f.Param = &e.param
	}
	return mustJSON(map[string]fields{"error": f})
}

// write tells the client: with a whole answer, or, where a stream is on its way, with a last event in place of a finish.
func (e *apiError) write(w *response) {
	if w.status != 0 {
		w.outcome = e.status
		switch {
		case e.status == statusClientClosed:
		case w.anthropic:
			w.Write(slices.Concat([]byte("event: error\ndata: "), e.anthropicBody(w.Header().Get("X-Request-ID")), []byte("\n\n")))
		default:
			w.Write(slices.Concat([]byte("data: "), e.body(), []byte("\n\n")))
		}
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if e.retry > 0 {
		h.Set("Retry-After", retryAfter(e.retry))
	}
	if e.never {
		h.Set("X-Should-Retry", "false")
	}
	if e.status == http.StatusRequestEntityTooLarge || e.status == http.StatusRequestTimeout {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	status, body := e.status, e.body
	if w.anthropic {
		body = func() []byte { return e.anthropicBody(h.Get("X-Request-ID")) }
		if status == http.StatusServiceUnavailable {
			status = statusOverloaded
		}
	}
	w.WriteHeader(status)
	w.Write(append(body(), '\n'))
}

// retryAfter is d in whole seconds, at least 1 and at most 60: the SDKs ignore a longer wait and retry at once.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(min(max(int(math.Ceil(d.Seconds())), 1), 60))
}

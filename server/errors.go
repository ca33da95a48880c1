package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/anthropic"
	"loadstone/server/internal/generate"
	"loadstone/server/internal/openai"
)

// statusClientClosed is the status of a request whose client went away before its answer was
// complete. As a rule only the log and the metrics see it. (Nginx introduced the number.)
const statusClientClosed = 499

// statusOverloaded is Anthropic's status for a server that cannot take the request now; OpenAI's is
// 503.
const statusOverloaded = 529

var errPanic = errors.New("internal error; the request id leads to it in the server's log")

// A loadingError refuses a request that comes before the model is loaded.
type loadingError struct{ percent int64 }

func (e loadingError) Error() string {
	return fmt.Sprintf("the model is loading (%d %%); retry in %s s", e.percent,
		retryAfter(loadingRetry))
}

// loadingRetry is how long a client is told to wait while the model is loading.
const loadingRetry = 2 * time.Second

// A lostError refuses a request because the model will compute nothing any more.
type lostError struct{ error }

// Kinds of errors: OpenAI's error.type.
const (
	kindInvalid   = "invalid_request_error"
	kindRateLimit = "rate_limit_error"
	kindConflict  = "conflict"
	kindServer    = "server_error"
)

// An apiError is an error as the client gets it.
type apiError struct {
	status  int
	kind    string
	code    string // error.code: stable, for programs
	param   string // error.param: the field at fault, "" for none
	message string
	// anthropic is the message in Anthropic's API, where that has words of its own; "": message
	anthropic string
	retry     time.Duration // Retry-After; 0: none
	never     bool          // X-Should-Retry is false: a retry cannot help, whatever the status says
}

func (e *apiError) Error() string { return e.message }

// classify is the one table from an error to what the client gets. A full pool is 429, because
// running work frees it. A request that is larger than the whole pool is a *generate.LengthError.
func classify(err error) *apiError {
	var (
		api     *apiError
		request *generate.RequestError
		pool    *engine.PoolError
		queue   *engine.QueueError
		agent   *engine.AgentError
		share   *engine.ShareError
		length  *generate.LengthError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &request):
		return &apiError{status: 400, kind: kindInvalid, code: request.Code, param: request.Param,
			message: request.Message}
	case errors.As(err, &length):
		return &apiError{status: 400, kind: kindInvalid, code: length.Code(), param: length.Field,
			message: openai.LengthMessage(length), anthropic: anthropic.LengthMessage(length)}
	case errors.As(err, &pool):
		return &apiError{status: 429, kind: kindRateLimit, code: "pool_exhausted",
			message: err.Error(), retry: max(pool.RetryAfter, time.Second)}
	case errors.As(err, &queue):
		return &apiError{status: 429, kind: kindRateLimit, code: "queue_full",
			message: err.Error(), retry: max(queue.RetryAfter, time.Second)}
	case errors.As(err, &agent):
		return &apiError{status: 429, kind: kindRateLimit, code: "agent_busy",
			message: err.Error(), retry: max(agent.RetryAfter, time.Second)}
	case errors.As(err, &share):
		return &apiError{status: 429, kind: kindRateLimit, code: "share_exhausted",
			message: err.Error(), retry: share.RetryAfter, never: share.RetryAfter == 0}
	case errors.Is(err, engine.ErrNoMemory):
		return &apiError{status: 404, kind: kindInvalid, code: "agent_not_found", param: "agent_id",
			message: err.Error()}
	case errors.Is(err, engine.ErrExists):
		return &apiError{status: 409, kind: kindConflict, code: "agent_exists", param: "agent_id",
			message: err.Error(), never: true}
	case errors.Is(err, engine.ErrTaken):
		return &apiError{status: 409, kind: kindConflict, code: "agent_elsewhere", param: "agent_id",
			message: err.Error() + " at present, until the agent's last turn there is saved",
			retry:   time.Second}
	case errors.Is(err, engine.ErrNoDir):
		return &apiError{status: 400, kind: kindInvalid, code: "agents_not_kept",
			message: "agents are not kept on disk here; " +
				"the server's operator can configure a directory for them"}
	case errors.Is(err, engine.ErrOtherModel):
		return &apiError{status: 409, kind: kindConflict, code: "model_changed",
			message: err.Error(), never: true}
	case errors.Is(err, engine.ErrOtherPrincipal):
		return &apiError{status: 403, kind: kindInvalid, code: "other_principal",
			message: err.Error(), never: true}
	case errors.Is(err, engine.ErrForged):
		return &apiError{status: 403, kind: kindInvalid, code: "not_verified",
			message: err.Error(), never: true}
	case errors.Is(err, engine.ErrCorrupt):
		return &apiError{status: 400, kind: kindInvalid, code: "invalid_memory",
			message: err.Error()}
	case errors.Is(err, engine.ErrDiskFull):
		return &apiError{status: http.StatusInsufficientStorage, kind: kindServer,
			code: "disk_full", message: err.Error()}
	case errors.Is(err, engine.ErrNoRoom):
		return &apiError{status: 413, kind: kindInvalid, code: "request_too_large",
			message: err.Error()}
	case errors.As(err, &tooLong):
		return &apiError{status: 413, kind: kindInvalid, code: "request_too_large",
			message: fmt.Sprintf("the body is larger than %d bytes", tooLong.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &apiError{status: 408, kind: kindInvalid, code: "request_timeout",
			message: "the body did not arrive in time"}
	case errors.As(err, new(loadingError)):
		return &apiError{status: 503, kind: kindServer, code: "loading",
			message: err.Error(), retry: loadingRetry}
	case errors.As(err, new(lostError)):
		return &apiError{status: 503, kind: kindServer, code: "model_lost", message: err.Error()}
	case errors.Is(err, engine.ErrDraining):
		return &apiError{status: 503, kind: kindServer, code: "draining",
			message: "the server is shutting down; retry in 5 s", retry: 5 * time.Second}
	case errors.Is(err, context.Canceled):
		return &apiError{status: statusClientClosed, kind: kindInvalid,
			code: "client_closed_request", message: "the client went away"}
	case errors.Is(err, errPanic):
		return &apiError{status: 500, kind: kindServer, code: "internal_error",
			message: err.Error(), never: true}
	default:
		return &apiError{status: 500, kind: kindServer, code: "internal_error",
			message: err.Error()}
	}
}

// refusals are the codes with which the server turns away valid work: the reasons of
// loadstone_rejects_total.
var refusals = []string{
	"agent_busy", "context_length_exceeded", "draining", "loading", "model_lost", "pool_exhausted",
	"pool_too_small", "queue_full",
	"rate_limit_exceeded", "share_exhausted",
}

// retryAfter returns d in whole seconds, at least 1 and at most 60: the SDKs ignore a longer wait
// and retry at once.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(min(max(int(math.Ceil(d.Seconds())), 1), 60))
}

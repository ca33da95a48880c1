package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"loadstone/server/internal/generate"
)

// readBody reads the JSON body of a request into v.
func readBody(w *response, r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	// limitBody's deadline would cut off a long answer, because the connection is read for its end.
	w.control.SetReadDeadline(time.Time{})
	if err := json.Unmarshal(b, v); err != nil {
		return syntaxError(err)
	}
	return nil
}

// bodyError tells a client that sent too much, or nothing in time, from a client that is gone.
// classify knows the errors of the former.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok ||
		errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("reading the body: %v: %w", err, context.Canceled)
}

// syntaxError says in JSON's words what json.Unmarshal found.
func syntaxError(err error) *generate.RequestError {
	var (
		request *generate.RequestError
		syntax  *json.SyntaxError
		typed   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &request):
		return request
	case errors.As(err, &typed):
		// The path begins with the name of the Go struct that the OpenAI bodies embed; JSON has no
		// such field.
		field := strings.TrimPrefix(typed.Field, "samplingFields.")
		subject := field
		if subject == "" {
			subject = "the body"
		}
		return generate.Invalid(field, "%s: want %s, got %s at byte %d",
			subject, jsonKind(typed.Type.Kind().String()), typed.Value, typed.Offset)
	case errors.As(err, &syntax):
		err = fmt.Errorf("%w at byte %d", err, syntax.Offset)
	}
	return &generate.RequestError{Code: "invalid_json",
		Message: fmt.Sprintf("the body is not JSON: %v", err)}
}

// jsonKind names a Go kind in JSON's words.
func jsonKind(kind string) string {
	switch kind {
	case "int", "int64":
		return "an integer"
	case "float64":
		return "a number"
	case "bool":
		return "a boolean"
	case "slice":
		return "an array"
	case "struct", "map":
		return "an object"
	default:
		return "a " + kind
	}
}

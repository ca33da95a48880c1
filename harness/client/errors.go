package client

import (
	"fmt"
	"time"
)

// An UnreachableError says that a server does not answer.
type UnreachableError struct {
	URL string // of the server
	Err error  // what was tried and failed
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s does not answer: %v", e.URL, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A NotReadyError says that a server answers 503, such as while it loads its model.
type NotReadyError struct {
	URL    string        // of the server
	Reason string        // what the server says
	Waited time.Duration // how long it was waited for
}

func (e *NotReadyError) Error() string {
	if e.Waited == 0 {
		return fmt.Sprintf("%s is not ready: %s", e.URL, e.Reason)
	}
	return fmt.Sprintf("%s is not ready after %v: %s", e.URL, e.Waited, e.Reason)
}

// A NoModelsError says that a server answers, but does not list a model as OpenAI's does.
type NoModelsError struct {
	URL    string // of the server
	Status string // of its answer to GET /v1/models
}

func (e *NoModelsError) Error() string {
	return fmt.Sprintf("%s answers, but lists no model as an OpenAI server does: "+
		"GET /v1/models gave %s", e.URL, e.Status)
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"loadstone/harness/metrics"
)

// maxAnswer bounds what is read of an answer in one piece, in bytes.
const maxAnswer = 64 << 20

// briefTimeout is how long a server may take for a question about itself.
const briefTimeout = 5 * time.Second

// get returns the status and the body of a GET. The error is that no whole response came in time;
// the code is 0 where none began.
func (c *Client) get(ctx context.Context, path string, timeout time.Duration) (
	status string, code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return "", 0, nil, err
	}
	c.authorize(req)
	res, err := c.http.Do(req)
	if err != nil {
		return "", 0, nil, withoutURL(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.Status, res.StatusCode, body, err
}

// Scrape reads the server's metrics. A server without them is not an error: the result is empty.
func (c *Client) Scrape(ctx context.Context) (metrics.Metrics, error) {
	_, code, body, err := c.get(ctx, "/metrics", briefTimeout)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return metrics.Metrics{}, nil
	}
	m, err := metrics.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", c.URL, err)
	}
	return m, nil
}

// Alive tells whether the server accepts a connection and answers it with anything at all. A
// context that ends says nothing of the server, which then counts as alive.
func (c *Client) Alive(ctx context.Context) bool {
	_, code, _, _ := c.get(ctx, "/health/live", briefTimeout)
	return code != 0 || ctx.Err() != nil
}

// Ready tells whether the server takes work: whether its /health/ready answers 200.
func (c *Client) Ready(ctx context.Context) bool {
	_, code, _, _ := c.get(ctx, "/health/ready", briefTimeout)
	return code == http.StatusOK
}

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

// Models lists the models that the server serves, by its names for them, from GET /v1/models. The
// list of some servers is empty. An error is a *UnreachableError, a *NotReadyError or, of a server
// without such a list, a *NoModelsError.
func (c *Client) Models(ctx context.Context) ([]string, error) {
	status, code, body, err := c.get(ctx, "/v1/models", 2*briefTimeout)
	switch {
	case err != nil:
		return nil, &UnreachableError{c.URL, err}
	case code == http.StatusServiceUnavailable:
		var v completion
		reason := status
		if v.parse(body) == nil && v.failure != "" {
			reason = v.failure
		}
		return nil, &NotReadyError{URL: c.URL, Reason: reason}
	}
	var list struct{ Data []struct{ ID string } }
	if code != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return nil, &NoModelsError{c.URL, status}
	}
	models := make([]string, len(list.Data))
	for i, m := range list.Data {
		models[i] = m.ID
	}
	return models, nil
}

// WaitReady waits until the server no longer says that it is not ready, at most as long as
// patience, and returns its models. waiting, unless nil, is called once, with what the server says,
// where there is something to wait for. An error is one of Models, or the context's.
func (c *Client) WaitReady(ctx context.Context, patience time.Duration,
	waiting func(reason string)) ([]string, error) {
	const interval = 200 * time.Millisecond
	for start := time.Now(); ; {
		models, err := c.Models(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		notReady, ok := errors.AsType[*NotReadyError](err)
		switch {
		case !ok:
			return models, err
		case time.Since(start) >= patience:
			notReady.Waited = patience
			return nil, notReady
		case waiting != nil:
			waiting(notReady.Reason)
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}

// FindModel returns the name of the model to ask the server for: the first that it lists, or the
// one that it answers with. It waits for the server as WaitReady does. An error is one of
// WaitReady.
func (c *Client) FindModel(ctx context.Context, patience time.Duration,
	waiting func(reason string)) (string, error) {
	models, err := c.WaitReady(ctx, patience, waiting)
	if err != nil {
		return "", err
	}
	if len(models) > 0 {
		return models[0], nil
	}
	// mlx-lm's server lists the models that it has downloaded, not the one that it serves.
	p := Prompt{Messages: []Message{{Role: "user", Content: "hi"}}, MaxTokens: 1}
	v, err := c.complete(ctx, p)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil || v.model == "":
		return "", &NoModelsError{c.URL, "an empty list"}
	}
	return v.model, nil
}

// complete returns the answer in one piece, details included. It is not on record: it serves to
// find out about the server, not to measure it.
func (c *Client) complete(ctx context.Context, p Prompt) (completion, error) {
	p.NoStream = true
	v := completion{details: true}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	req, err := c.request(ctx, &p)
	if err != nil {
		return v, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return v, withoutURL(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return v, err
	}
	if err := v.parse(text); err != nil {
		return v, err
	}
	if res.StatusCode != http.StatusOK || v.failed {
		return v, fmt.Errorf("%s: %s", res.Status, v.failure)
	}
	return v, nil
}

// Post sends a POST without a body to an address, which need not be the server's: it may be that of
// a program that resets the server. Any status but 2xx is an error.
func (c *Client) Post(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	req.Close = true // the server may be gone after it, and the connection with it
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s gave %s", address, res.Status)
	}
	return nil
}

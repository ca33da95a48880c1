package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Models lists the models that the server serves, by its names for them, from GET /v1/models. The
// list of some servers is empty. An error is a *UnreachableError, a *NotReadyError or, of a server
// without such a list, a *NoModelsError; or a *RedirectError.
func (c *Client) Models(ctx context.Context) ([]string, error) {
	status, code, body, err := c.get(ctx, "/v1/models", 2*briefTimeout)
	var to *RedirectError
	switch {
	case errors.As(err, &to):
		return nil, to
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

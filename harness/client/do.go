package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// A Reply is a response to a request that is no prompt.
type Reply struct {
	Status int
	Body   []byte
}

// Do sends a request that is no prompt, with the client's key and headers, and returns the whole
// response, whatever its status. A body is JSON; it is not sent if it is empty.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (Reply, error) {
	_, code, text, err := c.fetch(ctx, method, path, body, defaultTimeout)
	return Reply{code, text}, err
}

// fetch sends a request that is no prompt, and returns the status and the body of the response. The
// error is that no whole response came in time, or a *RedirectError; the code is 0 where none
// began.
func (c *Client) fetch(ctx context.Context, method, path string, body []byte,
	timeout time.Duration) (
	status string, code int, text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.plainRequest(ctx, method, path, body)
	if err != nil {
		return "", 0, nil, err
	}
	res, err := c.send(c.http, req)
	if err != nil {
		return "", statusOf(err), nil, err
	}
	defer res.Body.Close()
	plain, _, err := decoded(res)
	if err != nil {
		return res.Status, res.StatusCode, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(plain, maxAnswer))
	return res.Status, res.StatusCode, text, err
}

// plainRequest returns a request that is no prompt, with the client's key and headers.
func (c *Client) plainRequest(ctx context.Context, method, path string, body []byte) (
	*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept-Encoding", "identity") // see decoded
	c.authorize(req)
	return req, nil
}

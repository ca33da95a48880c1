package client

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// maxAnswer bounds what is read of an answer in one piece, in bytes.
const maxAnswer = 64 << 20

// briefTimeout is how long a server may take for a question about itself.
const briefTimeout = 5 * time.Second

// get is fetch by GET.
func (c *Client) get(ctx context.Context, path string, timeout time.Duration) (
	status string, code int, body []byte, err error) {
	return c.fetch(ctx, http.MethodGet, path, nil, timeout)
}

// Alive reports whether the server accepts a connection and answers it with anything at all. A
// context that ends says nothing of the server, which then counts as alive.
func (c *Client) Alive(ctx context.Context) bool {
	_, code, _, _ := c.get(ctx, "/health/live", briefTimeout)
	return code != 0 || ctx.Err() != nil
}

// Ready reports whether the server takes work: whether it answers /health/ready with 200, or, where
// it has no such route, /health. A server that has neither is asked for its list of models, which
// it answers with 503 while it loads one.
func (c *Client) Ready(ctx context.Context) bool {
	for _, path := range []string{"/health/ready", "/health"} {
		if _, code, _, _ := c.get(ctx, path, briefTimeout); code != http.StatusNotFound {
			return code == http.StatusOK
		}
	}
	_, code, _, _ := c.get(ctx, "/v1/models", briefTimeout)
	return code != 0 && code != http.StatusServiceUnavailable
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
	res, err := c.send(c.http, req)
	if err != nil {
		return fmt.Errorf("POST %s: %w", address, err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s gave %s", address, res.Status)
	}
	return nil
}

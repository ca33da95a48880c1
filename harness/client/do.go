package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// A Reply is a response to a request that is no prompt.
type Reply struct {
	Status int
	Body   []byte
}

// Do sends a request that is no prompt, with the client's key and headers, and returns the whole
// response, whatever its status. A body is JSON; it is not sent if it is empty.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept-Encoding", "identity") // see decoded
	c.authorize(req)
	res, err := c.send(c.http, req)
	if err != nil {
		return Reply{Status: statusOf(err)}, err
	}
	defer res.Body.Close()
	plain, _, err := decoded(res)
	if err != nil {
		return Reply{Status: res.StatusCode}, err
	}
	text, err := io.ReadAll(io.LimitReader(plain, maxAnswer))
	return Reply{res.StatusCode, text}, err
}

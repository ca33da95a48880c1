package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// complete returns the answer in one piece, details included. It is not on record: it serves to
// find out about the server, not to measure it.
func (c *Client) complete(ctx context.Context, p Prompt) (completion, error) {
	p.NoStream = true
	v := completion{details: true}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	req, _, err := c.request(ctx, &p)
	if err != nil {
		return v, err
	}
	res, err := c.send(c.http, req)
	if err != nil {
		return v, err
	}
	defer res.Body.Close()
	body, _, err := decoded(res)
	if err != nil {
		return v, err
	}
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return v, err
	}
	if err := c.dialectOf(&p).whole(&v, text); err != nil {
		return v, err
	}
	if res.StatusCode != http.StatusOK || v.failed {
		return v, fmt.Errorf("%s: %s", strings.TrimSpace(res.Status), v.failure)
	}
	return v, nil
}

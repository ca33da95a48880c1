package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"loadstone/harness/metrics"
)

// Scrape reads a server's metrics. A server without them is no error: the result is empty and every Value in it unknown.
func (c *Client) Scrape(ctx context.Context) (metrics.Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unwrapURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
		return metrics.Metrics{}, nil
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", c.URL, err)
	}
	return families, nil
}

// Alive tells whether the server accepts a connection and answers it with anything at all. A context that ends says
// nothing of the server, which then counts as alive.
func (c *Client) Alive(ctx context.Context) bool {
	timed, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.status(timed, "/health/live") != 0 || ctx.Err() != nil
}

// status is the status of a GET, or 0 where there was no answer.
func (c *Client) status(ctx context.Context, path string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return 0
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	res.Body.Close()
	return res.StatusCode
}

// Ready asks whether the server takes work.
func (c *Client) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.status(ctx, "/health/ready") == 200
}

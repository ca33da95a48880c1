package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"time"

	"loadstone/harness/metrics"
)

// metricsState is what is known of a server's /metrics.
type metricsState struct {
	mu    sync.Mutex
	works bool   // they could be read once
	why   string // there are none, and what there is instead; "" it is not known to be so
}

// metricsTimeout is how long a first scrape may take. A server that has metrics makes them in a few
// milliseconds, and is idle then.
const metricsTimeout = 3 * time.Second

// Scrape reads the server's metrics. A server without them is not an error: the result is empty.
// Whether it has some, the first scrape that is answered decides: a page, JSON, or no answer in 3 s
// are none, as NoMetrics tells, and are not asked for again. A scrape that fails later is an error,
// and says nothing of the next.
func (c *Client) Scrape(ctx context.Context) (metrics.Metrics, error) {
	c.metrics.mu.Lock()
	works, none := c.metrics.works, c.metrics.why != ""
	c.metrics.mu.Unlock()
	if none {
		return metrics.Metrics{}, nil
	}
	timeout := briefTimeout
	if !works {
		timeout = metricsTimeout
	}
	m, why, err := c.scrape(ctx, timeout)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !works && ctx.Err() == nil:
		return c.noMetrics(fmt.Sprintf("does not answer within %v", timeout))
	case (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && !works:
		return c.noMetrics("breaks the connection")
	case err != nil:
		return nil, err
	case why != "" && works:
		return nil, fmt.Errorf("%s/metrics %s", c.URL, why)
	case why != "":
		return c.noMetrics(why)
	}
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	c.metrics.works = c.metrics.works || len(m) > 0
	return m, nil
}

// scrape reads metrics once; why says what there is in place of them.
func (c *Client) scrape(ctx context.Context, timeout time.Duration) (
	m metrics.Metrics, why string, err error) {
	_, code, body, err := c.get(ctx, "/metrics", timeout)
	var to *RedirectError
	switch {
	case errors.As(err, &to):
		return nil, "is a redirect to " + to.To, nil
	case err != nil:
		return nil, "", err
	case code != http.StatusOK:
		return metrics.Metrics{}, "", nil
	}
	switch text := bytes.TrimSpace(body); {
	case bytes.HasPrefix(text, []byte("<")):
		return nil, "is a page", nil
	case json.Valid(text):
		return nil, "is JSON, not Prometheus' text", nil
	}
	if m, err = metrics.Parse(bytes.NewReader(body)); err != nil {
		return nil, fmt.Sprintf("is not Prometheus' text: %v", err), nil
	}
	return m, "", nil
}

// noMetrics notes that the server has none.
func (c *Client) noMetrics(why string) (metrics.Metrics, error) {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	c.metrics.why = why
	return metrics.Metrics{}, nil
}

// SkipMetrics tells the client what NoMetrics of an earlier client of the same server said, so that
// it need not find out again; "" nothing.
func (c *Client) SkipMetrics(why string) {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	c.metrics.why = why
}

// NoMetrics says what the server has at /metrics in place of metrics, such as "is a page"; "" where
// it has metrics, or answers that it has none, or was not asked yet.
func (c *Client) NoMetrics() string {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	return c.metrics.why
}

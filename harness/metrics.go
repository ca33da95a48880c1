package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics is one scrape of a server's /metrics.
type Metrics map[string]*dto.MetricFamily

// Scrape reads a server's metrics. A server without them is no error: the result is empty and every Value in it unknown.
func (c *Client) Scrape(ctx context.Context) (Metrics, error) {
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
		return Metrics{}, nil
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", c.URL, err)
	}
	return families, nil
}

// Value is the sum of a counter's or gauge's series whose labels include the given pairs of name and value, or -1 where
// there is none.
func (m Metrics) Value(name string, labels ...string) float64 {
	sum, found := 0.0, false
	for _, series := range m[name].GetMetric() {
		if !labelled(series, labels) {
			continue
		}
		found = true
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue() + series.GetUntyped().GetValue()
	}
	if !found {
		return -1
	}
	return sum
}

func labelled(series *dto.Metric, want []string) bool {
	has := map[string]string{}
	for _, l := range series.GetLabel() {
		has[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(want); i += 2 {
		if has[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

// What the server calls its KV pool.
const (
	poolBlocks      = "loadstone_pool_blocks"
	poolBlockTokens = "loadstone_pool_block_tokens"
	poolLocals      = "loadstone_pool_locals" // what sliding layers keep of blocks; none where there are no such layers
)

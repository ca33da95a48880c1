package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// A collector is sent spans as OTLP/HTTP has them in JSON (OTLP 1.11, "JSON Protobuf Encoding").
// The SDK's own exporter sends the same as protocol buffers, and brings gRPC: the program grew by
// 7.3 MB with it, and by 1.7 with this one.
type collector struct {
	url    string
	client http.Client

	mu     sync.Mutex
	down   bool  // it did not take the last spans
	failed error // why it did not take those that it did not
	lost   int   // how many those are
}

// tries is how often a batch is sent where the collector is busy or not there.
const tries = 3

// ExportSpans sends spans of one resource. That they cannot be sent is logged once, until they can.
func (c *collector) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.send(ctx, spans)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.lost += len(spans); !c.down {
			slog.Warn("spans cannot be exported, and are lost", "error", err)
		}
	}
	if c.down = err != nil; c.down {
		c.failed = err
	}
	return nil // the SDK would log it each time
}

// err says how many spans were lost, and why the last of them; nil: none.
func (c *collector) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost == 0 {
		return nil
	}
	return fmt.Errorf("%d spans were lost: %w", c.lost, c.failed)
}

func (c *collector) send(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(requestOf(spans))
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		again, err := c.post(ctx, body)
		if err == nil || !again || try == tries {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * 300 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// post sends a request once. again says whether it makes sense to send it once more.
func (c *collector) post(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(r)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	switch res.StatusCode {
	case http.StatusOK:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("%s answered %s: %q", c.url, res.Status, text)
}

// Shutdown ends the connections.
func (c *collector) Shutdown(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// These are the messages of OTLP of which spans make use, by their names in JSON.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resourceOf   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resourceOf struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope     `json:"scope"`
		Spans []oneSpan `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	oneSpan struct {
		TraceID    string     `json:"traceId"` // hexadecimal, as all ids
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"` // a number, as all of 64 bits in a string
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes"`
		Status     status     `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"` // 2: an error
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

func requestOf(spans []sdk.ReadOnlySpan) request {
	var own []oneSpan
	for _, s := range spans {
		one := oneSpan{TraceID: s.SpanContext().TraceID().String(),
			SpanID: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
			Start:      strconv.FormatInt(s.StartTime().UnixNano(), 10),
			End:        strconv.FormatInt(s.EndTime().UnixNano(), 10),
			Attributes: keyValues(s.Attributes())}
		if s.Parent().SpanID().IsValid() {
			one.ParentID = s.Parent().SpanID().String()
		}
		if s.Status().Code == codes.Error {
			one.Status = status{2, s.Status().Description}
		}
		own = append(own, one)
	}
	return request{[]resourceSpans{{resourceOf{keyValues(spans[0].Resource().Attributes())},
		[]scopeSpans{{scope{"loadstone"}, own}}}}}
}

// keyValues are attributes: texts, numbers and truth values, which are all that spans of ours have.
func keyValues(all []attribute.KeyValue) []keyValue {
	var out []keyValue
	for _, a := range all {
		var v map[string]any
		switch a.Value.Type() {
		case attribute.INT64:
			v = map[string]any{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		case attribute.FLOAT64:
			v = map[string]any{"doubleValue": a.Value.AsFloat64()}
		case attribute.BOOL:
			v = map[string]any{"boolValue": a.Value.AsBool()}
		default:
			v = map[string]any{"stringValue": a.Value.String()}
		}
		out = append(out, keyValue{string(a.Key), v})
	}
	return out
}

// Package otlp exports spans to an OpenTelemetry collector by OpenTelemetry's Go SDK. It is for
// programs alone: packages server and harness know no exporter.
package otlp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"loadstone/internal/build"
	"loadstone/server"
)

// An Exporter sends spans. Their ids and times are given; the SDK keeps neither a clock nor ids.
type Exporter struct {
	to       *collector
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open begins to export to the collector at an address, in the name of a service. Where spans come
// faster than the collector takes them, Add waits if canWait is set; otherwise they are dropped.
func Open(address, service string, canWait bool) (*Exporter, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a collector; want one like "+
			"http://127.0.0.1:4318", address)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	to := &collector{url: u.String()}
	var options []sdk.BatchSpanProcessorOption
	if canWait {
		options = append(options, sdk.WithBlocking())
	}
	of := resource.NewSchemaless(attribute.String("service.name", service),
		attribute.String("service.version", build.Read().Version))
	p := sdk.NewTracerProvider(sdk.WithBatcher(to, options...), sdk.WithIDGenerator(given{}),
		sdk.WithSampler(sdk.AlwaysSample()), sdk.WithResource(of))
	return &Exporter{to, p, p.Tracer("loadstone")}, nil
}

// End sends what is left. It fails where a span was lost, at any time.
func (e *Exporter) End(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return errors.Join(e.provider.Shutdown(ctx), e.to.err())
}

// idsKey is where a context has the span that is about to begin.
type idsKey struct{}

// given has the ids that a context has.
type given struct{}

func (g given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	s := ctx.Value(idsKey{}).(*Span)
	return s.Trace, s.ID
}

func (g given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.Value(idsKey{}).(*Span).ID
}

// A Span is what is exported of one.
type Span struct {
	Trace      trace.TraceID
	ID, Parent trace.SpanID // a zero Parent is none
	Name       string
	Kind       trace.SpanKind
	Start, End time.Time
	Attributes []attribute.KeyValue
	Failed     string // why; "" it did not fail
}

// Add sends a span, or puts it to those that are sent next.
func (e *Exporter) Add(s *Span) {
	ctx := context.WithValue(context.Background(), idsKey{}, s)
	if s.Parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.Trace, SpanID: s.Parent, TraceFlags: trace.FlagsSampled, Remote: true}))
	}
	_, one := e.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Start), trace.WithSpanKind(s.Kind),
		trace.WithAttributes(s.Attributes...))
	if s.Failed != "" {
		one.SetStatus(codes.Error, s.Failed)
	}
	one.End(trace.WithTimestamp(s.End))
}

// ServerSpans exports the spans of a server: see service.Program.
func ServerSpans(ctx context.Context, address string) (func(server.Span), func(), error) {
	e, err := Open(address, "loadstone-server", false)
	if err != nil {
		return nil, nil, err
	}
	return e.addServer, func() { e.End(context.WithoutCancel(ctx)) }, nil
}

func (e *Exporter) addServer(s server.Span) {
	one := &Span{Name: s.Method + " " + s.Route, Kind: trace.SpanKindServer, Start: s.Start,
		End: s.Start.Add(s.Duration)}
	rand.Read(one.ID[:])
	if s.Trace.TraceID != "" {
		hex.Decode(one.Trace[:], []byte(s.Trace.TraceID))
		hex.Decode(one.Parent[:], []byte(s.Trace.Parent))
	} else {
		rand.Read(one.Trace[:])
	}
	one.Attributes = []attribute.KeyValue{
		attribute.String("http.request.method", s.Method), attribute.String("http.route", s.Route),
		attribute.String("url.path", s.Path), attribute.Int("http.response.status_code", s.Status),
		attribute.String("loadstone.request", s.Request)}
	if s.Principal != "" {
		one.Attributes = append(one.Attributes, attribute.String("loadstone.principal", s.Principal))
	}
	if s.Model != "" {
		one.Attributes = append(one.Attributes,
			attribute.String("gen_ai.operation.name", "chat"),
			attribute.String("gen_ai.request.model", s.Model),
			attribute.String("gen_ai.agent.id", s.Agent),
			attribute.Int("gen_ai.usage.input_tokens", s.Prompt),
			attribute.Int("gen_ai.usage.cache_read.input_tokens", s.Cached),
			attribute.Int("gen_ai.usage.output_tokens", s.Outputs),
			Milliseconds("loadstone.queue_ms", s.Queue),
			Milliseconds("loadstone.prefill_ms", s.Prefill))
	}
	if s.Status >= 500 {
		one.Failed = fmt.Sprintf("status %d", s.Status)
	}
	e.Add(one)
}

// Milliseconds is an attribute that holds a time in milliseconds.
func Milliseconds(key string, d time.Duration) attribute.KeyValue {
	return attribute.Float64(key, float64(d)/float64(time.Millisecond))
}

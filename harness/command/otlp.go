package command

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"loadstone/harness/record"
	"loadstone/internal/otlp"
)

// exportSpans exports the spans of a load: one for each request that its records are of, and above
// those of a job the job's. epoch is when the clock of the records was at 0. It returns how many
// spans the collector was sent.
func exportSpans(ctx context.Context, address string, epoch time.Time,
	records []record.Record) (n int, err error) {
	e, err := otlp.Open(address, "loadstone", true)
	if err != nil {
		return 0, err
	}
	jobs := map[trace.TraceID]*otlp.Span{}
	var order []trace.TraceID
	for i := range records {
		r := &records[i]
		if r.Intent == record.IntentAgain {
			continue
		}
		one := clientSpan(r, epoch)
		e.Add(one)
		n++
		job, known := jobs[one.Trace]
		if !known {
			job = &otlp.Span{Trace: one.Trace, ID: one.Parent, Name: "job " + r.Scenario,
				Kind: trace.SpanKindInternal, Start: one.Start,
				Attributes: []attribute.KeyValue{attribute.String("gen_ai.agent.id", r.Job()),
					attribute.String("loadstone.scenario", r.Scenario), attribute.Int("loadstone.run", r.Run)}}
			jobs[one.Trace], order = job, append(order, one.Trace)
		}
		if one.Start.Before(job.Start) {
			job.Start = one.Start
		}
		if one.End.After(job.End) {
			job.End = one.End
		}
	}
	for _, id := range order {
		e.Add(jobs[id])
		n++
	}
	return n, e.End(ctx)
}

// clientSpan is that of a request: from when it was due, as latencies count, to its end.
func clientSpan(r *record.Record, epoch time.Time) *otlp.Span {
	t := r.Trace()
	one := &otlp.Span{Trace: t.ID, ID: t.Span, Parent: t.Job, Name: "call " + r.Scenario,
		Kind: trace.SpanKindClient, Start: epoch.Add(r.Due), End: epoch.Add(r.End)}
	one.Attributes = []attribute.KeyValue{
		attribute.String("gen_ai.agent.id", r.Agent), attribute.Int("loadstone.turn", r.Turn),
		attribute.String("loadstone.outcome", string(r.Outcome)),
		attribute.Int("http.response.status_code", r.Status),
		otlp.Milliseconds("loadstone.lag_ms", r.Sent-r.Due)}
	for key, v := range map[string]int{"gen_ai.usage.input_tokens": r.PromptTokens,
		"gen_ai.usage.cache_read.input_tokens": r.CachedTokens,
		"gen_ai.usage.output_tokens":           r.OutputTokens} {
		if v >= 0 {
			one.Attributes = append(one.Attributes, attribute.Int(key, v))
		}
	}
	if ttft := r.TTFT(); ttft >= 0 {
		one.Attributes = append(one.Attributes, otlp.Milliseconds("loadstone.ttft_ms", ttft))
	}
	switch r.Outcome {
	case record.OK, record.Cancelled:
	default:
		one.Failed = string(r.Outcome)
	}
	return one
}

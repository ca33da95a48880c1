package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
)

// refusal gives the record of a response other than 200 its outcome. A 429, or a 503 with
// Retry-After, is a clean refusal; anything else is a failure.
func refusal(res *http.Response, r *record.Record) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	r.Outcome = record.Failed
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		r.RetryAfter = time.Duration(s) * time.Second
	}
	if res.StatusCode == http.StatusTooManyRequests ||
		res.StatusCode == http.StatusServiceUnavailable && r.RetryAfter > 0 {
		r.Outcome = record.Rejected
	}
	message := strings.TrimSpace(string(text))
	var v completion
	if v.parse(text) == nil && v.failed {
		message = v.failure
	}
	return fmt.Errorf("%s: %s", res.Status, message)
}

// headTimes reads the server's timings from the head of a response.
func headTimes(t *record.ServerTiming, h http.Header) {
	t.FirstByte = milliseconds(h.Get("X-Request-Latency-Ms"))
	serverTiming(t, h.Get("Server-Timing"))
}

// trailerTimes reads those that follow a stream.
func trailerTimes(t *record.ServerTiming, h http.Header) {
	t.Total = milliseconds(h.Get("X-Total-Latency-Ms"))
	serverTiming(t, h.Get("Server-Timing"))
}

// serverTiming reads a header such as "queue;dur=1.5, prefill;dur=8" (W3C Server Timing, in ms).
func serverTiming(t *record.ServerTiming, header string) {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		dur, ok := strings.CutPrefix(strings.TrimSpace(params), "dur=")
		if !ok {
			continue
		}
		switch name {
		case "queue":
			t.Queue = milliseconds(dur)
		case "prefill":
			t.Prefill = milliseconds(dur)
		case "decode":
			t.Decode = milliseconds(dur)
		}
	}
}

// milliseconds reads a number of milliseconds, which is -1 where there is none.
func milliseconds(s string) time.Duration {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1e12) {
		return -1
	}
	return time.Duration(v * float64(time.Millisecond))
}

// withoutURL drops the URL that net/http puts in front of every error: the reader of a report knows
// it.
func withoutURL(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

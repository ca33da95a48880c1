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

// refusal classifies an answer other than 200. A 429, or a 503 that says when to come back, is the server saying no
// cleanly; anything else is a failure.
func refusal(res *http.Response, r *record.Record) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	r.Outcome = record.Failed
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		r.RetryAfter = time.Duration(s) * time.Second
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable && r.RetryAfter > 0 {
		r.Outcome = record.Rejected
	}
	message := strings.TrimSpace(string(text))
	var v completion
	if v.parse(text) == nil && v.failed {
		message = v.failure
	}
	return fmt.Errorf("%s: %s", res.Status, message)
}

// headTimes takes the server's timings from the head of a response, trailerTimes those that follow a stream.
func headTimes(t *record.ServerTiming, h http.Header) {
	t.FirstByte = milliseconds(h.Get("X-Request-Latency-Ms"))
	parts(t, h.Get("Server-Timing"))
}

func trailerTimes(t *record.ServerTiming, h http.Header) {
	t.Total = milliseconds(h.Get("X-Total-Latency-Ms"))
	parts(t, h.Get("Server-Timing"))
}

func parts(t *record.ServerTiming, header string) {
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

func milliseconds(s string) time.Duration {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1e12) {
		return -1
	}
	return time.Duration(v * float64(time.Millisecond))
}

// unwrapURL drops the URL that net/http puts in front of every error and that the reader of a report knows.
func unwrapURL(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

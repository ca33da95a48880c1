package client

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
)

// maxWait is the longest Retry-After that a client obeys. A server may ask for a day, and a
// measurement that sits still for so long looks like one that hangs. For one that asks for more,
// the client waits shortWait. The clients of OpenAI and Anthropic hold to the same minute, and go
// by their own time, from half a second on, beyond it.
const maxWait, shortWait = time.Minute, time.Second

// refusal gives the record of a response other than 200 its outcome. A 429, or a 503 or 529 with
// Retry-After, is a clean refusal; anything else is a failure. (529 is what Anthropic and some
// proxies have for an overloaded server.)
func (c *Client) refusal(res *http.Response, body io.Reader, p *Prompt, r *record.Record) error {
	text, _ := io.ReadAll(io.LimitReader(body, 64<<10))
	r.Outcome = record.Failed
	wait, says := retryAfter(res.Header, r)
	r.RetryAfter = wait
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		r.Outcome = record.Rejected
	case http.StatusServiceUnavailable, 529:
		if says {
			r.Outcome = record.Rejected
		}
	}
	c.leakInError(r, p.Canary, string(text))
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte(byteOrderMark)))
	said := string(text)
	var v completion
	switch {
	case v.parse(text) == nil && v.failed:
		said = v.failure
	case bytes.HasPrefix(text, []byte("[")):
		said = failureText(text)
	}
	return errors.New(strings.TrimSuffix(strings.TrimSpace(res.Status)+": "+said, ": "))
}

// retryAfter is how long a response asks its client to wait, as far as the client does, and whether
// it says so: in seconds, of which 0 is now, or as a date of HTTP, which may be past (RFC 9110,
// 10.2.3). Servers write decimals, units and other forms of dates as well, and a proxy may join the
// value of two servers by a comma. A date is held against the server's own clock where it tells it.
func retryAfter(h http.Header, r *record.Record) (wait time.Duration, says bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	// OpenAI's own servers say it more exactly beside that.
	if exact, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		text = strconv.FormatFloat(exact/1000, 'f', -1, 64)
	}
	if text == "" {
		return 0, false
	}
	seconds, err := secondsOf(text, h.Get("Date"))
	if err != nil {
		r.Note(record.NoteNoWait, excerpt([]byte(text)))
		return 0, false
	}
	if !(seconds >= 0) { // NaN as well
		r.Note(record.NoteNoWait, excerpt([]byte(text)))
		return 0, false
	}
	if seconds > maxWait.Seconds() {
		about := fmt.Sprintf("%v in place of %s", shortWait, excerpt([]byte(text)))
		r.Note(record.NoteWait, about)
		return shortWait, true
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// dateForms are those in which servers write dates beside HTTP's own.
var dateForms = []string{time.RFC1123, time.RFC1123Z, time.RFC3339}

// secondsOf is how long a Retry-After asks to wait, by a clock that shows the given date; without
// one, by the client's own.
func secondsOf(text, date string) (float64, error) {
	first, _, _ := strings.Cut(text, ",")
	first = strings.TrimSpace(first)
	if seconds, err := strconv.ParseFloat(first, 64); err == nil {
		return seconds, nil
	}
	if wait, err := time.ParseDuration(first); err == nil {
		return wait.Seconds(), nil
	}
	at, err := http.ParseTime(text)
	for _, form := range dateForms {
		if err != nil {
			at, err = time.Parse(form, text)
		}
	}
	if err != nil {
		return 0, err
	}
	now, err := http.ParseTime(date)
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now).Seconds()), nil
}

// decoded is the body of a response as it was before it was encoded, with notes of that. No request
// accepts an encoding, since decoding is time that the client would take from the answer's; a
// server may encode all the same.
func decoded(res *http.Response) (body io.Reader, note string, err error) {
	body = res.Body
	if len(res.Header["Content-Encoding"]) == 0 {
		return body, "", nil
	}
	header := strings.ToLower(strings.Join(res.Header.Values("Content-Encoding"), ","))
	encodings := strings.Split(header, ",")
	for _, encoding := range slices.Backward(encodings) { // the last was applied last
		encoding = strings.TrimSpace(encoding)
		switch encoding {
		case "", "identity":
			continue
		case "gzip", "x-gzip":
			body, err = gzip.NewReader(body)
		case "deflate":
			body, err = inflate(body)
		default:
			return nil, "", fmt.Errorf("the answer is encoded as %s, which this client does not read, "+
				"and no request accepts", excerpt([]byte(encoding)))
		}
		if err != nil {
			return nil, "", fmt.Errorf("the answer is called %s and is not: %w", encoding, err)
		}
		note = strings.TrimPrefix(note+", "+encoding, ", ")
	}
	return body, note, nil
}

// inflate decodes deflate, which is zlib's format (RFC 9110, 8.4.1.2); some servers send what is
// within it alone.
func inflate(body io.Reader) (io.Reader, error) {
	b := bufio.NewReader(body)
	head, err := b.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// beginsStream reports whether a body begins as server-sent events do. Some servers send them under
// another media type.
func beginsStream(body *bufio.Reader) bool {
	body.Peek(1) // waits for the first bytes
	head, _ := body.Peek(min(body.Buffered(), 16))
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), "\r\n")
	return slices.ContainsFunc([]string{"data:", "event:", "id:", "retry:", ":"},
		func(field string) bool {
			return bytes.HasPrefix(head, []byte(field))
		})
}

// isEventStream reports whether a Content-Type is that of server-sent events, in any case and with
// any parameters.
func isEventStream(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
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
	if s == "" { // of most servers; what ParseFloat says of it takes memory
		return -1
	}
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

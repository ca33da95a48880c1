// Package client asks one server of models, in any API of OpenAI's or Anthropic's, and times it. It
// knows the wire, and keeps its own count of what passed over it.
package client

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Client asks one server and times it. It is safe for concurrent use. Its
// fields are set before the first request, and changed only while none is in flight, such as after
// the server was restarted at another address.
type Client struct {
	URL     string        // base, such as http://127.0.0.1:8080, without a slash at the end
	Model   string        // as the server calls it; "" lets the server decide
	API     API           // in which it is asked; "" is Chat
	Forms   []API         // in which what was recorded in them is asked, instead of API
	Key     string        // sent as a bearer token unless ""; with Messages as X-Api-Key as well
	Headers []load.Header // sent with every request
	Body    load.Body     // how the bodies of requests differ from the usual
	Timeout time.Duration // of one request; 0: two minutes
	// Traced says that the requests' spans are recorded: a server that exports spans then exports
	// those of all requests. Otherwise it decides, and a load that is traced whole is another load.
	Traced bool

	sockets bool
	limited atomic.Pointer[LocalError]
	metrics metricsState

	http  *http.Client
	slow  *http.Client        // for answers that are read slowly
	sleep func(time.Duration) // for times shorter than a timer can wait; nil where time is not real
	start time.Time
	clock func() time.Duration // in place of the time since start, of an answer that was recorded

	ledger       ledger
	secrets      secrets
	fingerprints fingerprints
}

// NoTimeout is the Timeout of a client that waits for an answer as long as it takes.
const NoTimeout time.Duration = math.MaxInt64

// defaultTimeout is that of a client whose Timeout is 0.
const defaultTimeout = 2 * time.Minute

// New makes a client whose records count from now. It keeps every connection it opens, however many
// requests are in flight: the default transport's two idle connections a host would put connection
// set-up into the latencies. It uses no proxy and follows no redirect.
func New(url string) *Client {
	return NewTLS(url, nil)
}

// NewWithTransport makes a client that uses a transport of the caller's, such as a network in
// memory.
func NewWithTransport(url string, t http.RoundTripper) *Client {
	c := &http.Client{Transport: t, CheckRedirect: stay}
	return &Client{URL: strings.TrimRight(url, "/"), http: c, slow: c, start: time.Now()}
}

// Since is the time since the client was made: the clock of its records.
func (c *Client) Since() time.Duration {
	if c.clock != nil {
		return c.clock()
	}
	return time.Since(c.start)
}

// Epoch is when the client's clock was at 0.
func (c *Client) Epoch() time.Time { return c.start }

// Await waits until a time of the client's clock, as exactly as the machine can. It is false when
// the context ended first. It is meant for the one goroutine that sends what is due: how late it
// wakes is part of every latency.
func (c *Client) Await(ctx context.Context, until time.Duration) bool {
	wait := until - c.Since()
	if c.sleep != nil {
		wait -= timerError
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	for left := until - c.Since(); c.sleep != nil && left > 0; left = until - c.Since() {
		c.sleep(left) // a signal may cut it short
	}
	return ctx.Err() == nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.slow.CloseIdleConnections()
}

// Ask sends a prompt that was due at the given time of the client's clock, waits for the answer,
// and returns the record of both. It always returns one: whatever goes wrong is the record's
// Outcome.
//
// A stamp is taken before the bytes that it is of are parsed. Sent is when Ask begins: waiting for
// a connection and writing the request is the client's and the network's share, and stays in the
// latency.
func (c *Client) Ask(ctx context.Context, due time.Duration, p Prompt) record.Record {
	r := record.Unsent(p.Place)
	if p.Fields != nil && cmp.Or(p.Form, Chat) == c.dialectOf(&p).api {
		p.NoStream = !p.streams()
	}
	r.Schema = p.Schema != nil
	r.Canary, r.Intent, r.Slow, r.MaxTokens = p.Canary, p.plan(), p.ReadRate > 0, p.MaxTokens
	if c.Body.Changes(c.dialectOf(&p).limit) {
		r.MaxTokens = 0 // the server was told something else, or nothing
	}
	r.Due, r.Sent = due, c.Since()
	limit, atLimit := c.limit(&p)
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.secrets.add(p.Canary)
	c.ledger.change(r.Sent, +1)
	asked := make(chan record.Digest, 1)
	go func() { asked <- p.Digest() }() // beside the request, of which no time is taken
	err := c.exchange(timed, &p, &r)
	r.End = c.Since()
	c.ledger.change(r.End, -1)
	r.AskedDigest = <-asked
	r.Seal()
	c.leak(&r, p.Canary)
	if err != nil {
		c.leakInError(&r, p.Canary, err.Error())
	}
	switch {
	case err == nil || r.Stopped(p.Stop):
		return r
	case ctx.Err() != nil:
		r.Outcome = record.Cancelled
	case timed.Err() != nil:
		r.Outcome = atLimit
		err = fmt.Errorf("no end after %v", limit)
	case r.Outcome != "": // exchange found out more than that it failed
	case r.Status == 0:
		r.Outcome = record.Refused
	default:
		r.Outcome = record.Truncated
	}
	if r.Outcome == record.Empty && r.Finish == "stop" && len(p.Stop) > 0 {
		err = fmt.Errorf("%w; one of the load's stop strings may have come first", err)
	}
	r.Error = message(err.Error())
	return r
}

// limit is how long a request may take, and its outcome when it takes longer.
func (c *Client) limit(p *Prompt) (time.Duration, record.Outcome) {
	limit := c.Timeout
	if p.Timeout > 0 {
		limit = p.Timeout
	}
	if limit == 0 {
		limit = defaultTimeout
	}
	if p.CancelAfter > 0 && p.CancelAfter < limit {
		return p.CancelAfter, record.Cancelled
	}
	return limit, record.Timeout
}

// exchange sends one request and reads the response into r. A nil error means that r has its
// outcome.
func (c *Client) exchange(ctx context.Context, p *Prompt, r *record.Record) (err error) {
	// Atomic because the transport calls back from a goroutine of its own, even after Do has given
	// up.
	var first, connections atomic.Int64
	first.Store(-1)
	req, out, err := c.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { connections.Add(1) },
		GotFirstResponseByte: func() { first.Store(int64(c.Since())) },
	}), p)
	if err != nil {
		r.Outcome = record.Cancelled // nothing was sent
		return err
	}
	defer func() {
		if err == nil && out != nil {
			out.done()
		}
	}()
	transport := c.http
	if p.ReadRate > 0 {
		transport = c.slow
	}
	res, err := c.send(transport, req)
	r.FirstByte, r.Resent = time.Duration(first.Load()), max(0, int(connections.Load())-1)
	if err != nil {
		r.Status, r.Outcome = statusOf(err), outcomeOf(err)
		return err
	}
	defer res.Body.Close()
	return c.answer(ctx, res, p, r)
}

// answer reads a response into r. A nil error means that r has its outcome.
func (c *Client) answer(ctx context.Context, res *http.Response, p *Prompt,
	r *record.Record) error {
	r.Status = res.StatusCode
	c.leakInStatus(r, p.Canary, res.Status)
	headTimes(&r.Server, res.Header)
	c.leakInHeader(r, p.Canary, res.Header)
	body, encoding, err := decoded(res)
	if encoding != "" {
		r.Note(record.NoteEncoded, encoding)
	}
	if res.StatusCode != http.StatusOK {
		if err != nil {
			body = strings.NewReader("")
		}
		return c.refusal(res, body, p, r)
	}
	if err != nil {
		r.Outcome = record.Failed
		return err
	}
	if p.ReadRate > 0 {
		body = &throttled{ctx, body, p.ReadRate}
	}
	contentType := res.Header.Get("Content-Type")
	isStream := isEventStream(contentType)
	if !isStream && !p.NoStream {
		b := bufio.NewReader(body)
		if isStream, body = beginsStream(b), b; isStream {
			r.Note(record.NoteType, excerpt([]byte(contentType)))
		}
	}
	if isStream {
		err = c.stream(body, p, r)
		trailerTimes(&r.Server, res.Trailer)
		c.leakInHeader(r, p.Canary, res.Trailer)
		return err
	}
	r.Server.Total = r.Server.FirstByte
	return c.whole(body, contentType, p, r)
}

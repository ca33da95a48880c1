package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A Prompt is what to ask and how.
type Prompt struct {
	Agent       string // sent as X-Agent-ID; "" none
	Messages    []Message
	MaxTokens   int
	Temperature float64 // 0: greedy, which makes answers comparable
	Seed        uint64
	Stop        []string
	Canary      string // the secret of the Conversation in the messages, noted in the record; not sent by itself
	NoStream    bool   // ask for one JSON answer instead of a stream
	Logprobs    bool   // ask for the log-probabilities of the two likeliest tokens at each place
	Tools       []json.RawMessage

	// What the load does to the request on purpose. A request that ends before is not touched by it.
	CancelAfter  time.Duration // takes it back so long after it was sent; 0 does not
	CancelPieces int           // takes it back when so many pieces of the answer have come; 0 does not
	ReadRate     int           // reads the response at no more than so many bytes a second; 0 as fast as it comes
}

// Client sends chat requests to one server and times them. It is safe for concurrent use.
type Client struct {
	URL     string        // base, such as http://127.0.0.1:8080, without a slash at the end
	Model   string        // as the server calls it; "" lets the server decide
	Key     string        // sent as a bearer token unless ""
	Timeout time.Duration // of one request; 0: two minutes

	http  *http.Client
	slow  *http.Client        // for answers that are read slowly
	nap   func(time.Duration) // sleeps for less than a timer can; nil where time is not real
	start time.Time

	ledger ledger
}

// NewClient makes a client whose records count from now. It keeps every connection it opens, however many requests are in
// flight: the default transport's two idle connections a host would put connection set-up into the latencies.
func NewClient(url string) *Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 0, 4096, 0
	t.DisableCompression = true
	// HTTP/2 would put all requests on one connection, with the server's limit of streams and its flow control on top.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	c := newClient(url, t)
	c.slow = &http.Client{Transport: slowTransport(t)}
	c.nap = nap
	return c
}

func newClient(url string, t http.RoundTripper) *Client {
	c := &http.Client{Transport: t}
	return &Client{URL: strings.TrimRight(url, "/"), http: c, slow: c, start: time.Now()}
}

// Since is the time since the client was made, the clock of its records.
func (c *Client) Since() time.Duration { return time.Since(c.start) }

// await waits until a time of the client's clock, as exactly as the machine can, and tells whether the context lasted as long.
// It is for the one goroutine that sends what is due: how late it wakes is in every latency.
func (c *Client) await(ctx context.Context, until time.Duration) bool {
	wait := until - c.Since()
	if c.nap != nil {
		wait -= coarse
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	for left := until - c.Since(); c.nap != nil && left > 0; left = until - c.Since() {
		c.nap(left) // a signal may cut it short
	}
	return ctx.Err() == nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.slow.CloseIdleConnections()
}

// Ask sends a prompt that was due at the given time of the client's clock and returns its record. It always returns one:
// whatever goes wrong is the record's Outcome.
//
// Stamps are taken before the bytes they are of are parsed. Sent is when Ask begins: waiting for a connection and writing
// the request is the client's and the network's share, and stays in the latency.
func (c *Client) Ask(ctx context.Context, due time.Duration, p Prompt) Record {
	r := Record{Agent: p.Agent, Canary: p.Canary, Due: due, Sent: c.Since(), FirstByte: -1, FirstContent: -1,
		PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, Server: ServerTiming{-1, -1, -1, -1, -1},
		Plan: p.plan(), Slow: p.ReadRate > 0}
	limit, atLimit := c.Timeout, Timeout
	if limit == 0 {
		limit = 2 * time.Minute
	}
	if p.CancelAfter > 0 && p.CancelAfter < limit {
		limit, atLimit = p.CancelAfter, Cancelled
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.ledger.change(r.Sent, +1)
	err := c.exchange(timed, p, &r)
	r.End = c.Since()
	c.ledger.change(r.End, -1)
	switch {
	case err == nil:
		return r
	case ctx.Err() != nil:
		r.Outcome = Cancelled
	case timed.Err() != nil:
		r.Outcome = atLimit
		err = fmt.Errorf("no end after %v", limit)
	case r.Outcome != "": // exchange knows better
	case r.Status == 0:
		r.Outcome = Refused
	default:
		r.Outcome = Truncated
	}
	r.Error = err.Error()
	return r
}

// exchange does one request. A nil error means that r has its outcome.
func (c *Client) exchange(ctx context.Context, p Prompt, r *Record) error {
	// Atomic because the transport calls back from a goroutine of its own, even after Do has given up.
	var first atomic.Int64
	first.Store(-1)
	req, err := c.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first.Store(int64(c.Since())) },
	}), p)
	if err != nil {
		return err
	}
	transport := c.http
	if p.ReadRate > 0 {
		transport = c.slow
	}
	res, err := transport.Do(req)
	r.FirstByte = time.Duration(first.Load())
	if err != nil {
		return unwrapURL(err)
	}
	defer res.Body.Close()
	r.Status = res.StatusCode
	r.Server.header(res.Header)
	if res.StatusCode != http.StatusOK {
		return refusal(res, r)
	}
	var body io.Reader = res.Body
	if p.ReadRate > 0 {
		body = &throttled{ctx, res.Body, p.ReadRate}
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		err = c.stream(body, r, p.CancelPieces)
		r.Server.trailer(res.Trailer)
		return err
	}
	r.Server.Total = r.Server.FirstByte
	return c.whole(body, r)
}

func (c *Client) request(ctx context.Context, p Prompt) (*http.Request, error) {
	type streamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	body := struct {
		Model       string         `json:"model,omitempty"`
		Messages    []Message      `json:"messages"`
		MaxTokens   int            `json:"max_tokens,omitempty"`
		Temperature float64        `json:"temperature"`
		Seed        uint64         `json:"seed,omitempty"`
		Stop        []string       `json:"stop,omitempty"`
		Stream      bool           `json:"stream,omitempty"`
		Options     *streamOptions `json:"stream_options,omitempty"`
		Logprobs    bool           `json:"logprobs,omitempty"`
		Likely      int            `json:"top_logprobs,omitempty"`

		Tools []json.RawMessage `json:"tools,omitempty"`
	}{Model: c.Model, Messages: p.Messages, MaxTokens: p.MaxTokens, Temperature: p.Temperature, Seed: p.Seed, Stop: p.Stop, Tools: p.Tools}
	if p.Logprobs {
		body.Logprobs, body.Likely = true, 2
	}
	if !p.NoStream {
		body.Stream, body.Options = true, &streamOptions{true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if p.Agent != "" {
		req.Header.Set("X-Agent-ID", p.Agent)
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return req, nil
}

// stream reads an answer as it is made. An answer is whole when it has both a finish_reason and the [DONE] that ends it.
// most is after how many pieces it is taken back, 0 never.
func (c *Client) stream(body io.Reader, r *Record, most int) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	v, answer, chunks := &s.parsed, s.answer[:0], s.chunks[:0]
	defer func() {
		s.answer, s.chunks = answer, chunks
		r.Answer, r.Chunks = string(answer), append([]time.Duration(nil), chunks...)
	}()
	var failure error
	done := false
	arrival := &stamped{body: body, clock: c}
	err := events(arrival, s.buffer, func(data []byte) bool {
		if string(data) == "[DONE]" {
			done = true
			return true // read on to the end of the body: the trailers come after it
		}
		if err := v.parse(data); err != nil {
			r.Outcome, failure = Failed, fmt.Errorf("event is no chunk: %w", err)
			return false
		}
		if v.failed {
			r.Outcome, failure = Failed, errors.New(v.failure)
			return false
		}
		v.counts(r)
		switch {
		case len(v.content) > 0 || v.calls > 0:
			if r.FirstContent < 0 {
				r.FirstContent = arrival.at
			}
			chunks = append(chunks, arrival.at)
			answer = append(answer, v.content...)
		case len(v.reasoning) > 0:
			if r.FirstContent < 0 {
				r.Reasoning++
			}
			chunks = append(chunks, arrival.at)
		}
		if v.finish != "" {
			r.Finish = v.finish
		}
		if most > 0 && len(chunks) >= most && r.Finish == "" {
			r.Outcome, failure = Cancelled, fmt.Errorf("taken back after %d pieces", len(chunks))
			return false
		}
		return true
	})
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return fmt.Errorf("stream broke after %d chunks: %w", len(chunks), err)
	case r.Finish == "" || !done:
		return fmt.Errorf("stream ended after %d chunks without its %s", len(chunks), missingEnd(r.Finish, done))
	}
	r.Outcome = OK
	return nil
}

// scratch is the memory that reading a stream takes, used again by the next one: fresh buffers for every request cost as
// much as all else that the client does.
type scratch struct {
	buffer []byte
	parsed completion
	answer []byte
	chunks []time.Duration
}

var scratches = sync.Pool{New: func() any { return &scratch{buffer: make([]byte, 4<<10)} }}

// stamped notes when its last Read returned, which is when all events that end in those bytes arrived: what parsing one of
// them takes is no latency of the next.
type stamped struct {
	body  io.Reader
	clock *Client
	at    time.Duration
}

func (s *stamped) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.at = s.clock.Since()
	return n, err
}

func missingEnd(finish string, done bool) string {
	if finish == "" {
		return "finish_reason"
	}
	return "[DONE]"
}

// whole reads an answer that comes in one piece. Its text is there at once, so its first content is its end.
func (c *Client) whole(body io.Reader, r *Record) error {
	text, err := io.ReadAll(io.LimitReader(body, 64<<20))
	if err != nil {
		return fmt.Errorf("answer broke after %d bytes: %w", len(text), err)
	}
	now := c.Since()
	var v completion
	if err := v.parse(text); err != nil {
		r.Outcome = Failed
		return fmt.Errorf("answer is no completion: %w", err)
	}
	if v.failed {
		r.Outcome = Failed
		return errors.New(v.failure)
	}
	v.counts(r)
	if v.finish == "" {
		return errors.New("answer without a finish_reason")
	}
	r.Answer, r.Finish, r.Outcome = string(v.content), v.finish, OK
	if r.Answer != "" || v.calls > 0 {
		r.FirstContent = now
	}
	return nil
}

// refusal classifies an answer other than 200. A 429, or a 503 that says when to come back, is the server saying no
// cleanly; anything else is a failure.
func refusal(res *http.Response, r *Record) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	r.Outcome = Failed
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		r.RetryAfter = time.Duration(s) * time.Second
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable && r.RetryAfter > 0 {
		r.Outcome = Rejected
	}
	message := strings.TrimSpace(string(text))
	var v completion
	if v.parse(text) == nil && v.failed {
		message = v.failure
	}
	return fmt.Errorf("%s: %s", res.Status, message)
}

// header takes the server's timings from the head of a response, trailer those that follow a stream.
func (t *ServerTiming) header(h http.Header) {
	t.FirstByte = milliseconds(h.Get("X-Request-Latency-Ms"))
	t.parts(h.Get("Server-Timing"))
}

func (t *ServerTiming) trailer(h http.Header) {
	t.Total = milliseconds(h.Get("X-Total-Latency-Ms"))
	t.parts(h.Get("Server-Timing"))
}

func (t *ServerTiming) parts(header string) {
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

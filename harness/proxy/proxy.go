// Package proxy is a reverse proxy between agents and an inference server. It forwards every byte
// as it arrives and records the exchanges as sessions that can be replayed (see [load.Recording]).
//
//	agent --> Proxy --> server
//	            |  an exchange, when it has ended
//	            v
//	          Recorder: finds the session and the call it continues --> masks keys --> file
//
// The Recorder reads copies, after an exchange has ended, so recording does not delay the bytes.
package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/harness/client"
)

// A Proxy forwards requests to one server and the answers back. It changes no body, compressed or
// not, and removes only the hop-by-hop headers (RFC 9110, 7.6.1). It forwards events as they
// arrive. When an answer breaks off, the agent's connection is aborted; when the agent disconnects,
// its request to the server is cancelled.
type Proxy struct {
	to        *url.URL
	transport http.RoundTripper
	recorder  *Recorder
	buffers   sync.Pool
}

// New returns a proxy to the server at an address, such as https://api.anthropic.com. It hands each
// exchange to the recorder.
func New(to *url.URL, recorder *Recorder) *Proxy {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // else it asks for gzip where the agent does not
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 4096
	t.WriteBufferSize, t.ReadBufferSize = 64<<10, 32<<10 // prompts of 400 kB in few system calls
	p := &Proxy{to: to, transport: t, recorder: recorder}
	p.buffers.New = func() any { return new([32 << 10]byte) }
	return p
}

// between lists the hop-by-hop headers, besides those that Connection names.
var between = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

// passed returns the headers that are forwarded.
func passed(h http.Header) http.Header {
	out := h.Clone()
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range between {
		out.Del(name)
	}
	return out
}

// ServeHTTP forwards one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		refuse(w, http.StatusNotImplemented, "loadstone record forwards plain HTTP only, "+
			"no WebSocket or other protocol")
		return
	}
	x := p.recorder.begin(r)
	x.failure = "the server did not answer"
	defer p.recorder.end(x)
	res, err := p.send(r, x)
	if err != nil {
		x.failure = "the server could not be reached"
		if r.Context().Err() != nil {
			x.failure = "the agent broke off before the answer"
			return
		}
		x.unsent = err
		refuse(w, http.StatusBadGateway,
			"loadstone record cannot reach "+p.to.Host+": "+without(err))
		return
	}
	defer res.Body.Close()
	x.answers(res)
	head := w.Header()
	for name, values := range passed(res.Header) {
		head[name] = values
	}
	for _, name := range []string{"Content-Type", "Date"} {
		if _, ok := head[name]; !ok {
			head[name] = nil // else net/http adds one
		}
	}
	for name := range res.Trailer {
		head.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)
	if x.failure = p.pass(w, res.Body, x); x.failure != "" {
		// The agent must not take this for a complete answer.
		panic(http.ErrAbortHandler)
	}
	for name, values := range res.Trailer {
		head[name] = values
	}
}

// send sends the request to the server and streams its body.
func (p *Proxy) send(r *http.Request, x *exchange) (*http.Response, error) {
	to := *p.to
	to.Path, to.RawPath = joined(p.to, r.URL)
	to.RawQuery = r.URL.RawQuery
	out := (&http.Request{Method: r.Method, URL: &to, Host: p.to.Host, Header: passed(r.Header),
		ContentLength: r.ContentLength, Trailer: r.Trailer}).WithContext(r.Context())
	if r.ContentLength != 0 {
		body := &spool{from: r.Body, most: maxBody}
		if n := r.ContentLength; n > 0 && n <= maxBody {
			body.text = p.recorder.room(int(n))
		}
		x.request = body
		out.Body = &cursor{spool: body}
		// The transport sends the request again when the server had closed an idle connection.
		out.GetBody = func() (io.ReadCloser, error) { return &cursor{spool: body}, nil }
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // else net/http adds one
	}
	return p.transport.RoundTrip(out)
}

// joined returns the path of a request appended to the path of the server's address.
func joined(to, request *url.URL) (path, raw string) {
	base := strings.TrimRight(to.Path, "/")
	if to.RawPath == "" && request.RawPath == "" {
		return base + request.Path, ""
	}
	return base + request.Path, strings.TrimRight(to.EscapedPath(), "/") + request.EscapedPath()
}

// pass forwards the answer's body, each piece at once. failure names the side that broke off.
func (p *Proxy) pass(w http.ResponseWriter, body io.Reader, x *exchange) (failure string) {
	buffer := p.buffers.Get().(*[32 << 10]byte)
	defer p.buffers.Put(buffer)
	flush := http.NewResponseController(w).Flush
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			x.piece(buffer[:n])
			if _, err := w.Write(buffer[:n]); err != nil {
				return "the agent broke off"
			}
			if err := flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return "the agent broke off"
			}
		}
		switch {
		case err == io.EOF:
			return ""
		case errors.Is(err, context.Canceled):
			return "the agent broke off"
		case err != nil:
			return "the server broke off"
		}
	}
}

// refuse answers in place of the server, with an error that OpenAI's and Anthropic's clients
// understand.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"type": "error",
		"error": map[string]string{"type": "proxy_error", "message": text}})
}

// without returns the text of a transport error without the address, which may contain a key.
func without(err error) string {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return err.Error()
}

// maxBody is the maximum size of a recorded body, in bytes. A longer one is forwarded and not
// recorded.
const maxBody = 64 << 20

// A spool keeps what was read of a request's body so far, so that it can be read again.
type spool struct {
	mu   sync.Mutex
	from io.Reader
	most int // maximum number of bytes that are kept
	text []byte
	err  error
	lost bool // the body was longer than most
}

// sent returns what was read of the body. whole is false if there is no body, or too long a one.
func (s *spool) sent() (text []byte, whole bool) {
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text, !s.lost
}

// errReleased is the error of reading a body that has been recorded. The transport may still read
// the body if the server answered before it had all of it.
var errReleased = errors.New("the exchange has ended")

// release gives up the text and returns its memory.
func (s *spool) release() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text
	s.text, s.err = nil, errReleased
	return text
}

// A cursor reads a spool from its beginning.
type cursor struct {
	*spool
	at int
}

func (c *cursor) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at < len(c.text) {
		n := copy(p, c.text[c.at:])
		c.at += n
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.from.Read(p)
	switch {
	case c.lost || len(c.text)+n > c.most:
		c.lost = true // the rest can be read once, and the body not again
	default:
		c.text = append(c.text, p[:n]...)
		c.at += n
	}
	c.err = err
	return n, err
}

// Close does nothing: net/http's server closes the body of the agent's request.
func (c *cursor) Close() error { return nil }

// An exchange is a request and its answer. Times count from the start of the recording.
type exchange struct {
	api     client.API // "" if the route is not recorded
	name    string     // the session's name in the request's headers; "" if there is none
	agent   bool       // name comes from X-Agent-Id and may be written to the file
	part    string     // names a sub-agent of that agent; "" for the agent itself
	keys    []string   // secrets in the request's headers and address
	began   time.Duration
	ended   time.Duration
	request *spool
	failure string // why the answer is incomplete; "" if it is complete
	unsent  error  // why the server could not be reached; nil if it was

	status                int
	contentType, encoding string
	requestEncoding       string
	pieces                []client.Piece
	size                  int
	clock                 func() time.Duration
}

// answers stores the status and the headers of the answer that recording needs.
func (x *exchange) answers(res *http.Response) {
	x.status, x.contentType = res.StatusCode, res.Header.Get("Content-Type")
	x.encoding = res.Header.Get("Content-Encoding")
}

// piece stores a piece of the answer's body and its time.
func (x *exchange) piece(text []byte) {
	if x.size += len(text); x.api == "" || x.size > maxBody || x.status != http.StatusOK {
		return
	}
	x.pieces = append(x.pieces, client.Piece{At: x.clock(), Text: slices.Clone(text)})
}

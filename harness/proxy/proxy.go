// Package proxy stands between agents and a server of models, passes on every byte at once, and
// records what it saw as sessions that can be replayed (see [load.Recording]).
//
//	agent --> Proxy --> server
//	            |  an exchange, when it has ended
//	            v
//	          Recorder: whose session, which call it goes on from --> mask of keys --> file
//
// What is recorded is read from copies, after the exchange has ended: nothing of it is in the way of
// the bytes.
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

// A Proxy passes requests on to one server, and the answers back. The body of either is never
// changed, compressed ones included, and of the headers only those that are between two neighbours
// (RFC 9110, 7.6.1). Events are passed on as they come. An answer that breaks off breaks off for
// the agent, and an agent that goes away ends its request.
type Proxy struct {
	to        *url.URL
	transport http.RoundTripper
	recorder  *Recorder
	buffers   sync.Pool
}

// New makes a proxy to the server at an address, such as https://api.anthropic.com, whose exchanges
// the recorder gets.
func New(to *url.URL, recorder *Recorder) *Proxy {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // it would ask for gzip where the agent does not
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 4096
	t.WriteBufferSize, t.ReadBufferSize = 64<<10, 32<<10 // prompts of 400 kB in few system calls
	p := &Proxy{to: to, transport: t, recorder: recorder}
	p.buffers.New = func() any { return new([32 << 10]byte) }
	return p
}

// between are the headers that are between two neighbours, beside those that Connection names.
var between = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

// passed are the headers that are passed on.
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

// ServeHTTP passes one request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		refuse(w, http.StatusNotImplemented, "loadstone record passes on plain HTTP alone, "+
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
		refuse(w, http.StatusBadGateway, "loadstone record cannot reach "+p.to.Host+": "+without(err))
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
			head[name] = nil // or one would be made up
		}
	}
	for name := range res.Trailer {
		head.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)
	if x.failure = p.pass(w, res.Body, x); x.failure != "" {
		// The agent must not take it for a whole answer.
		panic(http.ErrAbortHandler)
	}
	for name, values := range res.Trailer {
		head[name] = values
	}
}

// send sends the request to the server, its body as it comes.
func (p *Proxy) send(r *http.Request, x *exchange) (*http.Response, error) {
	to := *p.to
	to.Path, to.RawPath = joined(p.to, r.URL)
	to.RawQuery = r.URL.RawQuery
	out := (&http.Request{Method: r.Method, URL: &to, Host: p.to.Host, Header: passed(r.Header),
		ContentLength: r.ContentLength, Trailer: r.Trailer}).WithContext(r.Context())
	if r.ContentLength != 0 {
		body := &spool{from: r.Body, most: maxBody}
		if n := r.ContentLength; n > 0 && n <= maxBody {
			body.text = make([]byte, 0, n)
		}
		x.request = body
		out.Body = &cursor{spool: body}
		// Where the server had closed the connection before it saw the request, that is sent again.
		out.GetBody = func() (io.ReadCloser, error) { return &cursor{spool: body}, nil }
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or one would be made up
	}
	return p.transport.RoundTrip(out)
}

// joined is the path of a request below that of the server's address.
func joined(to, request *url.URL) (path, raw string) {
	base := strings.TrimRight(to.Path, "/")
	if to.RawPath == "" && request.RawPath == "" {
		return base + request.Path, ""
	}
	return base + request.Path, strings.TrimRight(to.EscapedPath(), "/") + request.EscapedPath()
}

// pass passes the answer's body on, each part of it at once, and says what broke it off.
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

// refuse answers in place of the server, in the form in which OpenAI's and Anthropic's clients read
// errors.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"type": "error",
		"error": map[string]string{"type": "proxy_error", "message": text}})
}

// without is an error of sending without the address, which may have a key in it.
func without(err error) string {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return err.Error()
}

// maxBody bounds what is kept of a body. One that is longer is passed on and not recorded.
const maxBody = 64 << 20

// A spool is what was read of a request's body so far, so that it can be read again.
type spool struct {
	mu   sync.Mutex
	from io.Reader
	most int // bytes that are kept
	text []byte
	err  error
	lost bool // it was longer than that
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
		c.lost = true // it can be read on, and not again
	default:
		c.text = append(c.text, p[:n]...)
		c.at += n
	}
	c.err = err
	return n, err
}

// Close leaves the body open: it is the server's that has the proxy in it.
func (c *cursor) Close() error { return nil }

// An exchange is a request and its answer as they went by.
type exchange struct {
	api     client.API // "": none that is recorded
	name    string     // of the agent, as the request's headers have it; "" they do not
	agent   bool       // that name is fit to be shown
	keys    []string   // that the request has in its headers and its address
	began   time.Duration
	ended   time.Duration
	request *spool
	failure string // "" it came to its end

	status                int
	contentType, encoding string
	requestEncoding       string
	pieces                []client.Piece
	size                  int
	clock                 func() time.Duration
}

// answers notes the head of the answer.
func (x *exchange) answers(res *http.Response) {
	x.status, x.contentType = res.StatusCode, res.Header.Get("Content-Type")
	x.encoding = res.Header.Get("Content-Encoding")
}

// piece notes a part of the answer.
func (x *exchange) piece(text []byte) {
	if x.size += len(text); x.api == "" || x.size > maxBody || x.status != http.StatusOK {
		return
	}
	x.pieces = append(x.pieces, client.Piece{At: x.clock(), Text: slices.Clone(text)})
}

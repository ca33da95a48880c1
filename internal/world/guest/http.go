package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"loadstone/internal/world/script"
)

// A call is a request and what came of it.
type call struct {
	world *world
	who   string
	began span
	args  script.Args // how the client behaves

	refused bool // nobody listened
	gaveUp  bool // the client ended the connection itself
	twoKeys bool // the request has another principal's key beside its own
	err     error
	status  int // 0: no answer
	header  http.Header
	trailer http.Header
	body    []byte        // what came of it
	silent  time.Duration // the longest that nothing came
}

// A span says how much had happened when a request began.
type span struct {
	down                                                       bool
	at                                                         time.Time
	starts, stops, crashes, keyChanges, stepFaults, diskErrors int
	rots                                                       int
}

func (w *world) now() span {
	return span{w.ending || w.running == nil, time.Now(), w.starts, w.stops, w.crashes, w.keyChanges,
		w.stepFaults, w.diskErrors, w.rots}
}

func (c *call) restarted() bool {
	return c.began.down || c.began.starts != c.world.starts || c.began.stops != c.world.stops
}
func (c *call) crashed() bool   { return c.began.crashes != c.world.crashes }
func (c *call) rekeyed() bool   { return c.began.keyChanges != c.world.keyChanges }
func (c *call) rotted() bool    { return c.began.rots != c.world.rots }
func (c *call) stepFault() bool { return c.began.stepFaults != c.world.stepFaults }

// diskFault reports whether the disk failed during the request or so short before that a save may
// not have been tried again.
func (c *call) diskFault() bool {
	return c.began.diskErrors != c.world.diskErrors ||
		!c.world.diskErrorAt.IsZero() && c.began.at.Sub(c.world.diskErrorAt) < 30*time.Second
}

// send makes a request and reads the answer, or as much of it as args let the client read.
func (c *client) send(args script.Args, method, path, body string, headers ...string) *call {
	w := c.world
	r := &call{world: w, who: c.who, began: w.now(), args: args}
	w.requests++
	w.asking++
	defer func() { w.asking-- }()
	key := ""
	if c.of.name != "" {
		key = c.of.key
	}
	l, err := c.connect(args.Yes("keep"))
	if err != nil {
		r.refused, r.err = true, err
		w.log(c.who, "%s %s: refused", method, path)
		if !r.restarted() {
			w.fail("outcome", "the port is closed, and the server runs")
		}
		return r
	}
	if !args.Yes("keep") {
		headers = append(headers, "Connection: close")
	}
	if r.twoKeys = args.Yes("two-keys") && key != ""; r.twoKeys {
		headers = append(headers, "X-Api-Key: "+key, "Authorization: Bearer nobody's")
	}
	request := requestText(method, path, key, body, headers)
	if n := args.Int("cut"); n > 0 && n < len(request) {
		io.WriteString(l.conn, request[:n])
		l.conn.reset()
		r.gaveUp = true
		w.log(c.who, "%s %s: given up in the request", method, path)
		return r
	}
	writing := make(chan struct{})
	go func() { // the server may answer before it has read all
		defer close(writing)
		io.WriteString(l.conn, request)
	}()
	if again := r.read(l.conn); again && args.Yes("keep") {
		<-writing
		l.used = time.Now()
		c.line = l
	} else {
		l.conn.Close()
		<-writing
	}
	r.note(method, path)
	id := r.header.Get("X-Request-ID")
	if r.status == http.StatusInternalServerError && !w.logged[id] {
		w.fail("refusal", "the log has nothing of an answer of 500: %s", r.body)
	}
	r.checkKey(c.of, key, path)
	r.checkLeaks(c.of)
	return r
}

// requestText returns a request as it is sent.
func requestText(method, path, key, body string, headers []string) string {
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost:8080\r\n", method, path)
	if key != "" && path == "/v1/messages" {
		request += "x-api-key: " + key + "\r\n"
	} else if key != "" {
		request += "Authorization: Bearer " + key + "\r\n"
	}
	for _, h := range headers {
		request += h + "\r\n"
	}
	if body != "" || method == "POST" {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return request + "\r\n" + body
}

// A line is a connection that a client keeps for its next request.
type line struct {
	conn   *conn
	starts int // of servers, when it was made
	used   time.Time
}

// idleTime is shorter than the server leaves a connection open that nobody uses.
const idleTime = 90 * time.Second

// connect returns the connection that the client has kept, if it is asked for and still good, and
// else a new one.
func (c *client) connect(kept bool) (*line, error) {
	l := c.line
	if kept && l != nil {
		c.line = nil
		if c.world.running != nil && l.starts == c.world.starts && time.Since(l.used) < idleTime {
			c.world.log(c.who, "  on the same connection")
			return l, nil
		}
		l.conn.Close()
	}
	n, err := c.world.network.dial()
	return &line{conn: n, starts: c.world.starts}, err
}

// hangUp closes the connection that the client has kept.
func (c *client) hangUp() {
	if c.line != nil {
		c.line.conn.Close()
		c.line = nil
	}
}

// read reads the response, and reports whether the connection may have another one.
func (c *call) read(conn *conn) (again bool) {
	in := &reader{conn: conn, dice: c.world.dice, how: c.args.Get("read"), abort: -1}
	if s := c.args.Get("abort"); s != "" {
		in.abort, _ = strconv.Atoi(s)
	}
	buffered := bufio.NewReader(in)
	r, err := http.ReadResponse(buffered, nil)
	if err == nil {
		c.status, c.header = r.StatusCode, r.Header
		c.body, err = io.ReadAll(r.Body)
		c.trailer = r.Trailer
		if n := buffered.Buffered(); err == nil && n > 0 {
			c.world.fail("form", "%d bytes come after the end of a response", n)
		}
	}
	c.silent = in.silent
	if c.err = err; in.left {
		c.gaveUp = true // whatever the reader above it makes of that
		conn.reset()
	}
	return c.err == nil && !c.gaveUp && !r.Close
}

// note writes into the log what came.
func (c *call) note(method, path string) {
	text := strings.ReplaceAll(string(c.body), "\n", "|")
	c.world.log(c.who, "%s %s: %d, %v, %d bytes: %s", method, path, c.status, c.err, len(c.body), text)
	for _, name := range []string{"X-Cached-Tokens", "X-Cache-Miss", "X-Cache-Tier", "Retry-After"} {
		if v := c.header.Get(name); v != "" {
			c.world.log(c.who, "  %s: %s", name, v)
		}
	}
}

// checkKey: a key that is valid is taken, and no other.
func (c *call) checkKey(p *principal, key, path string) {
	if c.status == 0 || p.name == "" || strings.HasPrefix(path, "/health") || c.rekeyed() {
		return
	}
	if refused := c.status == http.StatusUnauthorized; refused != (p.revoked || c.twoKeys) {
		c.world.fail("keys", "%s: status %d for %q, revoked: %v", path, c.status, key, p.revoked)
	}
}

// checkLeaks: nobody hears a word that another principal has said.
func (c *call) checkLeaks(p *principal) {
	for _, name := range c.world.names {
		other := c.world.principals[name]
		if other != p && strings.Contains(string(c.body), other.secret()) {
			c.world.fail("isolation", "an answer to %s has %q", p.name, other.secret())
		}
	}
}

// A reader reads as a client does that is slow, stops for a while, or goes away.
type reader struct {
	conn  *conn
	dice  *dice
	how   string
	abort int // bytes after which the client goes away; -1: it does not
	n     int // bytes so far
	left  bool

	silent time.Duration // the longest that nothing came
}

var errGaveUp = fmt.Errorf("given up by the client: %w", syscall.ECONNABORTED)

func (r *reader) Read(b []byte) (int, error) {
	if r.abort >= 0 {
		if r.n >= r.abort {
			r.left = true
			return 0, errGaveUp
		}
		b = b[:min(len(b), r.abort-r.n)]
	}
	switch {
	case r.how == "slow":
		b = b[:min(len(b), 1+r.dice.IntN(64))]
		time.Sleep(time.Duration(r.dice.IntN(100)) * time.Millisecond)
	case r.how == "stop" && r.n > 100:
		r.how = ""
		time.Sleep(stopTime)
	}
	began := time.Now()
	n, err := r.conn.Read(b)
	r.silent = max(r.silent, time.Since(began))
	r.n += n
	return n, err
}

// stopTime is longer than the server waits for a client to make room.
const stopTime = 50 * time.Second

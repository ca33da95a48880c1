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
	err     error
	status  int // 0: no answer
	header  http.Header
	trailer http.Header
	body    []byte // what came of it
}

// A span says how much had happened when a request began.
type span struct {
	down                                                       bool
	at                                                         time.Time
	starts, stops, crashes, keyChanges, stepFaults, diskErrors int
}

func (w *world) now() span {
	return span{w.ending || w.running == nil, time.Now(), w.starts, w.stops, w.crashes, w.keyChanges,
		w.stepFaults, w.diskErrors}
}

func (c *call) restarted() bool {
	return c.began.down || c.began.starts != c.world.starts || c.began.stops != c.world.stops
}
func (c *call) crashed() bool   { return c.began.crashes != c.world.crashes }
func (c *call) rekeyed() bool   { return c.began.keyChanges != c.world.keyChanges }
func (c *call) stepFault() bool { return c.began.stepFaults != c.world.stepFaults }

// diskFault reports whether the disk failed during the request or so short before that a save may
// not have been tried again.
func (c *call) diskFault() bool {
	return c.began.diskErrors != c.world.diskErrors ||
		!c.world.diskErrorAt.IsZero() && c.began.at.Sub(c.world.diskErrorAt) < 30*time.Second
}

// send makes a request of a principal and reads the answer, or as much of it as args let the client
// read.
func (w *world) send(who string, p *principal, args script.Args, method, path, body string,
	headers ...string) *call {
	c := &call{world: w, who: who, began: w.now(), args: args}
	w.requests++
	key := ""
	if p.name != "" {
		key = p.key
	}
	conn, err := w.network.dial()
	if err != nil {
		c.refused, c.err = true, err
		w.log(who, "%s %s: refused", method, path)
		if !c.restarted() {
			w.fail("outcome", "the port is closed, and the server runs")
		}
		return c
	}
	defer conn.Close()
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n", method, path)
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
	request += "\r\n" + body
	if n := args.Int("cut"); n > 0 && n < len(request) {
		io.WriteString(conn, request[:n])
		conn.reset()
		c.gaveUp = true
		w.log(who, "%s %s: given up in the request", method, path)
		return c
	}
	writing := make(chan struct{})
	go func() { // the server may answer before it has read all
		defer close(writing)
		io.WriteString(conn, request)
	}()
	c.read(conn)
	conn.Close()
	<-writing
	c.note(method, path)
	c.checkKey(p, key, path)
	c.checkLeaks(p)
	return c
}

// read reads the response.
func (c *call) read(conn *conn) {
	in := &reader{conn: conn, dice: c.world.dice, how: c.args.Get("read"), abort: -1}
	if s := c.args.Get("abort"); s != "" {
		in.abort, _ = strconv.Atoi(s)
	}
	r, err := http.ReadResponse(bufio.NewReader(in), nil)
	if err == nil {
		c.status, c.header = r.StatusCode, r.Header
		c.body, err = io.ReadAll(r.Body)
		c.trailer = r.Trailer
	}
	if c.err = err; in.left {
		c.gaveUp = true // whatever the reader above it makes of that
		conn.reset()
	}
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
	if refused := c.status == http.StatusUnauthorized; refused != p.revoked {
		c.world.fail("keys", "%s: status %d for %q, revoked: %v", path, c.status, key, p.revoked)
	}
}

// checkLeaks: nobody hears a word that another principal has said.
func (c *call) checkLeaks(p *principal) {
	for _, name := range c.world.names {
		if other := c.world.principals[name]; other != p && strings.Contains(string(c.body), other.secret()) {
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
		time.Sleep(time.Duration(r.dice.IntN(400)) * time.Millisecond)
	case r.how == "stop" && r.n > 100:
		r.how = ""
		time.Sleep(stopTime)
	}
	n, err := r.conn.Read(b)
	r.n += n
	return n, err
}

// stopTime is longer than the server waits for a client to make room.
const stopTime = 50 * time.Second

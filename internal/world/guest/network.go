package main

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A network joins clients to the server that listens at present.
type network struct {
	dice *dice
	lag  time.Duration // the longest that a piece is under way

	mu       sync.Mutex
	listener *listener // nil: nobody listens
	ports    int
}

// A listener is the server's end of the network.
type listener struct {
	waiting chan *conn
	done    chan struct{}
	once    sync.Once

	mu    sync.Mutex
	conns []*conn // the server's ends
}

// backlog is more than all clients of an episode have connections.
const backlog = 1000

var address = net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}

// listen opens the port for a server, in place of the one before.
func (n *network) listen() *listener {
	l := &listener{waiting: make(chan *conn, backlog), done: make(chan struct{})}
	n.mu.Lock()
	n.listener = l
	n.mu.Unlock()
	return l
}

// dial connects to the server, or fails as a closed port does.
func (n *network) dial() (*conn, error) {
	n.mu.Lock()
	l := n.listener
	n.ports++
	remote := net.TCPAddr{IP: address.IP, Port: 10_000 + n.ports}
	n.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	up, down := newFlow(), newFlow()
	client := &conn{network: n, in: down, out: up, local: remote, remote: address}
	server := &conn{network: n, in: up, out: down, local: address, remote: remote}
	l.mu.Lock()
	l.conns = append(l.conns, server)
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil, syscall.ECONNREFUSED
	default:
		l.waiting <- server
		return client, nil
	}
}

// close closes the port.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		n.listener.Close()
	}
	n.listener = nil
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the port. Connections that nobody has accepted are reset, as a system does.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		for len(l.waiting) > 0 {
			(<-l.waiting).reset()
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return &address }

// cut resets all connections, as a machine does that loses its power.
func (l *listener) cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.reset()
	}
}

// A flow is one direction of a connection.
type flow struct {
	mu    sync.Mutex
	moved sync.Cond
	data  []byte // sent and not read
	ended bool   // by its writer: no more will come
	err   error  // ends both sides at once
}

// flowBytes is how much may be under way. It is small, so that a slow reader holds up its writer.
const flowBytes = 700

func newFlow() *flow {
	f := new(flow)
	f.moved.L = &f.mu
	return f
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.moved.Broadcast()
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.moved.Broadcast()
}

// A limit is a deadline. The flow's lock guards it.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) set(f *flow, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.at, l.timer = at, nil
	if d := time.Until(at); !at.IsZero() && d > 0 {
		l.timer = time.AfterFunc(d, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.moved.Broadcast()
		})
	}
	f.moved.Broadcast()
}

func (l *limit) over() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

// A conn is one end of a connection.
type conn struct {
	network       *network
	in, out       *flow
	reads, writes limit
	local, remote net.TCPAddr
}

// Read returns some of what is there, seldom all.
func (c *conn) Read(b []byte) (int, error) {
	f := c.in
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.err != nil:
			return 0, f.err
		case c.reads.over():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(f.data) > 0:
			n := min(len(b), len(f.data))
			if c.network.dice.one(2) {
				n = 1 + c.network.dice.IntN(n)
			}
			copy(b, f.data[:n])
			f.data = f.data[n:]
			f.moved.Broadcast()
			return n, nil
		case f.ended:
			return 0, io.EOF
		}
		f.moved.Wait()
	}
}

// Write sends in pieces, each of which may take a while.
func (c *conn) Write(b []byte) (sent int, err error) {
	for sent < len(b) {
		if d := c.network.dice; c.network.lag > 0 && d.one(6) {
			time.Sleep(time.Duration(d.Int64N(int64(c.network.lag))))
		}
		n, err := c.send(b[sent:])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// send waits until there is room, and takes what has room.
func (c *conn) send(b []byte) (int, error) {
	f := c.out
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.err != nil:
			return 0, f.err
		case f.ended:
			return 0, net.ErrClosed
		case c.writes.over():
			return 0, os.ErrDeadlineExceeded
		case len(f.data) < flowBytes:
			n := min(len(b), flowBytes-len(f.data))
			f.data = append(f.data, b[:n]...)
			f.moved.Broadcast()
			return n, nil
		}
		f.moved.Wait()
	}
}

// Close sends what is under way and takes nothing more.
func (c *conn) Close() error {
	c.SetDeadline(time.Time{})
	c.out.end()
	c.in.fail(syscall.ECONNRESET) // for the other side; this side is told the same
	return nil
}

// reset ends the connection at once. What is under way is lost.
func (c *conn) reset() {
	c.in.fail(syscall.ECONNRESET)
	c.out.fail(syscall.ECONNRESET)
}

func (c *conn) LocalAddr() net.Addr  { return &c.local }
func (c *conn) RemoteAddr() net.Addr { return &c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.reads.set(c.in, t)
	c.writes.set(c.out, t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.reads.set(c.in, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writes.set(c.out, t)
	return nil
}

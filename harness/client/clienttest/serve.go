// Package clienttest has servers for tests. They run in memory, so that client and server can share
// a synctest bubble, in which time is exact and passes at once.
package clienttest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"loadstone/harness/client"
)

// Serve starts a server in memory, to be used within a synctest bubble. It returns a client of the
// server, and a function that kills the server: connections break, and no other is accepted.
func Serve(t testing.TB, h http.Handler) (c *client.Client, kill func()) {
	way, kill := Transport(t, h)
	return client.NewWithTransport("http://server", way), kill
}

// Transport is Serve for a test that has a client already: the way to the server.
func Transport(t testing.TB, h http.Handler) (way *http.Transport, kill func()) {
	return TransportTo(t, func(l net.Listener) (*http.Server, net.Listener) {
		return &http.Server{Handler: h}, l
	})
}

// TransportTo is Transport for a server that has a listener of its own around the network's.
func TransportTo(t testing.TB, on func(net.Listener) (*http.Server, net.Listener)) (
	way *http.Transport, kill func()) {
	network := &pipes{make(chan net.Conn), make(chan struct{})}
	server, listener := on(network)
	go server.Serve(listener)
	way = &http.Transport{DialContext: network.Dial, MaxIdleConnsPerHost: 100}
	t.Cleanup(func() {
		way.CloseIdleConnections()
		server.Shutdown(context.Background()) // waits for its handlers
	})
	return way, func() { server.Close() }
}

// pipes is a network in memory: a listener and a dialer of the server that listens.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"loadstone/harness/record"
)

// NewTLS is New for a server that the given settings decide whether to trust, where its address
// begins with https; nil are the system's own.
func NewTLS(url string, settings *tls.Config) *Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.TLSClientConfig = settings
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 0, 4096, 0
	t.DisableCompression = true
	// HTTP/2 would put all requests on one connection, with the server's limit of streams and its
	// flow control on top.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			conn = bodyConn{tcp}
		}
		return conn, err
	}
	c := NewWithTransport(url, t)
	c.slow = &http.Client{Transport: slowTransport(t), CheckRedirect: stay}
	c.sleep = sleepBriefly
	c.sockets = true
	return c
}

// stay keeps a client from following redirects. A load is sent to the address that was named, not
// where that leads: it may be a server of somebody else's.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// A RedirectError says that a server wants requests to be sent elsewhere. They are not.
type RedirectError struct {
	Status string
	To     string // the address
	code   int
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf(
		"%s: the server redirects to %s, and redirects are not followed; measure the "+
			"server at that address itself",
		e.Status,
		e.To,
	)
}

// send sends a request. An error is without the address, which its reader knows; it is a
// *RedirectError where the response is one, and a *LocalError where this machine cannot send.
func (c *Client) send(by *http.Client, req *http.Request) (*http.Response, error) {
	res, err := by.Do(req)
	if err != nil {
		return nil, c.local(withoutURL(err))
	}
	if res.StatusCode/100 == 3 {
		if to, err := res.Location(); err == nil {
			res.Body.Close()
			return nil, &RedirectError{res.Status, to.Redacted(), res.StatusCode}
		}
	}
	return res, nil
}

// statusOf is the status of the response that an error of send is, else 0.
func statusOf(err error) int {
	if to, ok := err.(*RedirectError); ok {
		return to.code
	}
	return 0
}

// outcomeOf is what became of a request that ended with an error of send, "" where that depends on
// who ended it.
func outcomeOf(err error) record.Outcome {
	switch err.(type) {
	case *RedirectError:
		return record.Failed
	case *LocalError:
		return record.Cancelled // the server never saw it
	}
	return ""
}

// Sockets reports whether the client's connections are sockets of this machine, which are open
// files of this process.
func (c *Client) Sockets() bool { return c.sockets }

// A LocalError says that this machine, not the server, kept a request from being sent.
type LocalError struct{ Err error }

func (e *LocalError) Error() string {
	why := "no more connections can be opened"
	switch {
	case errors.Is(e.Err, syscall.EMFILE):
		why = "this process may open no more files"
	case errors.Is(e.Err, syscall.ENFILE):
		why = "this machine may open no more files"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL), errors.Is(e.Err, syscall.EADDRINUSE):
		why = "all local ports to this address are in use, or were until a minute ago"
	}
	return fmt.Sprintf("the client's own limit, not the server's: %s: %v", why, e.Err)
}

func (e *LocalError) Unwrap() error { return e.Err }

// localErrors are those that this machine's limits cause.
var localErrors = []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
	syscall.ENOBUFS, syscall.ENOMEM}

// local notes and names an error of sending that is this machine's; another it returns as it is.
func (c *Client) local(err error) error {
	for _, own := range localErrors {
		if errors.Is(err, own) {
			e := &LocalError{err}
			c.limited.CompareAndSwap(nil, e)
			return e
		}
	}
	return err
}

// Limited is the first error of this machine's own that kept a request from being sent, nil if
// there was none. What was measured since says nothing of the server.
func (c *Client) Limited() error {
	if e := c.limited.Load(); e != nil {
		return e
	}
	return nil
}

// authorize adds to a request the client's key, and what its user wants every request to have. It
// comes last, so that a header of the user's takes the place of one of ours.
func (c *Client) authorize(req *http.Request) {
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	if len(c.Headers) == 0 {
		return
	}
	seen := map[string]bool{}
	for _, h := range c.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		switch {
		case name == "Host":
			req.Host = h.Value
		case seen[name]:
			req.Header.Add(name, h.Value)
		default:
			req.Header.Set(name, h.Value)
		}
		seen[name] = true
	}
}

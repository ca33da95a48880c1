package liars

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// acceptAfter is how long a server that accepts late lets a connection wait.
const acceptAfter = 150 * time.Millisecond

type cameKey struct{}

// cameOf is when the connection of a request came, where it had to wait; the zero Time otherwise.
func cameOf(ctx context.Context) time.Time {
	at, _ := ctx.Value(cameKey{}).(time.Time)
	return at
}

// waited is a connection that has waited.
type waited struct {
	net.Conn
	came time.Time
}

// lateListener lets every connection wait.
type lateListener struct {
	net.Listener
	after time.Duration
	ready chan waited
	ended chan error
}

func (l *lateListener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			l.ended <- err
			return
		}
		w := waited{c, time.Now()}
		time.AfterFunc(l.after, func() {
			select {
			case l.ready <- w:
			case <-time.After(time.Second): // the server has ended
				w.Close()
			}
		})
	}
}

func (l *lateListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.ended:
		return nil, err
	}
}

// HTTP returns a server of HTTP for a listener, and the listener that it must serve: that of a liar
// that accepts late lets connections wait.
func (s *Server) HTTP(l net.Listener) (*http.Server, net.Listener) {
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	if !s.liar.accepts {
		return h, l
	}
	h.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if w, ok := c.(waited); ok {
			return context.WithValue(ctx, cameKey{}, w.came)
		}
		return ctx
	}
	late := &lateListener{l, s.times(acceptAfter), make(chan waited), make(chan error, 1)}
	go late.run()
	return h, late
}

// Serve serves at a TCP address until the context ends. It writes a line to w that says where.
func (s *Server) Serve(ctx context.Context, w io.Writer, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	h, late := s.HTTP(l)
	defer context.AfterFunc(ctx, func() { h.Close() })()
	fmt.Fprintf(w, "listening on http://%s\n", l.Addr())
	if err := h.Serve(late); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

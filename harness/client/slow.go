package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// plan says, for the record, what the load means to do to the request.
func (p *Prompt) plan() string {
	switch {
	case p.CancelAfter > 0:
		return fmt.Sprintf("cancel after %v", p.CancelAfter)
	case p.CancelPieces > 0:
		return fmt.Sprintf("cancel after %d pieces", p.CancelPieces)
	case p.ReadRate > 0:
		return fmt.Sprintf("read at %d B/s", p.ReadRate)
	}
	return ""
}

// slowBuffer is how much of an answer the client's side of a slow connection takes, in bytes,
// before the server's writes have to wait. The kernel's own buffers are megabytes, in which a whole
// answer would vanish unread.
const slowBuffer = 4 << 10

// slowTransport is a transport like t whose connections buffer little. No connection is used twice,
// or one request's slow reading would be in the next one's latency.
func slowTransport(t *http.Transport) *http.Transport {
	slow := t.Clone()
	slow.DisableKeepAlives = true
	slow.ReadBufferSize = slowBuffer
	dialer := &net.Dialer{}
	slow.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(slowBuffer)
		}
		return conn, err
	}
	return slow
}

// throttled reads at most rate bytes a second.
type throttled struct {
	ctx  context.Context
	body io.Reader
	rate int
}

func (t *throttled) Read(p []byte) (int, error) {
	n, err := t.body.Read(p[:min(len(p), max(1, t.rate/10))])
	wait := time.NewTimer(time.Duration(n) * time.Second / time.Duration(t.rate))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-t.ctx.Done():
		return n, t.ctx.Err()
	}
	return n, err
}

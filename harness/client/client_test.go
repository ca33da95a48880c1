package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// wire is a server that plays a script: it reads one request from an in-memory connection and writes back parts, each
// after a pause. Inside a synctest bubble the pauses take no time and the client's stamps are exact.
type wire []part

type part struct {
	after time.Duration
	text  string
}

func (w wire) client(t *testing.T) *Client {
	c := Over("http://server", &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			req, err := http.ReadRequest(bufio.NewReader(far))
			if err != nil {
				t.Errorf("request: %v", err)
				return
			}
			io.Copy(io.Discard, req.Body)
			for _, p := range w {
				select {
				case <-time.After(p.after): // fake time: this is the script's clock
				case <-t.Context().Done():
					return
				}
				if _, err := io.WriteString(far, p.text); err != nil {
					return // the client went away
				}
			}
		}()
		return near, nil
	}})
	t.Cleanup(c.Close)
	return c
}

const ms = time.Millisecond

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Latency-Ms: 10.00\r\n" +
	"Server-Timing: queue;dur=1.5, prefill;dur=8\r\nConnection: close\r\n\r\n"

func TestServerTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wire{{10 * ms, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: X-Total-Latency-Ms, Server-Timing\r\nX-Request-Latency-Ms: 9.50\r\nServer-Timing: queue;dur=1.5, prefill;dur=8\r\n\r\n"},
			{10 * ms, "e\r\ndata: [DONE]\n\n\r\n0\r\nX-Total-Latency-Ms: 19.25\r\nServer-Timing: queue;dur=1.5, prefill;dur=8, decode;dur=9.75\r\n\r\n"}}
		r := w.client(t).Ask(t.Context(), 0, Prompt{})
		want := record.ServerTiming{FirstByte: 9500 * time.Microsecond, Total: 19250 * time.Microsecond,
			Queue: 1500 * time.Microsecond, Prefill: 8 * ms, Decode: 9750 * time.Microsecond}
		assert.Equal(t, r.Server, want)
		assert.Equal(t, r.FirstByte, 10*ms)
	})
}

// A request that its own load plan gives up is neither a failure nor a time-out.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*ms, errors.New("enough"))
		defer cancel()
		r := wire{{0, streamHead}, {time.Hour, ""}}.client(t).Ask(ctx, 0, Prompt{})
		assert.Equal(t, r.Outcome, record.Cancelled)
		assert.Equal(t, r.End, 5*ms)
	})
}

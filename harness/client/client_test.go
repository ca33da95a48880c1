package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// wire is a server that plays a script: it reads one request from an in-memory connection and
// writes back parts, each after a pause. Inside a synctest bubble the pauses take no time and the
// client's stamps are exact.
type wire []part

type part struct {
	after time.Duration
	text  string
}

func (w wire) client(t *testing.T) *Client {
	dial := func(context.Context, string, string) (net.Conn, error) {
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
	}
	c := NewWithTransport("http://server", &http.Transport{DialContext: dial})
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

// A server may close a connection that it had promised to keep. A request on such a connection is
// sent again, and its record says so and has the time in its latency. On a connection that was not
// used before the request fails.
func TestResent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(events), events)
		// What the server does with each request on each connection: it answers (true) or hangs up,
		// after 5 ms.
		scripts := [][]bool{{true, false}, {true, false}, {false}}
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			answers := scripts[0]
			scripts = scripts[1:]
			go func() {
				defer far.Close()
				in := bufio.NewReader(far)
				for _, answered := range answers {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					assert.Equal(t, len(req.Header.Values("Idempotency-Key")), 0)
					<-time.After(5 * ms) // fake time
					if answered {
						io.WriteString(far, answer)
					}
				}
			}()
			return near, nil
		}
		c := NewWithTransport("http://server", &http.Transport{DialContext: dial})
		t.Cleanup(c.Close)
		for i, want := range []struct {
			outcome record.Outcome
			resent  int
			took    time.Duration
		}{{record.OK, 0, 5 * ms}, {record.OK, 1, 10 * ms}, {record.Refused, 1, 10 * ms}} {
			r := c.Ask(t.Context(), c.Since(), Prompt{Place: record.Place{Agent: "a"}})
			assert.Equal(t, r.Outcome, want.outcome, "%d: %s", i, r.Error)
			assert.Equal(t, r.Resent, want.resent)
			assert.Equal(t, r.Latency(), want.took)
		}
	})
}

// A request that its own load cancels is neither a failure nor a timeout.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*ms, errors.New("enough"))
		defer cancel()
		r := wire{{0, streamHead}, {time.Hour, ""}}.client(t).Ask(ctx, 0, Prompt{})
		assert.Equal(t, r.Outcome, record.Cancelled)
		assert.Equal(t, r.End, 5*ms)
	})
}

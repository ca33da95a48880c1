package harness

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

// wire is a server that plays a script: it reads one request from an in-memory connection and writes back parts, each
// after a pause. Inside a synctest bubble the pauses take no time and the client's stamps are exact.
type wire []part

type part struct {
	after time.Duration
	text  string
}

func (w wire) client(t *testing.T) *Client {
	c := newClient("http://server", &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
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

// The golden streams: bytes and pauses as a server sends them, and what a client must make of them, by hand.
var streams = []struct {
	name    string
	wire    wire
	outcome Outcome
	first   time.Duration // FirstContent
	chunks  []time.Duration
	answer  string
	end     time.Duration
	output  int
	err     string
}{
	{
		name: "one chunk a write",
		wire: wire{
			{10 * ms, streamHead},
			{0, data(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`)},
			{20 * ms, data(`{"choices":[{"delta":{"content":"Hello"}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{"content":", world"}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`)},
			{0, data(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}`)},
			{1 * ms, data("[DONE]")},
		},
		// The role-only chunk at 10 ms is no content.
		outcome: OK, first: 30 * ms, chunks: []time.Duration{30 * ms, 35 * ms}, answer: "Hello, world", end: 41 * ms, output: 3,
	},
	{
		name: "frames split inside a character, CRLF, comments, two events in one write",
		wire: wire{
			{0, strings.ReplaceAll(streamHead, "10.00", "0.01")},
			{10 * ms, ": keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xe2\x82"},
			{10 * ms, "\xac\"}}]}\r\n\r"},
			{10 * ms, "\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\nevent: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n"},
			{10 * ms, "data: {\"choices\":\ndata: [{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"},
		},
		// The first event is whole when its empty line is.
		outcome: OK, first: 30 * ms, chunks: []time.Duration{30 * ms, 30 * ms, 30 * ms}, answer: "€ab", end: 40 * ms, output: -1,
	},
	{
		name: "cut before the finish",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hel"}}]}`)},
			{5 * ms, "data: {\"choices\":[{\"delta\":{\"content\":\"lo"},
		},
		outcome: Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hel", end: 10 * ms, output: -1,
		err: "stream ended after 1 chunks without its finish_reason",
	},
	{
		name: "finish but no [DONE]",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`)},
		},
		outcome: Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "stream ended after 1 chunks without its [DONE]",
	},
	{
		name: "[DONE] but no finish",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`) + data("[DONE]")},
		},
		outcome: Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "stream ended after 1 chunks without its finish_reason",
	},
	{
		name: "error in the stream",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
			{5 * ms, data(`{"error":{"message":"the model failed"}}`)},
		},
		outcome: Failed, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 10 * ms, output: -1, err: "the model failed",
	},
	{
		name:    "refused cleanly",
		wire:    wire{{3 * ms, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 34\r\n\r\n" + `{"error":{"message":"pool full"}}` + "\n"}},
		outcome: Rejected, first: -1, end: 3 * ms, output: -1, err: "429 Too Many Requests: pool full",
	},
	{
		name:    "503 that does not say when",
		wire:    wire{{3 * ms, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"}},
		outcome: Failed, first: -1, end: 3 * ms, output: -1, err: "503 Service Unavailable: ",
	},
	{
		name: "one piece",
		wire: wire{{7 * ms, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
			`{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`}},
		outcome: OK, first: 7 * ms, answer: "Hi", end: 7 * ms, output: 1,
	},
	{
		name:    "silence",
		wire:    wire{{0, streamHead}, {time.Hour, ""}},
		outcome: Timeout, first: -1, end: 2 * time.Minute, output: -1, err: "no end after 2m0s",
	},
	{
		name:    "hung up",
		wire:    wire{},
		outcome: Refused, first: -1, end: 0, output: -1, err: "EOF",
	},
}

func data(json string) string { return "data: " + json + "\n\n" }

func TestGoldenStreams(t *testing.T) {
	for _, tc := range streams {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := tc.wire.client(t).Ask(t.Context(), 0, Prompt{Messages: []Message{{"user", "hi"}}})
				assert.Equal(t, r.Outcome, tc.outcome, r.Error)
				assert.Equal(t, r.Error, tc.err)
				assert.Equal(t, r.FirstContent, tc.first)
				assert.DeepEqual(t, r.Chunks, tc.chunks)
				assert.Equal(t, r.Answer, tc.answer)
				assert.Equal(t, r.End, tc.end)
				assert.Equal(t, r.OutputTokens, tc.output)
			})
		})
	}
}

func TestServerTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wire{{10 * ms, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: X-Total-Latency-Ms, Server-Timing\r\nX-Request-Latency-Ms: 9.50\r\nServer-Timing: queue;dur=1.5, prefill;dur=8\r\n\r\n"},
			{10 * ms, "e\r\ndata: [DONE]\n\n\r\n0\r\nX-Total-Latency-Ms: 19.25\r\nServer-Timing: queue;dur=1.5, prefill;dur=8, decode;dur=9.75\r\n\r\n"}}
		r := w.client(t).Ask(t.Context(), 0, Prompt{})
		want := ServerTiming{FirstByte: 9500 * time.Microsecond, Total: 19250 * time.Microsecond,
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
		assert.Equal(t, r.Outcome, Cancelled)
		assert.Equal(t, r.End, 5*ms)
	})
}

func FuzzEvents(f *testing.F) {
	for _, s := range streams {
		var whole strings.Builder
		for _, p := range s.wire {
			whole.WriteString(p.text)
		}
		f.Add(whole.String(), 3)
	}
	// However the bytes are cut into reads, the events are the same.
	f.Fuzz(func(t *testing.T, text string, cut int) {
		collect := func(r io.Reader) (all []string) {
			events(r, func(data []byte) bool { all = append(all, string(data)); return true })
			return all
		}
		whole := collect(strings.NewReader(text))
		assert.DeepEqual(t, collect(&chopped{strings.NewReader(text), 1 + max(cut, 0)%7}), whole)
	})
}

// chopped reads at most n bytes at a time.
type chopped struct {
	r io.Reader
	n int
}

func (c *chopped) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
)

// BenchmarkStream streams answers of 1 and of 64 tokens over loopback, from the whole server with a model that costs
// next to nothing, and from a bare handler that decodes the same request and writes the same bytes.
//
//	paced   every token waits until the client has the one before, so both make a write and wake up for each. What the
//	        server needs more cpu-ns/op than the bare handler is what serving costs, the engine's steps included.
//	free    the model is as fast as it can be. The server then sends tokens together that are there already; the bare
//	        handler has them all and still flushes each, as a server must that cannot know what comes next.
//
// The difference in allocs/op between 1 and 64 tokens is what a token costs. The handlers side by side, and the answers:
//
//	go test ./server -run '^$' -bench Stream -count 10 > benchdata/server/stream.txt
//	benchstat -col /handler benchdata/server/stream.txt
func BenchmarkStream(b *testing.B) {
	for _, tokens := range []int{1, 64} {
		body := say(strings.Repeat("a", tokens), `"stream":true`)
		for _, pace := range []string{"paced", "free"} {
			var gate chan struct{}
			if pace == "paced" {
				gate = make(chan struct{}, 1)
			}
			s, _ := start(b, Config{AccessLog: LineLog(io.Discard)}, engine.Config{Model: &echoModel{gate: gate}}, byteText{})
			for _, v := range []struct {
				name    string
				handler http.Handler
			}{{"server", s}, {"bare", bare(b, body, gate)}} {
				b.Run(fmt.Sprintf("pace=%s/tokens=%d/handler=%s", pace, tokens, v.name), func(b *testing.B) {
					hs := httptest.NewServer(v.handler)
					defer hs.Close()
					client := repeating(b, hs.Listener.Addr().String(), body, gate)
					b.ReportAllocs()
					before, _ := cpuTime()
					for b.Loop() {
						client()
					}
					after, ok := cpuTime()
					if ok {
						b.ReportMetric(float64(after-before)/float64(b.N), "cpu-ns/op")
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
				})
			}
			if gate != nil {
				close(gate)
			}
		}
	}
}

// bare returns a handler that answers as a server does to one request, without doing anything for it. With a gate it
// writes what the server's model makes in a step for each value of it.
func bare(b *testing.B, body string, gate chan struct{}) http.Handler {
	s, _ := start(b, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
	chunks := bytes.SplitAfter(w.Body.Bytes(), []byte("\n\n"))
	n := len(chunks) - 1 // the last is empty
	steps := [][]byte{slices.Concat(chunks[:2]...)}
	steps = append(steps, chunks[2:n-2]...)
	steps = append(steps, slices.Concat(chunks[n-2:n]...))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q chatRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", eventStream)
		for _, step := range steps {
			if gate != nil {
				<-gate
			}
			w.Write(step)
			w.(http.Flusher).Flush()
		}
	})
}

// repeating returns a client that repeats one request on one connection, and allocates nothing for it. It opens the
// gate, where there is one, once at first and then whenever it has read something.
func repeating(b *testing.B, addr, body string, gate chan struct{}) func() {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	request := []byte(strings.Replace(post(body), "Connection: close\r\n", "", 1))
	buf := make([]byte, 1<<20)
	last, end := []byte("\r\n0\r\n"), []byte("\r\n\r\n")
	return func() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for n := 0; ; {
			if gate != nil {
				select {
				case gate <- struct{}{}:
				default:
				}
			}
			m, err := c.Read(buf[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
			if i := bytes.LastIndex(buf[:n], last); i >= 0 && bytes.HasSuffix(buf[i:n], end) {
				break
			}
		}
	}
}

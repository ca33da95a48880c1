package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loadstone/engine"
)

// BenchmarkStream streams answers of 1 and of 64 tokens over loopback, from the whole server with a model that costs
// next to nothing, and from a bare handler that decodes the same request and writes the same chunks, a flush each.
// The difference in cpu-ns/op is what serving costs; that in allocs/op between 1 and 64 tokens is what a token costs.
func BenchmarkStream(b *testing.B) {
	for _, tokens := range []int{1, 64} {
		body := say(strings.Repeat("a", tokens), `"stream":true`)
		s, _ := start(b, Config{AccessLog: LineLog(io.Discard)}, engine.Config{Model: &echoModel{}}, byteText{})
		for _, v := range []struct {
			name    string
			handler http.Handler
		}{{"server", s}, {"bare", bare(s, body)}} {
			b.Run(fmt.Sprintf("%s/tokens=%d", v.name, tokens), func(b *testing.B) {
				hs := httptest.NewServer(v.handler)
				defer hs.Close()
				client := repeating(b, hs.Listener.Addr().String(), body)
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
	}
}

// bare returns a handler that answers as s does to one request, without doing anything for it.
func bare(s *Server, body string) http.Handler {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
	chunks := bytes.SplitAfter(w.Body.Bytes(), []byte("\n\n"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q chatRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", eventStream)
		for _, chunk := range chunks {
			w.Write(chunk)
			w.(http.Flusher).Flush()
		}
	})
}

// repeating returns a client that repeats one request on one connection, and allocates nothing for it.
func repeating(b *testing.B, addr, body string) func() {
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

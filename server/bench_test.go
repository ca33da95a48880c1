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
	"loadstone/server/internal/openai"
)

// BenchmarkStream streams answers of 1 and of 64 tokens over loopback, from the whole server with a
// model that costs next to nothing, and from a bare handler that decodes the same request and
// writes the same bytes.
//
//	paced   every token waits until the client has the token before, so both write and wake up for each
//	free    the model is as fast as it can be; the server then sends tokens together that are there
//
// The third handler is bare, too, but writes when the same engine has a token. What the server
// costs more than this one is the server's share, and what this one costs more than the second is
// the engine's.
//
// The difference in allocs/op between 1 and 64 tokens is what a token costs. To compare the
// handlers:
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
			s, e := start(b, Config{AccessLog: LineLog(io.Discard)},
				engine.Config{Model: &instantModel{echoModel: echoModel{gate: gate}, tokens: tokens}},
				byteText{})
			for _, v := range []struct {
				name    string
				handler http.Handler
			}{{"server", s}, {"bare", bare(b, tokens, body, gate, nil)},
				{"engine", bare(b, tokens, body, nil, e)}} {
				b.Run(fmt.Sprintf("pace=%s/tokens=%d/handler=%s", pace, tokens, v.name),
					func(b *testing.B) {
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

// An instantModel answers with a number of letters and computes nothing. With a gate, every step
// takes a value from it.
type instantModel struct {
	echoModel
	tokens int
	said   int
}

func (m *instantModel) Vocab() int { return end + 1 }

// Step answers one request at a time.
func (m *instantModel) Step(tokens, _, _, _, _, _ []int32, _ []float32, _, best []int32) error {
	if m.gate != nil {
		<-m.gate
	}
	if len(tokens) > 1 { // a prompt
		m.said = 0
	}
	if m.said++; len(best) > 0 {
		best[0] = 'a'
		if m.said > m.tokens {
			best[0] = end
		}
	}
	return nil
}

// bare returns a handler that answers one request with the same bytes as a server, and computes
// nothing for it. With a gate, it writes the bytes of one step of the server's model for each value
// that it takes from the gate. With an engine, it writes them for each of the engine's tokens.
func bare(b *testing.B, tokens int, body string, gate chan struct{},
	e *engine.Engine) http.Handler {
	s, _ := start(b, Config{}, engine.Config{Model: &instantModel{tokens: tokens}}, byteText{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
	chunks := bytes.SplitAfter(w.Body.Bytes(), []byte("\n\n"))
	n := len(chunks) - 1 // the last is empty
	steps := [][]byte{slices.Concat(chunks[:2]...)}
	steps = append(steps, chunks[2:n-2]...)
	steps = append(steps, slices.Concat(chunks[n-2:n]...))
	prompt, err := byteText{}.EncodeChat([]string{"user"}, []string{strings.Repeat("a", tokens)},
		make([][]int32, 1), nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q openai.ChatRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var made <-chan engine.Token
		if e != nil {
			stream, err := e.Submit(r.Context(),
				engine.Request{Prompt: prompt, MaxTokens: 256, Stop: []int32{end}})
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			made = stream.Tokens()
		}
		w.Header().Set("Content-Type", eventStreamType)
		for _, step := range steps {
			if gate != nil {
				<-gate
			}
			if made != nil {
				<-made
			}
			w.Write(step)
			w.(http.Flusher).Flush()
		}
	})
}

// repeating returns a client that repeats one request on one connection and allocates nothing for
// it. It opens the gate, where there is one, once at first and then whenever it has read something.
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
			tail := buf[max(0, n-512):n] // the trailers and the end of the chunks
			if bytes.HasSuffix(tail, end) && bytes.Contains(tail, last) {
				break
			}
		}
	}
}

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// BenchmarkProxy is what an agent waits for with the proxy between it and its server, and without:
// a turn of a session of 100 messages and 400 kB, and one of a new session, whose answers are 64
// events. Between two turns the recorder comes to rest, as it does while an agent's tools are at
// work. Compare proxy with direct: turn-ns is the time to the end, first-ns that to the first
// event.
//
//	go test ./harness/proxy -run '^$' -bench Proxy -count 6
func BenchmarkProxy(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 64 {
			finish := "null"
			if i == 63 {
				finish = `"stop"`
			}
			fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\"word \"},\"finish_reason\":%s}]}\n\n", finish)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "data: [DONE]\n\n")
	}))
	b.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	assert.NilError(b, err)
	recorder, err := NewRecorder(io.Discard, Options{})
	assert.NilError(b, err)
	front := httptest.NewServer(New(to, recorder))
	b.Cleanup(func() {
		front.Close()
		recorder.Close()
	})
	message := fmt.Sprintf(`{"role":"user","content":"%s"}`, strings.Repeat("so it goes ", 360))
	long := chatBody(strings.Split(strings.Repeat(message+"\n", 100), "\n")[:100]...)
	for _, prompt := range []struct{ name, body string }{{"400kB", long}, {"1kB", chatBody(message[:1000] + `"}`)}} {
		for _, by := range []struct{ name, url string }{{"direct", server.URL}, {"proxy", front.URL}} {
			b.Run("prompt="+prompt.name+"/by="+by.name, func(b *testing.B) {
				var first, whole time.Duration
				for b.Loop() {
					began := time.Now()
					first += turn(b, by.url, prompt.body)
					whole += time.Since(began)
					recorder.rest()
				}
				b.ReportMetric(float64(first.Nanoseconds())/float64(b.N), "first-ns")
				b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "turn-ns")
			})
		}
	}
}

// rest waits until the recorder has nothing to do.
func (r *Recorder) rest() {
	for s := r.Stats(); s.InFlight > 0 || s.Waiting > 0; s = r.Stats() {
		runtime.Gosched()
	}
}

// turn asks once, reads the answer and returns when its first event came.
func turn(b *testing.B, base, body string) time.Duration {
	began := time.Now()
	res, err := http.Post(base+"/v1/chat/completions", "application/json", strings.NewReader(body))
	assert.NilError(b, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	_, err = lines.ReadString('\n')
	assert.NilError(b, err)
	first := time.Since(began)
	_, err = io.Copy(io.Discard, lines)
	assert.NilError(b, err)
	return first
}

package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"loadstone/engine"
)

// The benchmarks called Growth say how cost grows with size; see those of package engine.

// BenchmarkGrowthStreams has so many clients ask at once, each on a connection of its own, over
// loopback, and stream 64 tokens from a model that costs nothing. The clients are in the same
// process and their time is in ns/op, which is for one round of all.
//
//	ns/token   of a round
//	B/stream   of heap and stacks, client's included, when all have asked
//	files      that are open then
func BenchmarkGrowthStreams(b *testing.B) {
	const tokens = 64
	for _, streams := range []int{1, 10, 100, 1000, 2000} {
		b.Run(fmt.Sprintf("what=round/streams=%d", streams), func(b *testing.B) {
			m := &openModel{}
			s, e := start(b, Config{AccessLog: LineLog(io.Discard)}, engine.Config{Model: m, MaxBatch: streams,
				MaxQueue: streams, KVBytes: int64(streams+8) * 4 * 32 * 4, StepTokens: max(256, streams)}, byteText{})
			hs := httptest.NewServer(s)
			defer hs.Close()
			before := memory()
			body := say("hello", `"stream":true`, fmt.Sprintf(`"max_tokens":%d`, tokens))
			request := []byte(strings.Replace(post(body), "Connection: close\r\n", "", 1))
			conns := make([]net.Conn, streams)
			for i := range conns {
				var err error
				if conns[i], err = net.Dial("tcp", hs.Listener.Addr().String()); err != nil {
					b.Fatal(err)
				}
				defer conns[i].Close()
			}
			round := func(meanwhile func()) {
				var all sync.WaitGroup
				for _, c := range conns {
					all.Go(func() {
						if _, err := c.Write(request); err != nil {
							b.Error(err)
						} else if err := readAnswer(c); err != nil {
							b.Error(err)
						}
					})
				}
				meanwhile()
				all.Wait()
			}
			var perStream, files float64
			m.closed.Lock()
			round(func() {
				for st := e.Stats(); st.Running+st.Queued < streams && !b.Failed(); st = e.Stats() {
					time.Sleep(time.Millisecond)
				}
				perStream = float64(memory()-before) / float64(streams)
				if open, err := os.ReadDir("/proc/self/fd"); err == nil {
					files = float64(len(open))
				}
				m.closed.Unlock()
			})
			for b.Loop() {
				round(func() {})
			}
			b.ReportMetric(perStream, "B/stream")
			b.ReportMetric(files, "files")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(streams*tokens), "ns/token")
		})
	}
}

// readAnswer reads one answer that is sent in chunks.
func readAnswer(c net.Conn) error {
	buf, tail := make([]byte, 4096), []byte(nil)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, len(tail)-512):]
		if bytes.HasSuffix(tail, []byte("\r\n\r\n")) && bytes.Contains(tail, []byte("\r\n0\r\n")) {
			return nil
		}
	}
}

// memory returns the bytes of heap and stacks in use.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// An openModel says one letter whatever it is asked. Its steps wait while closed is locked.
type openModel struct {
	echoModel
	closed sync.RWMutex
}

func (m *openModel) AllocKV(_, _, _ int) error { return nil }

func (m *openModel) CopyKV(_, _, _, _, _ int) error { return nil }

func (m *openModel) Step(_, _, _, _, _, _ []int32, _ []float32, picks, best []int32) error {
	m.closed.RLock()
	defer m.closed.RUnlock()
	for i := range picks {
		best[i] = 'a'
	}
	return nil
}

// BenchmarkGrowthAgents measures what the operator and agents' owners ask for, where so many agents
// have a memory in the pool: a page of the list, and the status page. stall-ns is the
// longest that the engine took to begin and end a request of one token meanwhile.
func BenchmarkGrowthAgents(b *testing.B) {
	for _, agents := range []int{10, 100, 1000, 10_000, 100_000} {
		s, e := start(b, Config{}, engine.Config{Model: &openModel{},
			KVBytes: int64(agents+100) * 4 * 32}, byteText{})
		for i := range agents {
			answer(b, e, fmt.Sprintf("agent-%d", i))
		}
		for what, path := range map[string]string{"list": "/v1/agents?limit=100", "status": "/admin/status"} {
			b.Run(fmt.Sprintf("what=%s/agents=%d", what, agents), func(b *testing.B) {
				longest := time.Duration(0)
				for b.Loop() {
					var other sync.WaitGroup
					other.Go(func() {
						began := time.Now()
						answer(b, e, "")
						longest = max(longest, time.Since(began))
					})
					w := httptest.NewRecorder()
					s.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1"+path, nil))
					if w.Code != 200 {
						b.Fatal(w.Body)
					}
					other.Wait()
				}
				b.ReportMetric(float64(longest), "stall-ns")
			})
		}
		e.Close()
	}
}

// answer has an agent ask for one token.
func answer(b *testing.B, e *engine.Engine, agent string) {
	s, err := e.Submit(context.Background(), engine.Request{Agent: agent, Prompt: []int32{1, 2, 3}, MaxTokens: 1})
	if err != nil {
		b.Error(err)
		return
	}
	for range s.Tokens() {
	}
}

// BenchmarkGrowthPrincipals measures a request of one token, and a scrape, where so many principals
// have a key, all of whom have asked and have a memory.
func BenchmarkGrowthPrincipals(b *testing.B) {
	for _, principals := range []int{1, 10, 100, 1000} {
		var keys []Key
		for i := range principals {
			keys = append(keys, Key{Principal: fmt.Sprint("p", i), Secret: fmt.Sprint("secret-key-", i)})
		}
		s, e := start(b, Config{Keys: keys, OperatorKeys: []string{"operators-key"}},
			engine.Config{Model: &openModel{}, KVBytes: int64(principals+100) * 4 * 32 * 2}, byteText{})
		ask := func(i int) {
			r := httptest.NewRequest("POST", "/v1/chat/completions",
				strings.NewReader(say("hello", `"max_tokens":1`)))
			r.Header.Set("X-Api-Key", keys[i%principals].Secret)
			r.Header.Set("X-Agent-ID", "one")
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != 200 {
				b.Fatal(w.Body)
			}
		}
		for i := range principals {
			ask(i)
		}
		b.Run(fmt.Sprintf("what=request/principals=%d", principals), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				ask(i)
			}
		})
		b.Run(fmt.Sprintf("what=metrics/principals=%d", principals), func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest("GET", "/metrics", nil)
				r.Header.Set("X-Api-Key", "operators-key")
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
		e.Close()
	}
}

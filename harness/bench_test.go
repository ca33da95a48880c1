package harness_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/stub"
)

// The units of the benchmarks below that testing does not know itself.
var benchUnits = []struct{ name, better string }{{"cpu-ns/req", "lower"}, {"heap-bytes", "lower"}}

// BenchmarkServe measures a server under the five scenarios of every baseline: the one at -url, or
// LOADSTONE_URL, or one that is started on the embedded default.
//
//	go test -run '^$' -bench Serve -count 6 ./harness -args -url http://127.0.0.1:8080
func BenchmarkServe(b *testing.B) {
	if address := cmp.Or(*url, os.Getenv("LOADSTONE_URL")); address != "" {
		harness.Benchmark(b, harness.Target{URL: address, Key: os.Getenv("LOADSTONE_KEY")})
		return
	}
	harness.Benchmark(b, embedded(b))
}

var url = flag.String("url", "", "`address` of the server that BenchmarkServe measures; default: one that it starts")

// BenchmarkClient is what the client itself costs: 32 streams of 64 tokens at once from a server
// that computes nothing and is a process of its own, beside a client that only reads the lines. The
// difference is the price of the records.
func BenchmarkClient(b *testing.B) {
	self, err := os.Executable()
	assert.NilError(b, err)
	b.Setenv(serveVariable, "null")
	server, err := proc.Start(b.Context(), io.Discard, self)
	assert.NilError(b, err)
	b.Cleanup(server.Kill)
	measure := func(b *testing.B, one func()) {
		b.ReportAllocs()
		before := cpu(b)
		for b.Loop() {
			var streams sync.WaitGroup
			for range nullStreams {
				streams.Go(one)
			}
			streams.Wait()
		}
		b.ReportMetric(float64(cpu(b)-before)/float64(b.N*nullStreams), "cpu-ns/req")
	}
	b.Run("client=loadstone", func(b *testing.B) {
		c := client.New(server.URL)
		b.Cleanup(c.Close)
		p := client.Prompt{Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: nullTokens}
		measure(b, func() {
			if r := c.Ask(b.Context(), c.Since(), p); r.Outcome != record.OK || len(r.Chunks) != nullTokens {
				b.Errorf("%s %s", r.Outcome, r.Error)
			}
		})
	})
	b.Run("client=bare", func(b *testing.B) {
		c := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: nullStreams}}
		b.Cleanup(c.CloseIdleConnections)
		measure(b, func() {
			res, err := c.Post(server.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":64,"stream":true}`))
			if err != nil {
				b.Error(err)
				return
			}
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() {
			}
			res.Body.Close()
		})
	})
}

const nullStreams, nullTokens = 32, 64

// serveNull is a server that answers every prompt at once, each token written and flushed by
// itself.
func serveNull() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	return http.Serve(listener, stub.Server(0))
}

// BenchmarkConversation is what the client costs a call of an agent whose prompts are long: 64 000
// tokens in 200 messages and 16 KB of tools, each call a message longer, with an answer of 16
// tokens, beside a client that sends a body of the same bytes and only reads the lines. What a
// whole run costs a call is there too: its samples of the server, its checks, and questions asked
// again.
//
//	go test -run '^$' -bench Conversation -count 6 ./harness
func BenchmarkConversation(b *testing.B) {
	self, err := os.Executable()
	assert.NilError(b, err)
	b.Setenv(serveVariable, "null")
	server, err := proc.Start(b.Context(), io.Discard, self)
	assert.NilError(b, err)
	b.Cleanup(server.Kill)
	const calls, sessions = 50, 6
	b.Run("client=loadstone", func(b *testing.B) {
		c := client.New(server.URL)
		b.Cleanup(c.Close)
		var used time.Duration
		for b.Loop() {
			session := longSession(calls)
			before := cpu(b)
			for range sessions {
				var all []client.Message
				for call := range session.Calls {
					for _, m := range call.Add {
						all = append(all, client.Message{Role: m.Role, Content: m.Text, Wire: &client.Wire{}})
					}
					p := client.Prompt{Messages: all, Tools: call.Tools, MaxTokens: call.Answer}
					if r := c.Ask(b.Context(), c.Since(), p); r.Outcome != record.OK {
						b.Fatal(r.Outcome, r.Error)
					}
				}
			}
			used += cpu(b) - before
		}
		b.ReportMetric(float64(used)/float64(b.N*calls*sessions), "cpu-ns/req")
	})
	b.Run("client=harness", func(b *testing.B) {
		c := client.New(server.URL)
		b.Cleanup(c.Close)
		var used time.Duration
		for b.Loop() {
			plan := harness.Plan{Loads: []load.Load{{Concurrency: 1, Sessions: slices.Repeat([]load.Session{longSession(calls)}, sessions)}}}
			before := cpu(b)
			runs, _, err := plan.Run(b.Context(), c)
			assert.NilError(b, err)
			used += cpu(b) - before
			assert.Equal(b, runs[0].Summary().Outcomes[record.OK], calls*sessions)
		}
		b.ReportMetric(float64(used)/float64(b.N*calls*sessions), "cpu-ns/req")
	})
	b.Run("client=bare", func(b *testing.B) {
		c := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		b.Cleanup(c.CloseIdleConnections)
		body := longBody(b)
		var used time.Duration
		for b.Loop() {
			before := cpu(b)
			for range calls * sessions {
				res, err := c.Post(server.URL+"/v1/chat/completions", "application/json", bytes.NewReader(body))
				assert.NilError(b, err)
				lines := bufio.NewScanner(res.Body)
				for lines.Scan() {
				}
				res.Body.Close()
			}
			used += cpu(b) - before
		}
		b.ReportMetric(float64(used)/float64(b.N*calls*sessions), "cpu-ns/req")
	})
}

// longSession is a session whose prompts have 64 000 tokens, of 4 bytes, from the first call on.
func longSession(calls int) load.Session {
	tools := []json.RawMessage{json.RawMessage(fmt.Sprintf(`{"type":"function","function":{"name":"run","description":%q}}`,
		load.Text(1, 2600)))}
	said := func(i, words int) load.Message {
		role := []string{"user", "assistant"}[i%2]
		text := load.Text(uint64(i), words)
		raw, _ := json.Marshal(map[string]string{"role": role, "content": text})
		return load.Message{Role: role, Text: text, Raw: raw}
	}
	var begin []load.Message
	for i := range 199 {
		begin = append(begin, said(i, 200))
	}
	replies, questions := make([]load.Message, calls), make([]load.Message, calls)
	for i := range calls {
		replies[i], questions[i] = said(1, 12), said(2*i, 12)
		replies[i].Reply = true
	}
	all := func(yield func(load.Call) bool) {
		for i := range calls {
			c := load.Call{ID: i, From: i - 1, Tools: tools, Answer: 16, Add: begin}
			if i > 0 {
				c.Add = []load.Message{replies[i], questions[i]}
			}
			c.Recorded = &load.Recorded{Output: 16}
			if !yield(c) {
				return
			}
		}
	}
	return load.Session{Name: "long", API: "chat", Verbatim: true, Count: calls, Linear: true, Calls: all}
}

// longBody is a body of it, as the client writes it: of the call in the middle, which is as long as
// the mean.
func longBody(b *testing.B) []byte {
	var kept []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if r.Body = io.NopCloser(bytes.NewReader(text)); len(text) > len(kept) {
			kept = text
		}
		stub.Server(0).ServeHTTP(w, r)
	}))
	defer s.Close()
	c := client.New(s.URL)
	_, _, err := harness.Plan{Loads: []load.Load{{Concurrency: 1, Sessions: []load.Session{longSession(26)}}}}.Run(b.Context(), c)
	assert.NilError(b, err)
	b.Logf("a body of %d bytes", len(kept))
	return kept
}

// BenchmarkMemory is what a measurement of so many requests leaves on the heap while its runs are
// still held, as run makes it and as bench does: the records that are kept, and the secrets of the
// last million agents, ten bytes each.
func BenchmarkMemory(b *testing.B) {
	self, err := os.Executable()
	assert.NilError(b, err)
	b.Setenv(serveVariable, "null")
	server, err := proc.Start(b.Context(), io.Discard, self)
	assert.NilError(b, err)
	b.Cleanup(server.Kill)
	write := func([]record.Record) error { return nil }
	measure := func(b *testing.B, n int, plan func(c *client.Client) ([]record.Run, error)) {
		for b.Loop() {
			c := client.New(server.URL)
			runs, err := plan(c)
			assert.NilError(b, err)
			requests := 0
			for _, run := range runs {
				requests += run.Summary().Requests
			}
			assert.Equal(b, requests, n)
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc), "heap-bytes")
			runtime.KeepAlive(runs)
			c.Close()
		}
	}
	for _, n := range []int{1_000, 25_000, 250_000} {
		b.Run(fmt.Sprintf("by=run/requests=%d", n), func(b *testing.B) {
			l := load.Load{Name: "memory", Cache: "cold", Concurrency: 16, Requests: n, Prompt: load.Fixed(8), Answer: load.Fixed(8)}
			measure(b, n, func(c *client.Client) ([]record.Run, error) {
				runs, _, err := harness.Plan{Loads: []load.Load{l}, Runs: 1, Write: write}.Run(b.Context(), c)
				return runs, err
			})
		})
		b.Run(fmt.Sprintf("by=bench/requests=%d", n), func(b *testing.B) {
			cold := load.Load{Name: "single-cold", Together: 1, Rounds: n / 10, Prompt: load.Fixed(8), Answer: load.Fixed(8)}
			measure(b, n, func(c *client.Client) ([]record.Run, error) {
				runs, _, err := harness.Plan{Loads: []load.Load{cold}, Runs: 10, Write: write}.Run(b.Context(), c)
				return runs, err
			})
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	assert.NilError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

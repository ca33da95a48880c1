package harness_test

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
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

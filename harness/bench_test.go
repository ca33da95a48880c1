package harness_test

import (
	"bufio"
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
var benchUnits = []struct{ name, better string }{
	{"p50-ttft-ns", "lower"}, {"p99-ttft-ns", "lower"}, {"p50-e2e-ns", "lower"}, {"p99-e2e-ns", "lower"},
	{"req/s", "higher"}, {"tok/s", "higher"}, {"hit-ratio", "higher"}, {"cpu-ns/req", "lower"}, {"heap-bytes", "lower"},
}

// BenchmarkServe is the embedded default under agents that go on with their conversations; one iteration is one turn of
// every agent. For baselines use the command, which runs all five scenarios.
func BenchmarkServe(b *testing.B) {
	for _, n := range []int{1, 5, 10} {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			s := startSubject(b)
			var records []record.Record
			var elapsed time.Duration
			team := agents(n, 1)
			for i := 0; b.Loop(); i++ {
				if i%50 == 0 { // a conversation does not go on for ever
					b.StopTimer()
					team = agents(n, uint64(i)+1)
					_, err := s.RunAgents(b.Context(), team, 1, 40, 16)
					assert.NilError(b, err)
					b.StartTimer()
				}
				start := time.Now()
				turn, err := s.RunAgents(b.Context(), team, 1, 5, 16)
				elapsed += time.Since(start)
				assert.NilError(b, err)
				records = append(records, turn...)
			}
			sum := record.Summarize("serve", records, elapsed, -1)
			assert.Equal(b, sum.ErrorRatio, 0.0, firstError(records, record.OK))
			for name, v := range map[string]float64{
				"p50-ttft-ns": float64(sum.TTFT.P50), "p99-ttft-ns": float64(sum.TTFT.P99),
				"p50-e2e-ns": float64(sum.E2E.P50), "p99-e2e-ns": float64(sum.E2E.P99),
				"req/s": sum.RequestsPerSec, "tok/s": sum.TokensPerSec, "hit-ratio": sum.HitRatio,
			} {
				b.ReportMetric(v, name)
			}
		})
	}
}

// BenchmarkClient is what the client itself costs: 32 streams of 64 tokens at once from a server that computes nothing and
// is a process of its own, beside a client that only reads the lines. The difference is the price of the records.
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

// serveNull is a server that answers every prompt at once, each token written and flushed by itself.
func serveNull() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	return http.Serve(listener, stub.Server(0))
}

// BenchmarkMemory is what a measurement of so many requests leaves on the heap while its runs are still held, as run makes it
// and as bench does: the records that are kept, and the secrets of the last million agents, ten bytes each.
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
				runs, _, err := harness.LoadPlan{Load: l, Runs: 1, Write: write}.Run(b.Context(), c)
				return runs, err
			})
		})
		b.Run(fmt.Sprintf("by=bench/requests=%d", n), func(b *testing.B) {
			cold, err := harness.FindScenario("single-cold")
			assert.NilError(b, err)
			measure(b, n, func(c *client.Client) ([]record.Run, error) {
				return harness.Plan{Scenarios: []harness.Scenario{cold}, Runs: 10, Reps: n / 10, PromptTokens: 8, MaxTokens: 8, Write: write}.Run(b.Context(), c)
			})
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	assert.NilError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

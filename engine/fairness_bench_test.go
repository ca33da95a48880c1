package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
)

// BenchmarkFairness measures, in real time, what one principal gets from the embedded model: bob
// sends one request after another, a prompt of 90 tokens with an answer of 24, while alice has
// nothing running, one request that is always a prompt of 700 tokens, or 64 requests, two thirds of
// which answer with 60 tokens. TestFlood asserts in fake time that p99 beside
// the flood is not above that beside one request. In real time it is: 12.6 ms alone, 62.8 ms beside
// one request, 92 ms beside the flood (n=6, two cores with AVX-512 VNNI). The reason is not known.
//
//	ns/op           one request of bob's
//	ttft-p99-ms     99th percentile of the time to its first token
//	total-p99-ms    99th percentile of the time to its last token
//	flood-tokens/s  the tokens that alice gets meanwhile
//
//	for i in 1 2 3 4 5 6; do # each round has all three, so that they share the machine's load
//		go test ./engine -run '^$' -bench Fairness -benchtime 200x
//	done > fairness.txt
//	benchstat -col /beside fairness.txt
func BenchmarkFairness(b *testing.B) {
	for _, c := range []struct {
		beside string
		alices int
		mixed  bool
	}{{"nothing", 0, false}, {"one", 1, false}, {"flood", 64, true}} {
		b.Run("beside="+c.beside, func(b *testing.B) {
			e := fairEngine(b)
			stop := floodBy(b, e, c.alices, c.mixed)
			defer stop()
			bob := func(n int) (first, whole time.Duration) {
				sent := time.Now()
				s, err := e.Submit(b.Context(),
					Request{Principal: "bob", MaxTokens: 24, Prompt: tinyPrompt(n*17, 90)})
				if err != nil {
					b.Fatalf("bob is refused: %v", err)
				}
				for tok := range s.Tokens() {
					if tok.Start != nil {
						first = time.Since(sent)
					}
				}
				return first, time.Since(sent)
			}
			for n := range 50 { // until the pace knows what steps cost
				bob(1_000_000 + n)
			}
			var first, whole []time.Duration
			before, n := e.Stats().OutputTokens, 0
			for b.Loop() {
				f, w := bob(n)
				first, whole = append(first, f), append(whole, w)
				n++
			}
			alices := float64(e.Stats().OutputTokens-before) - float64(24*n)
			b.ReportMetric(quantile(first, 99).Seconds()*1000, "ttft-p99-ms")
			b.ReportMetric(quantile(whole, 99).Seconds()*1000, "total-p99-ms")
			b.ReportMetric(alices/b.Elapsed().Seconds(), "flood-tokens/s")
		})
	}
}

// fairEngine returns an engine with the embedded model and the principals alice and bob.
func fairEngine(b *testing.B) *Engine {
	b.Helper()
	c, err := checkpoint.Open(tiny.FS)
	if err != nil {
		b.Fatal(err)
	}
	m, err := ref.New(c, "f32")
	if err != nil {
		b.Fatal(err)
	}
	e, err := New(Config{Model: m, KVBytes: 256 << 20, MaxBatch: 16, MaxQueue: 200})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	if err := e.SetShares(map[string]Share{"alice": {}, "bob": {}}); err != nil {
		b.Fatal(err)
	}
	return e
}

// floodBy keeps requests of alice in flight until stop is called. Their answers have one token, or
// 60 for two of three if they are mixed.
func floodBy(b *testing.B, e *Engine, requests int, mixed bool) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				answer := 1
				if mixed && (i+n)%3 > 0 {
					answer = 60
				}
				s, err := e.Submit(ctx, Request{Principal: "alice", Agent: fmt.Sprint(i),
					MaxTokens: answer, Prompt: tinyPrompt(1000*(i+1)+n*31, 700)})
				if err != nil {
					if ctx.Err() == nil {
						b.Errorf("alice is refused: %v", err)
					}
					return
				}
				drainTokens(s)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// tinyPrompt returns n tokens of the embedded model's vocabulary, others for another seed.
func tinyPrompt(seed, n int) []int32 {
	prompt := make([]int32, n)
	x := uint32(seed)*2654435761 + 1
	for i := range prompt {
		x = x*1664525 + 1013904223
		prompt[i] = int32(x>>16)%200 + 3
	}
	return prompt
}

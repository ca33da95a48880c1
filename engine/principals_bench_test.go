package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
)

// BenchmarkPrincipals measures what isolation costs: 1000 agents with one system prompt of 256
// tokens and a question of 16 of their own, who belong to 1, 10 or 1000 principals. Each asks once;
// then each asks a next question.
//
//	first-ms     an answer of one token, so its time to first token, to the agents' first questions,
//	             most of which find the system prompt if they have a principal in common
//	next-ms      the same of the next questions
//	cached-%     of the prompts' tokens in both rounds
//	pool-bytes   of the KV pool that all of it takes
//
//	go test ./engine -run '^$' -bench Principals -benchtime 1x -count 6 > principals.txt
//	benchstat -col /principals principals.txt
func BenchmarkPrincipals(b *testing.B) {
	for _, principals := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("principals=%d", principals), func(b *testing.B) {
			c, err := checkpoint.Open(tiny.FS)
			if err != nil {
				b.Fatal(err)
			}
			m, err := ref.New(c, "f32")
			if err != nil {
				b.Fatal(err)
			}
			e, err := New(Config{Model: m, KVBytes: 3 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			shares := map[string]Share{}
			for p := range principals {
				shares[fmt.Sprint("p", p)] = Share{}
			}
			if err := e.SetShares(shares); err != nil {
				b.Fatal(err)
			}
			ask := func(agent, round int) {
				prompt := make([]int32, 0, 300)
				for i := range 256 {
					prompt = append(prompt, int32(i%200+3))
				}
				for r := range round + 1 { // of the agent alone: its number is in two of the tokens
					prompt = append(prompt, int32(agent%200+3), int32(agent/200+3))
					for i := range 14 {
						prompt = append(prompt, int32((r*7+i*13)%200+3))
					}
				}
				s, err := e.Submit(context.Background(), Request{Principal: fmt.Sprint("p", agent%principals),
					Agent: fmt.Sprint(agent), Prompt: prompt, MaxTokens: 1})
				if err != nil {
					b.Fatal(err)
				}
				for range s.Tokens() {
				}
			}
			const agents = 1000
			began := time.Now()
			for a := range agents {
				ask(a, 0)
			}
			first := time.Since(began)
			var next time.Duration
			for round := 1; b.Loop(); round++ {
				began := time.Now()
				for a := range agents {
					ask(a, round)
				}
				next += time.Since(began)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(next.Seconds()*1000/agents/float64(b.N), "next-ms")
			st := e.Stats()
			b.ReportMetric(first.Seconds()*1000/agents, "first-ms")
			b.ReportMetric(100*float64(st.CachedTokens)/float64(st.PromptTokens), "cached-%")
			b.ReportMetric(float64(st.Bytes.Sum()-st.Bytes.Free), "pool-bytes")
		})
	}
}

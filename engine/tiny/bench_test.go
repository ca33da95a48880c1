package tiny

import (
	"fmt"
	"testing"
)

// BenchmarkPrefill runs a prompt in chunks of 256 tokens, as the engine does. It uses GOMAXPROCS
// cores, which -cpu 1,2 sets.
func BenchmarkPrefill(b *testing.B) {
	for _, n := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("prompt=%d", n), func(b *testing.B) {
			m := open(b)
			prompt := random(1, n)
			for b.Loop() {
				for at := 0; at < n; at += 256 {
					feed(b, m, prompt[at:at+256], at)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

// BenchmarkDecode runs steps of one token each for sequences that have 256 tokens in the cache.
func BenchmarkDecode(b *testing.B) {
	for _, batch := range []int{1, 8} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			const context, blocks = 256, 256/blockTokens + 1
			m := open(b)
			prompt := random(1, context)
			tokens, lens := make([]int32, batch), make([]int32, batch)
			starts, rows := make([]int32, batch), make([]int32, batch)
			for i := range batch {
				tokens[i], lens[i], starts[i], rows[i] = int32(100+i), 1, context, int32(i)
				own := table[i*blocks:][:blocks-1]
				err := m.Step(prompt, []int32{context}, []int32{0}, own, own, nil, nil, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
			}
			logits := make([]float32, batch*m.Vocab())
			all := table[:batch*blocks]
			for b.Loop() {
				err := m.Step(tokens, lens, starts, all, all, rows, logits, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

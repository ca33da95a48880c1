package ref

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"loadstone/engine/checkpoint"
)

// BenchmarkModel runs the real models that are on this machine: a prompt of 128 tokens, and single
// tokens after it. The benchmarks of the embedded model are in package tiny.
func BenchmarkModel(b *testing.B) {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Skip(err)
	}
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		b.Run(name, func(b *testing.B) {
			c, err := checkpoint.Open(os.DirFS(filepath.Join(cache, "loadstone", "models", name)))
			if err != nil {
				b.Skipf("%v; get it with: loadstone model pull %s", err, name)
			}
			m, err := New(c, "f32")
			if err != nil {
				b.Fatal(err)
			}
			if err := m.AllocKV(8, 8, 32); err != nil {
				b.Fatal(err)
			}
			prompt := make([]int32, 129)
			for i := range prompt {
				prompt[i] = int32(1000 + i*37)
			}
			logits := make([]float32, m.Vocab())
			for _, n := range []int32{128, 1} {
				b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
					tokens, start := prompt[:128], int32(0)
					if n == 1 {
						tokens, start = prompt[128:], 128
					}
					for b.Loop() {
						if err := m.Step(tokens, []int32{n}, []int32{start},
							upTo(int(start+n+31)/32), upTo(int(start+n+31)/32), []int32{n - 1},
							logits, nil, nil); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
				})
			}
		})
	}
}

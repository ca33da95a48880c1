//go:build mlx

package metal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// BenchmarkKVGreedy counts the greedy tokens that another format of the cache changes where float32
// has chosen all tokens before: of the first 24 of the answers to the 13 chats on which
// metal/likeliest is compared with mlx-lm, of the networks as users have them.
func BenchmarkKVGreedy(b *testing.B) {
	for _, name := range benchModels {
		for _, activations := range []int{8, 16} {
			for _, kv := range []string{"f16", "q8", "q4"} {
				b.Run(fmt.Sprintf("model=%s/activations=%d/kv=%s", name, activations, kv),
					func(b *testing.B) { benchGreedy(b, name, activations, kv) })
			}
		}
	}
}

func benchGreedy(b *testing.B, name string, activations int, kv string) {
	const answer, room = 24, 2560
	var set struct {
		Chats [][]int32
		Ends  []int32
	}
	data, err := os.ReadFile(filepath.Join("likeliest", "testdata", name+".json"))
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err != nil || len(set.Chats) != 13 {
		b.Fatalf("%d chats: %v", len(set.Chats), err)
	}
	open := func(kv string) *Model {
		opt := options{Options: Options{KV: kv, Activations: activations}}
		return openBench(b, name, opt, room/benchBlock)
	}
	exact, other := open("f32"), open(kv)
	for b.Loop() {
		var tokens, changed, answers float64
		for _, ids := range set.Chats {
			before := changed
			run, at := ids, 0
			for range answer {
				want, got := pick(b, exact, run, at), pick(b, other, run, at)
				if tokens++; want != got {
					changed++
				}
				if slices.Contains(set.Ends, want) {
					break
				}
				run, at = []int32{want}, at+len(run)
			}
			if changed > before {
				answers++
			}
		}
		b.ReportMetric(tokens, "tokens")
		b.ReportMetric(changed, "changed")
		b.ReportMetric(answers, "answers-changed")
	}
	b.ReportMetric(0, "ns/op")
}

// pick runs tokens from position at on, in steps of 256, and returns the likeliest next one.
func pick(b *testing.B, n *Model, tokens []int32, at int) int32 {
	b.Helper()
	best := make([]int32, 1)
	for some := range slices.Chunk(tokens, 256) {
		table := consecutive(0, at+len(some))
		err := n.Step(some, []int32{int32(len(some))}, []int32{int32(at)}, table, table, nil, nil,
			[]int32{int32(len(some) - 1)}, best)
		if err != nil {
			b.Fatal(err)
		}
		at += len(some)
	}
	return best[0]
}

package gguf_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"loadstone/engine/checkpoint"
	"loadstone/engine/gguf"
	"loadstone/engine/ref"
	"loadstone/engine/ref/oracle"
)

// TestOracles imports the files that llama.cpp's converter makes of the oracles' networks. Their
// logits must be those of Transformers, which has read the same weights from safetensors, and
// their greedy answers llama.cpp's.
func TestOracles(t *testing.T) {
	for _, kind := range oracle.GGUFKinds(t) {
		t.Run(kind, func(t *testing.T) {
			file, llamaCPP := oracle.GGUF(t, kind)
			dir := filepath.Join(t.TempDir(), "model")
			if err := gguf.Import(file, dir, nil); err != nil {
				t.Fatal(err)
			}
			c, err := checkpoint.Open(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			m, err := ref.New(c, "f32")
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.AllocKV(1, 1, m.Context()); err != nil {
				t.Fatal(err)
			}
			step := func(ids []int32, at int, rows int) []float32 {
				t.Helper()
				n, want := len(ids), make([]int32, rows)
				for i := range want {
					want[i] = int32(n - rows + i)
				}
				logits := make([]float32, rows*m.Vocab())
				err := m.Step(ids, []int32{int32(n)}, []int32{int32(at)}, []int32{0}, []int32{0},
					want, logits, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				return logits
			}

			want, rows := oracle.Logits(t, kind, false)
			ids := oracle.Prompt(m.Vocab())
			logits := step(ids, 0, rows)
			off := oracle.Distance(t, logits, want)
			if off > 1e-4 {
				t.Errorf("logits differ from Transformers' by %g", off)
			}
			logits, at := logits[len(logits)-m.Vocab():], len(ids)
			worst := 0.0
			for i, id := range llamaCPP.Answer {
				best, p := likeliest(logits)
				if best != id {
					t.Fatalf("token %d of the answer is %d, llama.cpp's is %d", i, best, id)
				}
				worst = max(worst, math.Abs(p-llamaCPP.Logprobs[i]))
				logits = step([]int32{best}, at, 1)
				at++
			}
			t.Logf("logits differ from Transformers' by %.2g, logprobs from llama.cpp's by %.2g", off,
				worst)
			// llama.cpp does not round the factor of Gemma's embedding to bfloat16.
			if limit := map[string]float64{"gemma3": 0.02}[kind] + 5e-4; worst > limit {
				t.Errorf("logprobs differ from llama.cpp's by %g, %g allowed", worst, limit)
			}
		})
	}
}

// likeliest returns the token of the largest logit and the logarithm of its probability. Token 0
// ends an answer, and llama.cpp was told not to.
func likeliest(logits []float32) (best int32, logprob float64) {
	best = 1
	for i, v := range logits {
		if i > 0 && v > logits[best] {
			best = int32(i)
		}
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[best]))
	}
	return best, -math.Log(sum)
}

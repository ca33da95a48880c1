//go:build mlx

package service

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/engine/tokenizer"
)

// TestPerplexity measures the loss from storing KV in fewer bits, and from the kernels for
// quantised weights, which round activations to eight bits. It is the perplexity of Newton's
// Opticks, which every Go installation has, relative to that of the same weights in float32
// throughout.
func TestPerplexity(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip(err)
	}
	book, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "testdata",
		"Isaac.Newton-Opticks.txt"))
	if err != nil {
		t.Skip(err)
	}
	for name, limits := range map[string]map[string]float64{
		"smollm2":     {"f16": 1.001, "q8": 1.005, "q4": 1.09},
		"gemma3-270m": {"f16": 1.001, "q8": 1.005, "q4": 1.16},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := catalog.Open(name)
			if err != nil {
				t.Skip(err)
			}
			m, err := tokenizer.Load(src.FS)
			if err != nil {
				t.Fatal(err)
			}
			ids := m.Encode(string(book[20000:36000]), true)
			exact := perplexity(t, src, "float32", "f32", ids[:768])
			for _, kv := range roundingFormats() {
				ratio := perplexity(t, src, "float32", kv, ids[:768]) / exact
				t.Logf("%s: perplexity %.3f at f32, %.5f times that", kv, exact, ratio)
				if !(ratio <= limits[kv] && ratio >= 1/limits[kv]) {
					t.Errorf("%s: perplexity is %.5f times float32's, at most %g allowed", kv,
						ratio, limits[kv])
				}
			}
			// Package metal has 182 tokens from mlx-lm; with so few, chance alone makes 1 %.
			long := ids[:1536]
			ratio := perplexity(t, src, "", "f32", long) / perplexity(t, src, "float32", "f32",
				long)
			t.Logf("the kernels: %.5f times float32's perplexity", ratio)
			if !(math.Abs(ratio-1) < 0.01) {
				t.Errorf("the kernels for quantised weights: perplexity is %.5f times float32's",
					ratio)
			}
		})
	}
}

// perplexity returns the perplexity of ids from the 64th on, in steps of 64 tokens.
func perplexity(t *testing.T, src catalog.Source, isa, kv string, ids []int32) float64 {
	t.Helper()
	t.Setenv("LOADSTONE_ISA", isa)
	m, err := open(src, BackendMLX, kv, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const step = 64
	blocks := int32(len(ids)+31) / 32
	if err := m.AllocKV(int(blocks), int(blocks), 32); err != nil {
		t.Fatal(err)
	}
	table, rows := make([]int32, blocks), make([]int32, step)
	for i := range table {
		table[i] = int32(i)
	}
	for i := range rows {
		rows[i] = int32(i)
	}
	logits := make([]float32, step*m.Vocab())
	sum, n := 0.0, 0
	for at := 0; at+step < len(ids); at += step {
		entries := table[:(at+step+31)/32]
		if err := m.Step(ids[at:at+step], []int32{step}, []int32{int32(at)}, entries, entries, rows,
			logits, nil, nil); err != nil {
			t.Fatal(err)
		}
		for i := range step {
			if next := at + i + 1; next >= 64 {
				sum += surprise(logits[i*m.Vocab():][:m.Vocab()], ids[next])
				n++
			}
		}
	}
	return math.Exp(sum / float64(n))
}

// surprise returns minus the logarithm of the probability of id.
func surprise(row []float32, id int32) float64 {
	top := row[argmax(row)]
	sum := 0.0
	for _, v := range row {
		sum += math.Exp(float64(v - top))
	}
	return math.Log(sum) - float64(row[id]-top)
}

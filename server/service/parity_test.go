//go:build mlx

package service

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/metal"
)

// parityTolerance is how far apart a logit may be on ref and on MLX, as a share of the largest
// logit of the row. Both compute in float32 and differ in the order of their sums alone; the worst
// seen is in the test's log.
const parityTolerance = 1e-4

// kvTolerance is the same for KV formats that round: a sum in another order puts some elements on
// the other side of a rounding, and that element is then a step away.
var kvTolerance = map[string]float64{"f16": 2e-3, "q8": 0.05, "q4": 0.4}

// TestRefMatchesMetal runs the pure-Go model, the oracle, beside MLX on the same weights: the
// logits of a prompt and of every greedy step agree, and so do 32 greedy tokens.
//
// Gemma's prompt is longer than its window of 512 tokens. MLX keeps no more of its sliding layers
// than the window and a block, used again and again, and ref keeps all.
//
// The embedded model is not among them: it is chaotic on purpose and makes 1e-3 of a difference of
// 1e-7 within its six layers (engine/tiny/make.py), so it can show no smaller error.
func TestRefMatchesMetal(t *testing.T) {
	for name, n := range map[string]int{"smollm2": 40, "gemma3-270m": 560} {
		t.Run(name, func(t *testing.T) {
			src, err := catalog.Open(name)
			if err != nil {
				t.Skip(err) // it says how to get the model
			}
			ref, metal := openForParity(t, src, BackendRef, "f32", parityBlocks), openForParity(t,
				src, BackendMLX, "f32", 34)

			rng := rand.New(rand.NewPCG(1, 1))
			prompt := make([]int32, n)
			for i := range prompt {
				prompt[i] = rng.Int32N(int32(ref.Vocab()))
			}
			worst := 0.0
			tokens, at := prompt, int32(0)
			for i := range 32 {
				want := parityStep(t, ref, tokens, at, parityBlocks)
				var got []float32
				for chunk, from := range slices.Collect(slices.Chunk(tokens, 16)) {
					got = parityStep(t, metal, from, at+int32(16*chunk), 34)
				}
				off, row := distance(want, got)
				worst = max(worst, off)
				if off > parityTolerance {
					t.Fatalf("token %d: logit %d is %g on ref and %g on metal", i, row, want[row],
						got[row])
				}
				id := argmax(want)
				if g := argmax(got); g != id {
					t.Fatalf("token %d: ref says %d (%g), metal %d (%g)", i, id, want[id], g,
						want[g])
				}
				at += int32(len(tokens))
				tokens = []int32{id}
			}
			t.Logf("largest difference %.1e of the row's largest logit", worst)
		})
	}
}

// kvFormats are those of this machine that round: a GPU runs MLX's own operations, which read no KV
// of 8 or 4 bits.
func kvFormats() []string {
	if strings.HasSuffix(metal.Runtime(), "(GPU)") {
		return []string{"f16"}
	}
	return []string{"f16", "q8", "q4"}
}

// TestKVFormatsMatch does the same, in fewer steps, for each format that rounds. What the formats
// themselves cost is TestPerplexity's.
func TestKVFormatsMatch(t *testing.T) {
	for _, name := range []string{"smollm2"} {
		for _, kv := range kvFormats() {
			t.Run(name+"/"+kv, func(t *testing.T) {
				src, err := catalog.Open(name)
				if err != nil {
					t.Skip(err) // it says how to get the model
				}
				ref, metal := openForParity(t, src, BackendRef, kv, parityBlocks), openForParity(t,
					src, BackendMLX, kv, parityBlocks)
				rg, rl := ref.KVBytesPerToken()
				if mg, ml := metal.KVBytesPerToken(); rg != mg || rl != ml {
					t.Errorf("a token takes %d and %d bytes on ref, %d and %d on metal", rg, rl, mg,
						ml)
				}
				paritySteps(t, ref, metal, 24, 4, kvTolerance[kv],
					func(int32, []float32, []float32) {})
			})
		}
	}
}

// paritySteps runs n random tokens and then ref's greedy ones, in so many steps, on both models.
// The logits of each step must be within tolerance; each is called with them.
func paritySteps(t *testing.T, ref, metal engine.Model, n, steps int, tolerance float64,
	each func(at int32, want, got []float32)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	tokens, at, worst := make([]int32, n), int32(0), 0.0
	for i := range tokens {
		tokens[i] = rng.Int32N(int32(ref.Vocab()))
	}
	for range steps {
		want, got := parityStep(t, ref, tokens, at, parityBlocks), parityStep(t, metal, tokens, at,
			parityBlocks)
		off, row := distance(want, got)
		if worst = max(worst, off); off > tolerance {
			t.Fatalf("position %d: logit %d is %g on ref and %g on metal", at, row, want[row],
				got[row])
		}
		each(at, want, got)
		at += int32(len(tokens))
		tokens = []int32{argmax(want)}
	}
	t.Logf("largest difference %.1e of the row's largest logit", worst)
}

// parityBlocks is how many blocks of 16 the longest sequence takes.
const parityBlocks = 37

func openForParity(t *testing.T, src catalog.Source, backend, kv string, locals int) engine.Model {
	t.Helper()
	t.Setenv("LOADSTONE_ISA", "float32") // activations of 8 bits are package metal's to test
	m, err := open(src, backend, kv, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Errorf("%s: close: %v", backend, err)
		}
	})
	if err := m.AllocKV(parityBlocks, locals, 16); err != nil {
		t.Fatal(err)
	}
	return m
}

// parityStep runs tokens from position at of one sequence and returns the last one's logits.
func parityStep(t *testing.T, m engine.Model, tokens []int32, at int32, locals int) []float32 {
	t.Helper()
	n := int32(len(tokens))
	table, local := make([]int32, (at+n+15)/16), make([]int32, (at+n+15)/16)
	for i := range table {
		table[i] = int32(5*i) % parityBlocks // all of them, not side by side
		local[i] = int32(i % locals)
	}
	logits := make([]float32, m.Vocab())
	if err := m.Step(tokens, []int32{n}, []int32{at}, table, local, []int32{n - 1}, logits, nil,
		nil); err != nil {
		t.Fatal(fmt.Errorf("position %d: %w", at, err))
	}
	return logits
}

// distance is the largest difference of two rows as a share of the first one's largest magnitude,
// and where it is.
func distance(a, b []float32) (share float64, at int) {
	var largest, off float64
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i])))
		if d := math.Abs(float64(a[i]) - float64(b[i])); d > off || d != d {
			off, at = d, i
		}
	}
	return off / largest, at
}

func argmax(row []float32) int32 {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return int32(best)
}

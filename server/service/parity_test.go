//go:build mlx

package service

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/engine/gguf"
	"loadstone/engine/ref/oracle"
	"loadstone/metal"
)

// parityTolerance is how far apart a logit may be on ref and on MLX, as a share of the largest
// logit of the row. Both compute in float32 and differ in the order of their sums alone. The test
// logs the largest difference.
const parityTolerance = 1e-4

// kvTolerance is the same for KV formats that round: a sum in another order is rounded in another
// direction for some elements, which are then a step apart.
var kvTolerance = map[string]float64{"f16": 2e-3, "q8": 0.05, "q4": 0.4}

// TestRefMatchesMLX runs the pure-Go model, the oracle, beside MLX on the same weights. The logits
// of a prompt and of every greedy step agree, and so do 32 greedy tokens.
//
// Gemma's prompt is longer than its window of 512 tokens. MLX gets window slots for the window and
// one block, which are used again and again, and ref gets slots for all tokens.
//
// The embedded model is not tested: it is chaotic on purpose and makes 1e-3 of a difference of 1e-7
// within its six layers (engine/tiny/make.py), so it cannot show a smaller error.
func TestRefMatchesMLX(t *testing.T) {
	for name, n := range map[string]int{"smollm2": 40, "gemma3-270m": 560} {
		t.Run(name, func(t *testing.T) {
			src, err := catalog.Open(name)
			if err != nil {
				t.Skip(err) // the error says how to get the model
			}
			ref := openForParity(t, src, BackendRef, "f32", parityBlocks)
			mlx := openForParity(t, src, BackendMLX, "f32", 34)

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
					got = parityStep(t, mlx, from, at+int32(16*chunk), 34)
				}
				off, row := distance(want, got)
				worst = max(worst, off)
				if off > parityTolerance {
					t.Fatalf("token %d: logit %d is %g on ref and %g on mlx", i, row, want[row],
						got[row])
				}
				id := argmax(want)
				if g := argmax(got); g != id {
					t.Fatalf("token %d: ref says %d (%g), mlx %d (%g)", i, id, want[id], g,
						want[g])
				}
				at += int32(len(tokens))
				tokens = []int32{id}
			}
			t.Logf("largest difference %.1e of the row's largest logit", worst)
		})
	}
}

// TestFamiliesMatchMLX does the same for a small random network of every family, to the end of its
// context: with quantised weights, and as imported from the file of llama.cpp's converter.
func TestFamiliesMatchMLX(t *testing.T) {
	folders := map[string]string{}
	for _, kind := range oracle.Kinds(t) {
		folders[kind] = oracle.Folder(t, kind, oracle.Form{Quantised: true})
	}
	for _, kind := range oracle.GGUFKinds(t) {
		file, _ := oracle.GGUF(t, kind)
		folders[kind+"/gguf"] = filepath.Join(t.TempDir(), "model")
		if err := gguf.Import(file, folders[kind+"/gguf"], nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, dir := range folders {
		t.Run(name, func(t *testing.T) {
			src, err := catalog.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			ref := openForParity(t, src, BackendRef, "f32", parityBlocks)
			mlx := openForParity(t, src, BackendMLX, "f32", parityBlocks)
			paritySteps(t, ref, mlx, 40, 24, parityTolerance, func(at int32, want, got []float32) {
				if argmax(want) != argmax(got) {
					t.Fatalf("position %d: ref says %d, mlx %d", at, argmax(want), argmax(got))
				}
			})
		})
	}
}

// roundingFormats returns the KV formats of this machine that round. A GPU runs MLX's own
// operations, which cannot read KV of 8 or 4 bits.
func roundingFormats() []string {
	if strings.HasSuffix(metal.Runtime(), "(GPU)") {
		return []string{"f16"}
	}
	return []string{"f16", "q8", "q4"}
}

// TestKVFormatsMatch does the same, in fewer steps, for each format that rounds. TestAgreement
// measures the loss from the formats themselves.
func TestKVFormatsMatch(t *testing.T) {
	for _, name := range []string{"smollm2"} {
		for _, kv := range roundingFormats() {
			t.Run(name+"/"+kv, func(t *testing.T) {
				src, err := catalog.Open(name)
				if err != nil {
					t.Skip(err) // the error says how to get the model
				}
				ref := openForParity(t, src, BackendRef, kv, parityBlocks)
				mlx := openForParity(t, src, BackendMLX, kv, parityBlocks)
				rg, rl := ref.KVBytesPerToken()
				if mg, ml := mlx.KVBytesPerToken(); rg != mg || rl != ml {
					t.Errorf("a token takes %d and %d bytes on ref, %d and %d on mlx", rg, rl, mg,
						ml)
				}
				paritySteps(t, ref, mlx, 24, 4, kvTolerance[kv],
					func(int32, []float32, []float32) {})
			})
		}
	}
}

// paritySteps runs n random tokens and then ref's greedy tokens on both models, in the given number
// of steps. The logits of each step must be within tolerance, and each is called with them.
func paritySteps(t *testing.T, ref, mlx engine.Model, n, steps int, tolerance float64,
	each func(at int32, want, got []float32)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	tokens, at, worst := make([]int32, n), int32(0), 0.0
	for i := range tokens {
		tokens[i] = rng.Int32N(int32(ref.Vocab()))
	}
	for range steps {
		want, got := parityStep(t, ref, tokens, at, parityBlocks), parityStep(t, mlx, tokens, at,
			parityBlocks)
		off, row := distance(want, got)
		if worst = max(worst, off); off > tolerance {
			t.Fatalf("position %d: logit %d is %g on ref and %g on mlx", at, row, want[row],
				got[row])
		}
		each(at, want, got)
		at += int32(len(tokens))
		tokens = []int32{argmax(want)}
	}
	t.Logf("largest difference %.1e of the row's largest logit", worst)
}

// parityBlocks is how many blocks of 16 tokens the longest sequence takes.
const parityBlocks = 37

func openForParity(
	t *testing.T, src catalog.Source, backend, kv string, windowSlots int,
) engine.Model {
	t.Helper()
	t.Setenv("LOADSTONE_ISA", "float32") // package metal tests activations of 8 bits
	m, err := open(src, network{backend: backend, kv: kv}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Errorf("%s: close: %v", backend, err)
		}
	})
	if err := m.AllocKV(parityBlocks, windowSlots, 16); err != nil {
		t.Fatal(err)
	}
	return m
}

// parityStep runs tokens of one sequence from position at on, and returns the logits of the last.
func parityStep(t *testing.T, m engine.Model, tokens []int32, at int32, windowSlots int) []float32 {
	t.Helper()
	n := int32(len(tokens))
	table, slots := make([]int32, (at+n+15)/16), make([]int32, (at+n+15)/16)
	for i := range table {
		table[i] = int32(5*i) % parityBlocks // all blocks, in an order that is not ascending
		slots[i] = int32(i % windowSlots)
	}
	logits := make([]float32, m.Vocab())
	if err := m.Step(tokens, []int32{n}, []int32{at}, table, slots, []int32{n - 1}, logits, nil,
		nil); err != nil {
		t.Fatal(fmt.Errorf("position %d: %w", at, err))
	}
	return logits
}

// distance returns the largest difference of two rows, as a share of the largest magnitude in the
// first, and its index.
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

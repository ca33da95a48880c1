//go:build mlx

package metal

import (
	"encoding/json"
	"fmt"
	"go/build"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loadstone/engine/tokenizer"
)

// What a format of the cache loses. fp8, which the cache does not have, is measured by rounding to
// it what is stored.

// e4m3 is the number of a code of E4M3, by its definition.
func e4m3(code int) float64 {
	sign, exp, frac := 1-2*float64(code>>7), code>>3&15, float64(code&7)
	if exp == 0 {
		return sign * math.Ldexp(frac, -9)
	}
	return sign * math.Ldexp(8+frac, exp-10)
}

// toE4M3 is the number of E4M3 that is nearest to x, of two the one with an even code.
func toE4M3(x float64) float64 {
	nearest := 0
	for code := range 127 { // 127 is no number
		off, least := math.Abs(e4m3(code)-math.Abs(x)), math.Abs(e4m3(nearest)-math.Abs(x))
		if off < least || off == least && code%2 == 0 {
			nearest = code
		}
	}
	return math.Copysign(e4m3(nearest), x)
}

// Every number of E4M3 comes back, those between two become the nearest, and those beyond the
// largest become that. With scales the largest of 64 becomes 448 and comes back.
func TestE4M3(t *testing.T) {
	needsCPU(t)
	rng := rand.New(rand.NewPCG(8, 1))
	var x []float32
	for code := range 127 {
		a, b := e4m3(code), e4m3(min(code+1, 126))
		for _, v := range []float64{a, (a + b) / 2, a + (b-a)*0.499, a + (b-a)*0.501} {
			x = append(x, float32(v), float32(-v))
		}
	}
	x = append(x, 449, -500, 1e30, float32(math.Inf(-1)), 1e-9, -0x1p-10)
	for len(x)%80 != 0 {
		x = append(x, float32(rng.NormFloat64()))
	}
	plain, _, err := kvDecode("fp8", x, 80, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range x {
		if want := toE4M3(float64(v)); float64(plain[i]) != want {
			t.Errorf("%g becomes %g, want %g", v, plain[i], want)
		}
	}
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp2(float64(i/80)))
	}
	scaled, _, err := kvDecode("fp8-scaled", x, 80, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range x {
		from := i - i%80 + i%80/64*64
		group := x[from:min(from+64, i-i%80+80)]
		scale := max(slices.Max(group), -slices.Min(group)) / 448
		if want := float32(toE4M3(float64(v/scale))) * scale; scaled[i] != want {
			t.Errorf("%g with a scale of %g becomes %g, want %g", v, scale, scaled[i], want)
		}
	}
}

// BenchmarkKVDecode is what attention pays to read a tile of keys or values: 64 vectors of 64
// elements, or 32 of 256, which are in the cache nearest to the core.
func BenchmarkKVDecode(b *testing.B) {
	for _, dim := range []int{64, 256} {
		for _, coding := range []string{"f32", "f16", "q8", "fp8", "fp8-scaled", "q4"} {
			b.Run(fmt.Sprintf("dim=%d/kv=%s", dim, coding), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(8, 2))
				x := make([]float32, max(64*64, 32*dim))
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				_, seconds, err := kvDecode(coding, x, dim, b.N)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(seconds/float64(b.N)*1e9, "ns/op")
				b.ReportMetric(seconds/float64(b.N*len(x))*1e12, "ps/element")
			})
		}
	}
}

// lossFormats are the formats whose loss is measured.
var lossFormats = []string{"f16", "q8", "fp8", "fp8-scaled", "q4"}

// A lossy network is one whose cache has a format.
type lossy struct {
	*Model
	rounding string // of what is stored, unless it is ""
}

func openLossy(b *testing.B, name, kv string, activations, tokens int) lossy {
	b.Helper()
	n := lossy{}
	if kv == "fp8" || kv == "fp8-scaled" {
		n.rounding, kv = kv, "f32"
	}
	opt := options{Options: Options{KV: kv, Activations: activations}}
	n.Model = openBench(b, name, opt, (tokens+benchBlock-1)/benchBlock)
	return n
}

// logits runs tokens from position at on and returns their logits.
func (n lossy) logits(b *testing.B, tokens []int32, at int) []float32 {
	b.Helper()
	rows := make([]int32, len(tokens))
	for i := range rows {
		rows[i] = int32(i)
	}
	table, logits := consecutive(0, at+len(tokens)), make([]float32, len(tokens)*n.Vocab())
	roundKV(n.rounding)
	defer roundKV("")
	err := n.Step(tokens, []int32{int32(len(tokens))}, []int32{int32(at)}, table, table, rows, logits,
		nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	return logits
}

// opticks is a part of Newton's Opticks, which every Go installation has.
func opticks(b *testing.B, from, to int) string {
	b.Helper()
	book, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src", "testdata",
		"Isaac.Newton-Opticks.txt"))
	if err != nil {
		b.Skip(err)
	}
	return string(book[from:to])
}

// BenchmarkKVAgreement compares formats with float32, on a network whose weights are widened to
// float32, over the 321 tokens of TestAgreement of server/service: for how many the same next token
// is the likeliest, and how many times the perplexity is.
func BenchmarkKVAgreement(b *testing.B) {
	const step, first, tokens = 64, 64, 448
	b.Setenv("LOADSTONE_ISA", "float32")
	for _, name := range benchModels {
		for _, kv := range lossFormats {
			b.Run(fmt.Sprintf("model=%s/kv=%s", name, kv), func(b *testing.B) {
				text, err := tokenizer.Load(os.DirFS(realModel(b, name)))
				if err != nil {
					b.Fatal(err)
				}
				ids := text.Encode(opticks(b, 20000, 36000), true)[:tokens]
				exact := openLossy(b, name, "f32", 0, tokens)
				other := openLossy(b, name, kv, 0, tokens)
				for b.Loop() {
					var same, count, loss float64
					v := exact.Vocab()
					for at := 0; at+step < tokens; at += step {
						want := exact.logits(b, ids[at:at+step], at)
						got := other.logits(b, ids[at:at+step], at)
						for i := range step {
							next := at + i + 1
							if next < first {
								continue
							}
							w, g := want[i*v:][:v], got[i*v:][:v]
							loss += logLoss(g, ids[next]) - logLoss(w, ids[next])
							if count++; argmax(w) == argmax(g) {
								same++
							}
						}
					}
					b.ReportMetric(100*same/count, "alike-%")
					b.ReportMetric(count, "tokens")
					b.ReportMetric(math.Exp(loss/count), "x-perplexity")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkKVGreedy counts the greedy tokens that another format of the cache changes where float32
// has chosen all tokens before: of the first 24 of the answers to the 13 chats on which
// metal/likeliest is compared with mlx-lm, of the networks as users have them.
func BenchmarkKVGreedy(b *testing.B) {
	for _, name := range benchModels {
		for _, activations := range []int{8, 16} {
			for _, kv := range lossFormats {
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
	exact := openLossy(b, name, "f32", activations, room)
	other := openLossy(b, name, kv, activations, room)
	for b.Loop() {
		var tokens, changed, answers float64
		for _, ids := range set.Chats {
			before := changed
			run, at := ids, 0
			for range answer {
				want, got := exact.pick(b, run, at), other.pick(b, run, at)
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
func (n lossy) pick(b *testing.B, tokens []int32, at int) int32 {
	b.Helper()
	roundKV(n.rounding)
	defer roundKV("")
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

//go:build mlx

package metal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// eachInstructionSet runs f with every one that this processor has.
func eachInstructionSet(t *testing.T, f func(t *testing.T, isa string)) {
	best := instructionSet()
	t.Cleanup(func() { useInstructionSet(best) })
	for _, isa := range instructionSets() {
		t.Run("isa="+isa, func(t *testing.T) {
			if !useInstructionSet(isa) {
				t.Skipf("this processor has no %s; it runs %s", isa, best)
			}
			f(t, isa)
		})
	}
}

// randomAffine is a weight with some zero groups and, if symmetric, biases that leave as many numbers below zero as above.
func randomAffine(rng *rand.Rand, rows, columns, group, bits int, symmetric bool) *affine {
	w := &affine{rows: rows, columns: columns, group: group, bits: bits, words: make([]uint32, rows*columns*bits/32)}
	for i := range w.words {
		w.words[i] = rng.Uint32()
	}
	for range rows * columns / group {
		scale := float32(rng.IntN(200)) / 4096 // some are 0; all are float16
		bias := -scale * float32(int(1)<<(bits-1))
		if !symmetric {
			bias = float32(rng.IntN(200)-100) / 512
		}
		w.scales, w.biases = append(w.scales, scale), append(w.biases, bias)
	}
	return w
}

// dumbProduct is what the kernels are to compute, in float64: activations rounded to whole numbers of a 127th of the
// largest in their block of 32, times the weight's elements.
func dumbProduct(w *affine, x []float32) []float64 {
	q := make([]float64, len(x))
	for b := 0; b < len(x); b += 32 {
		most := float32(0)
		for _, v := range x[b : b+32] {
			most = max(most, float32(math.Abs(float64(v))))
		}
		for i := b; i < b+32 && most > 0; i++ {
			q[i] = math.RoundToEven(float64(x[i]*(127/most))) * float64(most/127)
		}
	}
	element := func(row, column int) float64 {
		u := 0
		for b := range w.bits {
			at := (row*w.columns+column)*w.bits + b
			u |= int(w.words[at/32]>>(at%32)&1) << b
		}
		g := (row*w.columns + column) / w.group
		return float64(w.scales[g])*float64(u) + float64(w.biases[g])
	}
	y := make([]float64, len(x)/w.columns*w.rows)
	for n := range w.rows {
		for k := range w.columns {
			e := element(n, k)
			for m := range len(x) / w.columns {
				y[m*w.rows+n] += e * q[m*w.columns+k]
			}
		}
	}
	return y
}

// Every kernel of every instruction set against the dumb twin: all widths, groups, both kinds of bias, numbers of rows that
// fill tiles and that do not, a number of outputs that fills no panel, activations of very different size.
func TestQuantisedProduct(t *testing.T) {
	eachInstructionSet(t, func(t *testing.T, isa string) {
		rng := rand.New(rand.NewPCG(7, 1))
		for _, bits := range []int{2, 3, 4, 5, 6, 8} {
			for _, group := range []int{32, 64, 128} {
				for _, symmetric := range []bool{true, false} {
					w := randomAffine(rng, 39, 256, group, bits, symmetric)
					for _, m := range []int{1, 2, 3, 5, 16, 31} {
						x := make([]float32, m*w.columns)
						for i := range x {
							x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(8))))
						}
						clear(x[:32])
						y := make([]float32, m*w.rows)
						if _, err := w.product(x, y, 1); err != nil {
							t.Fatal(err)
						}
						want, largest := dumbProduct(w, x), 0.0
						for _, v := range want {
							largest = max(largest, math.Abs(v))
						}
						// Scales are float16 here, so nothing but sums of floats is rounded; biases, other than symmetric ones,
						// are rounded to float16, and these are much larger than a real weight's.
						tolerance := 1e-5
						if !symmetric {
							tolerance = 1e-3
						}
						for i, v := range want {
							if off := math.Abs(v - float64(y[i])); !(off <= tolerance*largest) {
								t.Fatalf("%d bits, groups of %d, symmetric %t, %d rows: element %d is %v, want %v of at most %v",
									bits, group, symmetric, m, i, y[i], v, largest)
							}
						}
					}
				}
			}
		}
	})
}

// A row's product does not depend on how many rows there are beside it: a stream's answer is the same in every batch.
func TestQuantisedProductIsTheSameInAnyBatch(t *testing.T) {
	eachInstructionSet(t, func(t *testing.T, isa string) {
		rng := rand.New(rand.NewPCG(7, 2))
		w := randomAffine(rng, 64, 128, 32, 4, false)
		x := make([]float32, 21*w.columns)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		all := make([]float32, 21*w.rows)
		if _, err := w.product(x, all, 1); err != nil {
			t.Fatal(err)
		}
		for m := range 21 {
			one := make([]float32, w.rows)
			if _, err := w.product(x[m*w.columns:(m+1)*w.columns], one, 1); err != nil {
				t.Fatal(err)
			}
			for i, v := range one {
				if v != all[m*w.rows+i] {
					t.Fatalf("row %d element %d is %v alone and %v in a batch", m, i, v, all[m*w.rows+i])
				}
			}
		}
	})
}

// A matrix with numbers that are none is refused.
func TestQuantisedProductRefusesInfinity(t *testing.T) {
	w := randomAffine(rand.New(rand.NewPCG(7, 3)), 16, 32, 32, 4, true)
	w.scales[3] = float32(math.Inf(1))
	if _, err := w.product(make([]float32, 32), make([]float32, 16), 1); err == nil {
		t.Error("an infinite scale is accepted")
	}
}

// BenchmarkQuantisedProduct is the rate of multiplications of bytes, and at one row that at which a weight streams from
// memory: what decode and prefill can reach at best.
func BenchmarkQuantisedProduct(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 4))
	best := instructionSet()
	defer useInstructionSet(best)
	for _, isa := range instructionSets() {
		if isa == "scalar" || !useInstructionSet(isa) {
			continue
		}
		for _, bits := range []int{4, 5, 8} {
			w := randomAffine(rng, 65536, 1024, 32, bits, true)
			for _, m := range []int{1, 8, 256} {
				x, y := make([]float32, m*w.columns), make([]float32, m*w.rows)
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				b.Run(fmt.Sprintf("isa=%s/bits=%d/rows=%d", isa, bits, m), func(b *testing.B) {
					seconds, err := w.product(x, y, b.N)
					if err != nil {
						b.Fatal(err)
					}
					each := seconds / float64(b.N)
					bytes := float64(4*len(w.words) + 2*len(w.scales)) // packed: float16 scales and, symmetric, no biases
					b.ReportMetric(each*1e9, "ns/op")
					b.ReportMetric(bytes/each/1e9, "GB/s")
					b.ReportMetric(2*float64(m*w.rows*w.columns)/each/1e9, "GOP/s")
				})
			}
		}
	}
}

// BenchmarkMemory is the rate at which all processors together read memory that is in no cache: the limit of decode.
func BenchmarkMemory(b *testing.B) {
	words := make([]uint64, 64<<20)
	for i := range words {
		words[i] = uint64(i)
	}
	sums := make([]uint64, runtime.GOMAXPROCS(0))
	for b.Loop() {
		var wg sync.WaitGroup
		for p := range sums {
			part := words[p*len(words)/len(sums) : (p+1)*len(words)/len(sums)]
			wg.Go(func() {
				var s0, s1, s2, s3 uint64 // one sum would wait for itself
				for ; len(part) >= 8; part = part[8:] {
					s0 += part[0] + part[4]
					s1 += part[1] + part[5]
					s2 += part[2] + part[6]
					s3 += part[3] + part[7]
				}
				sums[p] = s0 + s1 + s2 + s3
			})
		}
		wg.Wait()
	}
	b.ReportMetric(8*float64(len(words))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
}

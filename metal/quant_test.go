//go:build mlx

package metal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachInstructionSet runs f with every instruction set that this processor has.
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

// needsCPU skips a test of code that a GPU does not run.
func needsCPU(t testing.TB) {
	t.Helper()
	if onGPU() {
		t.Skip("it tests the CPU kernels, and MLX computes on a GPU here")
	}
}

// randomAffine returns a weight with some groups of zeros and, if symmetric, biases that put as
// many numbers below zero as above it.
func randomAffine(rng *rand.Rand, rows, columns, group, bits int, symmetric bool) *affine {
	w := &affine{rows: rows, columns: columns, group: group, bits: bits,
		words: make([]uint32, rows*columns*bits/32)}
	for i := range w.words {
		w.words[i] = rng.Uint32()
	}
	for range rows * columns / group {
		scale := float32(rng.IntN(200)) / 4096 // some are 0; all are float16
		bias := -scale * float32(int(1)<<(bits-1))
		if !symmetric {
			bias += float32(rng.IntN(200)-100) / 512 // a float16 too; the sum is exact in float32
		}
		w.scales, w.biases = append(w.scales, scale), append(w.biases, bias)
	}
	return w
}

// exactProduct computes in float64 what the kernels are to compute: activations, rounded to
// multiples of a 127th of the largest in their block of 32 (with 16 bits, of a 127 x 254th), times
// the elements of the weight. bound is how far float32 may be from it: each block adds a product
// and perhaps one for its bias; each product is rounded three times, and every sum once. With 16
// bits all of that is done twice, for numbers that may be larger than their sum.
func exactProduct(w *affine, x []float32, activations int) (y, bound []float64) {
	steps := float32(127)
	if activations == 16 {
		steps *= 254
	}
	q := make([]float64, len(x))
	for b := 0; b < len(x); b += 32 {
		high := float32(0)
		for _, v := range x[b : b+32] {
			high = max(high, float32(math.Abs(float64(v))))
		}
		for i := b; i < b+32 && high > 0; i++ {
			q[i] = math.RoundToEven(float64(x[i]*(steps/high))) * float64(high/steps)
		}
	}
	element := func(row, column int) (scaled, bias float64) {
		u := 0
		for b := range w.bits {
			at := (row*w.columns+column)*w.bits + b
			u |= int(w.words[at/32]>>(at%32)&1) << b
		}
		g, middle := (row*w.columns+column)/w.group, float64(int(1)<<(w.bits-1))
		scale := float64(w.scales[g])
		return scale * (float64(u) - middle), float64(w.biases[g]) + scale*middle
	}
	y = make([]float64, len(x)/w.columns*w.rows)
	bound = make([]float64, len(y))
	roundings := 0x1p-24 * float64(2*w.columns/32+3)
	if activations == 16 {
		roundings *= 2
	}
	for n := range w.rows {
		for k := range w.columns {
			scaled, bias := element(n, k)
			for m := range len(x) / w.columns {
				a := q[m*w.columns+k]
				y[m*w.rows+n] += (scaled + bias) * a
				bound[m*w.rows+n] += roundings * (math.Abs(scaled) + math.Abs(bias)) * math.Abs(a)
			}
		}
	}
	return y, bound
}

// quantisedProduct is a weight with rows of activations x, and with the products y of the scalar
// kernels, one row at a time, with activations of 8 and of 16 bits.
type quantisedProduct struct {
	w *affine
	x []float32
	y map[int][]float32
}

// quantisedProducts returns products with all widths and groups, both kinds of bias, numbers of
// outputs that fill panels and that do not, and activations of very different sizes. The scalar
// kernels agree with exactProduct on them.
func quantisedProducts(t *testing.T) (all []quantisedProduct) {
	const maxRows = 33
	rng := rand.New(rand.NewPCG(7, 1))
	best := instructionSet()
	defer useInstructionSet(best)
	useInstructionSet("scalar")
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			for _, symmetric := range []bool{true, false} {
				shapes := [][2]int{{39, 256}, {1, 128}, {15, 128}, {16, 384}, {33, 640}}
				for _, shape := range shapes {
					w := randomAffine(rng, shape[0], shape[1], group, bits, symmetric)
					x := make([]float32, maxRows*w.columns)
					p := quantisedProduct{w, x, map[int][]float32{}}
					for i := range p.x {
						p.x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(8))))
					}
					clear(p.x[:32])
					for _, activations := range []int{8, 16} {
						p.byScalars(t, activations, fmt.Sprintf(
							"%d bits, groups of %d, symmetric %t, %v",
							bits, group, symmetric, shape))
					}
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// byScalars makes the products by the scalar kernels, with activations of so many bits.
func (p *quantisedProduct) byScalars(t *testing.T, activations int, name string) {
	t.Helper()
	w := p.w
	got := make([]float32, len(p.x)/w.columns*w.rows)
	for m := range len(p.x) / w.columns {
		x, y := p.x[m*w.columns:][:w.columns], got[m*w.rows:][:w.rows]
		if _, err := w.product(x, activations, y, 1); err != nil {
			t.Fatal(err)
		}
	}
	want, bound := exactProduct(w, p.x, activations)
	for i, v := range want {
		if off := math.Abs(v - float64(got[i])); !(off <= bound[i]) {
			t.Fatalf("%s, activations of %d bits: row %d element %d is %v, want %v within %.2g",
				name, activations, i/w.rows, i%w.rows, got[i], v, bound[i])
		}
	}
	p.y[activations] = got
}

// Every kernel of every instruction set gives the same as the scalar ones to the last bit, however
// many rows are beside a row. So an answer is the same in every batch, and on every processor on
// which the rest of a layer gives the same.
func TestQuantisedProduct(t *testing.T) {
	all := quantisedProducts(t)
	eachInstructionSet(t, func(t *testing.T, isa string) {
		for _, p := range all {
			for activations, want := range p.y {
				for m := 1; m <= len(p.x)/p.w.columns; m++ {
					y := make([]float32, m*p.w.rows)
					if _, err := p.w.product(p.x[:m*p.w.columns], activations, y, 1); err != nil {
						t.Fatal(err)
					}
					for i, v := range y {
						if math.Float32bits(v) != math.Float32bits(want[i]) {
							t.Fatalf("%d bits, groups of %d, %d x %d, activations of %d bits: "+
								"row %d of %d, element %d is %v, by the scalar kernels alone %v",
								p.w.bits, p.w.group, p.w.rows, p.w.columns, activations,
								i/p.w.rows, m, i%p.w.rows, v, want[i])
						}
					}
				}
			}
		}
	})
}

// A matrix with a scale or bias that is infinite, or not a number, is refused.
func TestQuantisedProductRefusesInfinity(t *testing.T) {
	for _, x := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		for _, which := range []string{"scale", "bias"} {
			w := randomAffine(rand.New(rand.NewPCG(7, 3)), 16, 32, 32, 4, true)
			if which == "scale" {
				w.scales[3] = float32(x)
			} else {
				w.biases[3] = float32(x)
			}
			if _, err := w.product(make([]float32, 32), 8, make([]float32, 16), 1); err == nil {
				t.Errorf("a %s of %v is accepted", which, x)
			}
		}
	}
}

// BenchmarkQuantisedProduct measures the rate of multiplications of bytes and, with one row of
// activations, the rate at which a weight streams from memory: the limits of prefill and of decode.
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
				for _, activations := range []int{8, 16} {
					name := fmt.Sprintf("isa=%s/bits=%d/rows=%d/activations=%d",
						isa, bits, m, activations)
					b.Run(name, func(b *testing.B) {
						seconds, err := w.product(x, activations, y, b.N)
						if err != nil {
							b.Fatal(err)
						}
						each := seconds / float64(b.N)
						// Packed, a symmetric weight has scales in float16 and no biases.
						bytes := float64(4*len(w.words) + 2*len(w.scales))
						b.ReportMetric(each*1e9, "ns/op")
						b.ReportMetric(bytes/each/1e9, "GB/s")
						b.ReportMetric(2*float64(m*w.rows*w.columns)/each/1e9, "GOP/s")
					})
				}
			}
		}
	}
}

// BenchmarkMemory measures the rate at which all threads together read memory that is not in any
// cache, in large pages and in the same order as the kernels read weights: the limit of decode.
// Goroutines that read pages of 4 KiB reach 15 to 25 % less.
func BenchmarkMemory(b *testing.B) {
	const bytes = 512 << 20
	seconds, err := readMemory(bytes, b.N)
	if err != nil {
		b.Fatal(err)
	}
	each := seconds / float64(b.N)
	b.ReportMetric(each*1e9, "ns/op")
	b.ReportMetric(bytes/each/1e9, "GB/s")
}

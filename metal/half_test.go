//go:build mlx

package metal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// float16 widens an IEEE half the slow way, by its definition.
func float16(h uint16) float64 {
	sign, exp, frac := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	if exp == 0 {
		return sign * math.Ldexp(frac, -24)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// randomHalves returns a weight with numbers of many sizes, some of them subnormal and some zero.
func randomHalves(rng *rand.Rand, rows, columns int, brain bool) *halves {
	w := &halves{rows: rows, columns: columns, brain: brain, words: make([]uint16, rows*columns)}
	for i := range w.words {
		w.words[i] = uint16(rng.IntN(2)<<15 | rng.IntN(15)<<10 | rng.IntN(1024)) // float16 below 1
		if brain {
			x := float32(rng.NormFloat64() * math.Exp2(-float64(rng.IntN(20))))
			w.words[i] = uint16(math.Float32bits(x) >> 16)
		}
		if rng.IntN(50) == 0 {
			w.words[i] = 0
		}
	}
	return w
}

func (w *halves) element(i int) float64 {
	if w.brain {
		return float64(math.Float32frombits(uint32(w.words[i]) << 16))
	}
	return float16(w.words[i])
}

// Products with weights of 16 bits are compared with a simple loop in float64, for numbers of rows
// that fill tiles and some that do not, outputs that do not fill a panel, and odd columns. Only
// sums are rounded. A row's product is the same to the last bit, whichever rows are beside it.
func TestHalfProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, brain := range []bool{true, false} {
		for _, shape := range [][2]int{{39, 77}, {16, 1}, {530, 320}} {
			w := randomHalves(rng, shape[0], shape[1], brain)
			x := make([]float32, 45*w.columns)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			alone := make([]float32, 45*w.rows)
			for m := range 45 {
				row, y := x[m*w.columns:][:w.columns], alone[m*w.rows:][:w.rows]
				if _, err := w.product(row, y, 1); err != nil {
					t.Fatal(err)
				}
				for n := range w.rows {
					sum, size := 0.0, 0.0
					for k := range w.columns {
						p := w.element(n*w.columns+k) * float64(x[m*w.columns+k])
						sum, size = sum+p, size+math.Abs(p)
					}
					if got := float64(alone[m*w.rows+n]); !(math.Abs(got-sum) <= 2e-6*size) {
						t.Fatalf("brain %t, %v, row %d element %d is %v, want %v",
							brain, shape, m, n, got, sum)
					}
				}
			}
			for _, m := range []int{2, 3, 5, 7, 15, 16, 17, 29, 45} {
				y := make([]float32, m*w.rows)
				if _, err := w.product(x[:m*w.columns], y, 1); err != nil {
					t.Fatal(err)
				}
				for i, v := range y {
					if v != alone[i] {
						t.Fatalf("brain %t, %v: row %d of %d, element %d is %v and alone %v",
							brain, shape, i/w.rows, m, i%w.rows, v, alone[i])
					}
				}
			}
		}
	}
}

// BenchmarkHalfProduct measures the rate at which a weight of 16 bits streams from memory with one
// row of activations, and the rate of multiplications with more rows.
func BenchmarkHalfProduct(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 2))
	for _, brain := range []bool{true, false} {
		w := randomHalves(rng, 65536, 1024, brain)
		for _, m := range []int{1, 8, 256} {
			x, y := make([]float32, m*w.columns), make([]float32, m*w.rows)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			b.Run(fmt.Sprintf("brain=%t/rows=%d", brain, m), func(b *testing.B) {
				seconds, err := w.product(x, y, b.N)
				if err != nil {
					b.Fatal(err)
				}
				each := seconds / float64(b.N)
				b.ReportMetric(each*1e9, "ns/op")
				b.ReportMetric(2*float64(len(w.words))/each/1e9, "GB/s")
				b.ReportMetric(2*float64(m*w.rows*w.columns)/each/1e9, "GOP/s")
			})
		}
	}
}

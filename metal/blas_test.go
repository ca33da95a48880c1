//go:build mlx

package metal

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// If the wheel's own BLAS answered, every result would be right and every product 40 times slower,
// and nothing else would show it. So the test asks the dynamic linker which object answers, and
// then observes that a call of libmlx arrives.
func TestBLAS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("MLX uses Accelerate on " + runtime.GOOS)
	}
	path, err := blasObject()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) != filepath.Base(self) {
		t.Errorf("cblas_sgemm is answered by %s, not by this executable, %s", path, self)
	}

	a, b, c := square3(64)
	before := blasCalls()
	if err := matmul(64, a, b, c); err != nil {
		t.Fatal(err)
	}
	if blasCalls() == before {
		t.Error("a product in MLX does not reach blas.cc")
	}
	want := make([]float32, len(c))
	if err := referenceMatmul(64, a, b, want); err != nil {
		t.Fatal(err)
	}
	for i := range c {
		if d := c[i] - want[i]; d > 1e-4 || d < -1e-4 {
			t.Fatalf("element %d is %v, the reference BLAS has %v", i, c[i], want[i])
		}
	}
}

// BenchmarkBLAS is the product of two 1024 x 1024 matrices in float32: by MLX through OpenBLAS, and
// by the BLAS that the MLX wheel is linked to.
func BenchmarkBLAS(b *testing.B) {
	const n = 1024
	x, y, z := square3(n)
	for name, f := range map[string]func(n int, a, b, c []float32) error{
		"openblas": matmul, "reference": referenceMatmul,
	} {
		b.Run("by="+name, func(b *testing.B) {
			for b.Loop() {
				if err := f(n, x, y, z); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// square3 returns two random matrices and one of zeros.
func square3(n int) (a, b, c []float32) {
	rng := rand.New(rand.NewPCG(7, 7))
	a, b, c = make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for i := range a {
		a[i], b[i] = rng.Float32()-0.5, rng.Float32()-0.5
	}
	return a, b, c
}

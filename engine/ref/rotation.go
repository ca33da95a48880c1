package ref

import "math"

// With four bits a group's few large elements would leave the others none, so what the cache stores is a vector times a
// random rotation, which makes all elements about as large: signs, then a Hadamard matrix of the largest power of two
// that divides head_dim, over and over (Ashkboos et al., QuaRot, arXiv 2404.00456). Attention reads the vectors as they
// are stored: queries, rotated too, have the same products with keys, and its result is a sum of values that is to be
// rotated back.

// rotates reports whether the format is of rotated vectors.
func (f format) rotates() bool { return f.bits == 4 }

// rotate rotates vectors of headDim elements for attention over what is in the cache.
func (kv *cache) rotate(x []float32) {
	for ; kv.format.rotates() && len(x) > 0; x = x[kv.headDim:] {
		rotate(x[:kv.headDim])
	}
}

// unrotate undoes rotate.
func (kv *cache) unrotate(x []float32) {
	for ; kv.format.rotates() && len(x) > 0; x = x[kv.headDim:] {
		unrotate(x[:kv.headDim])
	}
}

// signs are random, and the same for ever: memories on disk depend on them.
var signs = func() (s [256]float32) {
	r := uint32(12345) // of the generator in Numerical Recipes
	for i := range s {
		r = r*1664525 + 1013904223
		s[i] = 1 - 2*float32(r>>31)
	}
	return s
}()

func rotate(x []float32) {
	n := len(x) & -len(x)
	flip(x, n)
	for ; len(x) > 0; x = x[n:] {
		hadamard(x[:n])
	}
}

func unrotate(x []float32) {
	n := len(x) & -len(x)
	for y := x; len(y) > 0; y = y[n:] {
		hadamard(y[:n])
	}
	flip(x, n)
}

// flip is what makes the Hadamard matrices of n rows, which are symmetric, orthogonal, and random.
func flip(x []float32, n int) {
	scale := float32(1 / math.Sqrt(float64(n)))
	for i := range x {
		x[i] *= signs[i%len(signs)] * scale
	}
}

// hadamard multiplies x by a matrix of 1 and -1, by the fast Walsh-Hadamard transform. len(x) is a power of two.
func hadamard(x []float32) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			a, b := x[i:i+h], x[i+h:i+2*h]
			for j := range a {
				a[j], b[j] = a[j]+b[j], a[j]-b[j]
			}
		}
	}
}

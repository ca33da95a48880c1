package ref

import "math"

// With four bits, the few large elements of a group would leave no codes for the others. So the
// cache stores each vector multiplied by a random rotation, which makes all elements about equally
// large: random signs, then Hadamard matrices of the largest power of two that divides head_dim,
// one beside the other (Ashkboos et al., QuaRot, arXiv 2404.00456). Attention reads the vectors as
// they are stored: queries are rotated as well, so their products with the keys are the same, and
// the result of attention, a sum of values, is rotated back.

// rotates reports whether the format stores rotated vectors.
func (f KVFormat) rotates() bool { return f.Bits == 4 }

// rotate rotates vectors of headDim elements as the cache's format does, for attention over the
// cache.
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

// signs are random and never change: snapshots on disk depend on them.
var signs = func() (s [256]float32) {
	r := uint32(12345) // seed of the linear congruential generator in Numerical Recipes
	for i := range s {
		r = r*1664525 + 1013904223
		s[i] = 1 - 2*float32(r>>31)
	}
	return s
}()

// rotate multiplies x by the rotation.
func rotate(x []float32) {
	n := len(x) & -len(x)
	flip(x, n)
	for ; len(x) > 0; x = x[n:] {
		hadamard(x[:n])
	}
}

// unrotate multiplies x by the inverse of the rotation.
func unrotate(x []float32) {
	n := len(x) & -len(x)
	for y := x; len(y) > 0; y = y[n:] {
		hadamard(y[:n])
	}
	flip(x, n)
}

// flip multiplies x by the random signs and by 1/sqrt(n), which makes Hadamard matrices of n rows,
// which are symmetric, orthogonal and random as well.
func flip(x []float32, n int) {
	scale := float32(1 / math.Sqrt(float64(n)))
	for i := range x {
		x[i] *= signs[i%len(signs)] * scale
	}
}

// hadamard multiplies x by the Hadamard matrix, whose elements are 1 and -1, with the fast
// Walsh-Hadamard transform. len(x) is a power of two.
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

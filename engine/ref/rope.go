package ref

import (
	"math"

	"loadstone/engine/checkpoint"
)

// rope is a rotary position embedding (Su et al., RoFormer, arXiv 2104.09864): it rotates pairs of
// elements of each head by angles that grow with the position. A pair is element i of the first
// half of the elements that are rotated and element i of the second, as in Transformers. Elements
// behind those stay as they are.
type rope struct {
	freq     []float64 // R/2, where R elements are rotated: radians a position
	scale    float64   // of the pairs
	headDim  int
	cos, sin []float32 // T x R/2
}

func newRope(r checkpoint.Rope, headDim int) rope {
	return rope{freq: r.Frequencies, scale: r.Scale, headDim: headDim}
}

// setAngles computes the angles of a batch, in float64: package math may fuse operations on some
// machines, but that difference is 2^-29 of the precision that is left after rounding to float32.
func (r *rope) setAngles(batch []item) {
	n := len(r.freq)
	r.cos, r.sin = sized(r.cos, len(batch)*n), sized(r.sin, len(batch)*n)
	for i, it := range batch {
		for j, f := range r.freq {
			sin, cos := math.Sincos(float64(it.pos) * f)
			r.cos[i*n+j], r.sin[i*n+j] = float32(cos*r.scale), float32(sin*r.scale)
		}
	}
}

// apply rotates the heads of token i of the batch.
func (r *rope) apply(heads []float32, i int) {
	n := len(r.freq)
	cos, sin := r.cos[i*n:][:n], r.sin[i*n:][:n]
	for ; len(heads) > 0; heads = heads[r.headDim:] {
		a, b := heads[:n], heads[n:][:n]
		for j, x := range a {
			y := b[j]
			a[j] = float32(x*cos[j]) - float32(y*sin[j])
			b[j] = float32(x*sin[j]) + float32(y*cos[j])
		}
	}
}

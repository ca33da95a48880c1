package ref

import "math"

// rope is a rotary position embedding (Su et al., RoFormer, arXiv 2104.09864): it rotates pairs of
// elements of each head by angles that grow with the position. A pair is element i of the first
// half of a head and element i of the second, as in Transformers.
type rope struct {
	freq     []float64 // D/2: radians a position
	cos, sin []float32 // T x D/2
}

// newRope takes the base theta of the frequencies and the factor by which positions are divided.
func newRope(theta, factor float64, headDim int) rope {
	r := rope{freq: make([]float64, headDim/2)}
	for i := range r.freq {
		r.freq[i] = math.Pow(theta, -2*float64(i)/float64(headDim)) / factor
	}
	return r
}

// setAngles computes the angles of a batch, in float64: package math may fuse operations on some
// machines, but that difference is 2^-29 of the precision that is left after rounding to float32.
func (r *rope) setAngles(batch []item) {
	n := len(r.freq)
	r.cos, r.sin = sized(r.cos, len(batch)*n), sized(r.sin, len(batch)*n)
	for i, it := range batch {
		for j, f := range r.freq {
			sin, cos := math.Sincos(float64(it.pos) * f)
			r.cos[i*n+j], r.sin[i*n+j] = float32(cos), float32(sin)
		}
	}
}

// apply rotates the heads of token i of the batch.
func (r *rope) apply(heads []float32, i int) {
	n := len(r.freq)
	cos, sin := r.cos[i*n:][:n], r.sin[i*n:][:n]
	for ; len(heads) > 0; heads = heads[2*n:] {
		a, b := heads[:n], heads[n:][:n]
		for j, x := range a {
			y := b[j]
			a[j] = float32(x*cos[j]) - float32(y*sin[j])
			b[j] = float32(x*sin[j]) + float32(y*cos[j])
		}
	}
}

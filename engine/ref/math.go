package ref

import (
	"math"
	"sync"
)

// parallel calls f for every worker if work, a number of multiplications, is enough to make up for
// starting them; else it calls f for one.
func (m *Model) parallel(work int, f func(worker, workers int)) {
	if m.workers == 1 || work < m.parallelFrom {
		f(0, 1)
		return
	}
	var wg sync.WaitGroup
	for i := 1; i < m.workers; i++ {
		wg.Go(func() { f(i, m.workers) })
	}
	f(0, m.workers)
	wg.Wait()
}

// matmul computes out = x w^T. x has any number of rows of n elements, w has a row of n for each
// column of out.
func (m *Model) matmul(out, x, w []float32, n int) {
	rows, columns := len(x)/n, len(w)/n
	block := max(4, 4096/n&^3) // rows of w, 16 KB: they stay in the L1 cache while all of x is read
	m.parallel(len(x)*columns, func(worker, workers int) {
		lo, hi := worker*columns/workers, (worker+1)*columns/workers
		for j := lo; j < hi; j += block {
			dots(out[j:], columns, x, w[j*n:], n, rows, min(block, hi-j), n)
		}
	})
}

// dots computes out[i*stride+j], the dot product of row i of x and row j of w, for nx rows of x,
// which are n elements apart, and nw rows of w, which are wStride apart. Each dot product is summed
// from the first element to the last.
func dots(out []float32, stride int, x, w []float32, wStride, nx, nw, n int) {
	for i := range nx {
		x, out := x[i*n:][:n], out[i*stride:][:nw]
		j := 0
		for ; j+4 <= nw; j += 4 {
			at := w[j*wStride:]
			out[j], out[j+1], out[j+2], out[j+3] = dot4(x, at[:n], at[wStride:][:n],
				at[2*wStride:][:n], at[3*wStride:][:n])
		}
		for ; j < nw; j++ {
			out[j] = dot(x, w[j*wStride:])
		}
	}
}

// dot is the dot product of x and the first elements of w.
func dot(x, w []float32) (s float32) {
	w = w[:len(x)]
	for i, v := range x {
		s += float32(v * w[i])
	}
	return s
}

// dot4 computes the dot products of x with four rows side by side: 7 GMAC/s on a core. Eight side
// by side reach only 2.5, because the compiler then has too few registers and keeps a sum in
// memory.
func dot4(x, a, b, c, d []float32) (sa, sb, sc, sd float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	for i, v := range x {
		sa += float32(v * a[i])
		sb += float32(v * b[i])
		sc += float32(v * c[i])
		sd += float32(v * d[i])
	}
	return
}

// weightedSum adds p[i] times row i of v to out, one row after the other. The rows of v are stride
// elements apart.
func weightedSum(out, p, v []float32, stride int) {
	n := len(out)
	for ; len(p) >= 4; p = p[4:] {
		p0, p1, p2, p3 := p[0], p[1], p[2], p[3]
		a, b, c, d := v[:n], v[stride:][:n], v[2*stride:][:n], v[3*stride:][:n]
		for i, o := range out {
			o += float32(p0 * a[i])
			o += float32(p1 * b[i])
			o += float32(p2 * c[i])
			o += float32(p3 * d[i])
			out[i] = o
		}
		v = v[min(4*stride, len(v)):] // the last row of a head may be all that is left
	}
	for i, w := range p {
		for j, x := range v[i*stride:][:n] {
			out[j] += float32(w * x)
		}
	}
}

// linear computes out = x w^T + bias.
func (m *Model) linear(out, x []float32, y linear, n int) {
	m.matmul(out, x, y.w, n)
	for i := 0; i < len(out) && y.bias != nil; i += len(y.bias) {
		add(out[i:][:len(y.bias)], y.bias)
	}
}

// scale multiplies x by f.
func scale(x []float32, f float32) {
	for i := range x {
		x[i] *= f
	}
}

// softcap replaces every x by limit tanh(x/limit), unless limit is 0. It never changes the order
// of two numbers.
func softcap(x []float32, limit float64) {
	if limit == 0 {
		return
	}
	for i, v := range x {
		x[i] = float32(limit * tanh(float64(v)/limit))
	}
}

// tanh returns 2 sigmoid(2x) - 1, with an absolute error below 1e-8.
func tanh(x float64) float64 { return float64(2*sigmoid(2*x)) - 1 }

// add adds y to x.
func add(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

// rmsNorm normalises each run of len(w) elements of x, multiplies it by w and writes it to out,
// which may be x (Zhang and Sennrich, arXiv 1910.07467).
func rmsNorm(out, x, w []float32, eps float64) {
	n := len(w)
	for at := 0; at < len(x); at += n {
		src, dst := x[at:][:n], out[at:][:n]
		var sum float64
		for _, v := range src {
			sum += float64(v) * float64(v) // exact, so fusing changes nothing
		}
		inv := float32(1 / math.Sqrt(sum/float64(n)+eps))
		for i, v := range src {
			dst[i] = float32(v*inv) * w[i]
		}
	}
}

// softmax multiplies scores by scale > 0 and makes weights of them that sum to 1.
func softmax(s []float32, scale float32) {
	top := s[0]
	for _, v := range s {
		top = max(top, v)
	}
	var sum float32
	for i, v := range s {
		s[i] = float32(exp(float64((v - top) * scale)))
		sum += s[i]
	}
	inv := 1 / sum
	for i := range s {
		s[i] *= inv
	}
}

// geGLU computes gate = gelu(gate) up with the tanh form of GELU: x/2 (1 + tanh u) = x sigmoid(2u)
// (Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202).
func geGLU(gate, up []float32) {
	const c = 2 * 0.7978845608028654 // 2 sqrt(2/pi)
	up = up[:len(gate)]
	for i, g := range gate {
		x := float64(g)
		gate[i] = float32(x*sigmoid(float64(c*x)*(1+float64(0.044715*float64(x*x))))) * up[i]
	}
}

// swiGLU computes gate = silu(gate) up.
func swiGLU(gate, up []float32) {
	up = up[:len(gate)]
	for i, g := range gate {
		x := float64(g)
		gate[i] = float32(x*sigmoid(x)) * up[i]
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + exp(-x)) }

// exp is e^x with a relative error below 1e-8. Its result is the same on every machine; that of
// math.Exp is not. It writes x as k ln2 + r with |r| <= ln2/2 and sums Taylor's series of e^r up to
// r^7. Arguments beyond ±693 are clamped, to results of about 2^±1000, which is far outside the
// range of float32.
func exp(x float64) float64 {
	const shift = 0x1.8p52 // adding it rounds to a whole number, which the low bits then hold
	x = min(max(x, -693), 693)
	t := float64(x*math.Log2E) + shift
	k := t - shift
	r := x - float64(k*math.Ln2)
	p := float64(r*(1.0/5040)) + 1.0/720
	p = float64(p*r) + 1.0/120
	p = float64(p*r) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 0.5
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	return p * math.Float64frombits((math.Float64bits(t)+1023)<<52)
}

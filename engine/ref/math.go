package ref

import (
	"math"
	"sync"
)

// share runs f on all workers if there are enough multiplications for that to pay, else on one.
func (m *Model) share(work int, f func(worker, workers int)) {
	if m.workers == 1 || work < m.shareAt {
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

// matmul is out = x w^T for x of any number of rows of n, and w with a row of n for each column of out.
func (m *Model) matmul(out, x, w []float32, n int) {
	rows, columns := len(x)/n, len(w)/n
	block := max(4, 4096/n&^3) // rows of w that stay in the first-level cache, 16 KB, while all of x goes by
	m.share(len(x)*columns, func(worker, workers int) {
		lo, hi := worker*columns/workers, (worker+1)*columns/workers
		for j := lo; j < hi; j += block {
			dots(out[j:], columns, x, w[j*n:], n, rows, min(block, hi-j), n)
		}
	})
}

// dots is out[i*stride+j] = x row i . w row j, for nx rows of x, which are n apart, and nw rows of w, wStride apart.
// Each product is one sum from the first element to the last.
func dots(out []float32, stride int, x, w []float32, wStride, nx, nw, n int) {
	for i := range nx {
		x, out := x[i*n:][:n], out[i*stride:][:nw]
		j := 0
		for ; j+4 <= nw; j += 4 {
			at := w[j*wStride:]
			out[j], out[j+1], out[j+2], out[j+3] = dot4(x, at[:n], at[wStride:][:n], at[2*wStride:][:n], at[3*wStride:][:n])
		}
		for ; j < nw; j++ {
			out[j] = dot(x, w[j*wStride:])
		}
	}
}

func dot(x, w []float32) (s float32) {
	w = w[:len(x)]
	for i, v := range x {
		s += float32(v * w[i])
	}
	return s
}

// dot4 takes four sums side by side: 7 GMAC/s on a core that does 2.5 with eight of them, because the compiler then has
// too few registers and keeps a sum in memory.
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

// weightedSum adds to out the sum of p[i] times row i of v, whose rows are stride apart, one row after the other.
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

func add(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

// rmsNorm norms each run of len(w) elements of x into out, which may be x.
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

// softmax turns scores into weights that sum to 1, after multiplying them with scale > 0.
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

// geGLU is gate = gelu(gate) up with the tanh form of GELU: x/2 (1 + tanh u) = x sigmoid(2u).
func geGLU(gate, up []float32) {
	const c = 2 * 0.7978845608028654 // 2 sqrt(2/pi)
	up = up[:len(gate)]
	for i, g := range gate {
		x := float64(g)
		gate[i] = float32(x*sigmoid(float64(c*x)*(1+float64(0.044715*float64(x*x))))) * up[i]
	}
}

// swiGLU is gate = silu(gate) up.
func swiGLU(gate, up []float32) {
	up = up[:len(gate)]
	for i, g := range gate {
		x := float64(g)
		gate[i] = float32(x*sigmoid(x)) * up[i]
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + exp(-x)) }

// exp is e^x with a relative error below 1e-8, the same on every machine, which math.Exp is not: x = k ln2 + r, and
// Taylor's series to r^7 for |r| <= ln2/2. Outside the range of its float32 results it stops at 2^-1000 and 2^1000.
func exp(x float64) float64 {
	const shift = 0x1.8p52 // adding it rounds to a whole number, which is then in the low bits
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

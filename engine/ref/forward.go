package ref

import (
	"math"

	"loadstone/engine/checkpoint"
)

// state is the working memory of one step of T tokens. Letters as in weights.
type state struct {
	items      []item
	x          []float32 // T x E: the residual stream
	xb         []float32 // T x E: the stream, normed; then what a block adds to it
	q          []float32 // T x H*D
	k, v       []float32 // T x K*D
	att        []float32 // T x H*D: what the heads read
	gate, up   []float32 // T x F
	last       []float32 // rows asked for x E
	picked     []float32 // rows of logits that stay here
	readers    []reader  // by worker
	local      rope      // of the sliding layers
	global     rope
	embedScale float32
	attnScale  float32
}

func (s *state) init(c checkpoint.Config) {
	s.embedScale = 1
	s.local, s.global = newRope(c.RopeLocalTheta, 1, c.HeadDim), newRope(c.RopeTheta, c.RopeFactor, c.HeadDim)
	s.attnScale = float32(1 / math.Sqrt(c.QueryPreAttnScalar))
	if c.ModelType == "gemma3_text" {
		// Gemma was trained in bfloat16, and with it this factor: 25.25 where the hidden size is 640, not 25.298.
		s.embedScale = bfloat16(math.Sqrt(float64(c.HiddenSize)))
	}
}

func (s *state) grow(c checkpoint.Config, t, workers int) {
	e, hd, kd := c.HiddenSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for _, b := range []struct {
		buf *[]float32
		n   int
	}{
		{&s.x, t * e}, {&s.xb, t * e}, {&s.q, t * hd}, {&s.k, t * kd}, {&s.v, t * kd}, {&s.att, t * hd},
		{&s.gate, t * c.Intermediate}, {&s.up, t * c.Intermediate},
	} {
		*b.buf = sized(*b.buf, b.n)
	}
	for len(s.readers) < workers {
		s.readers = append(s.readers, reader{})
	}
}

// sized returns a slice of n elements of any value, buf's own memory if it is enough, else with some to spare: what
// depends on the history grows with every step.
func sized(buf []float32, n int) []float32 {
	if n <= cap(buf) {
		return buf[:n]
	}
	return make([]float32, n, n+n/4)
}

// forward runs the layers over a batch and stores its keys and values.
func (m *Model) forward(batch []item) {
	c, w, s := &m.cfg, &m.w, &m.s
	t, e, d := len(batch), c.HiddenSize, c.HeadDim
	s.grow(*c, t, m.workers)
	s.global.turn(batch)
	if c.RopeLocalTheta > 0 {
		s.local.turn(batch)
	}

	for i, it := range batch {
		for j, v := range w.embed[it.id*e:][:e] {
			s.x[i*e+j] = v * s.embedScale
		}
	}
	for l := range w.layers {
		y := &w.layers[l]
		r := &s.global
		if c.LayerSliding[l] {
			r = &s.local
		}

		// Attention.
		rmsNorm(s.xb, s.x, y.attnNorm, c.RMSNormEps)
		m.matmul(s.q, s.xb, y.q, e)
		m.matmul(s.k, s.xb, y.k, e)
		m.matmul(s.v, s.xb, y.v, e)
		if y.qNorm != nil {
			rmsNorm(s.q, s.q, y.qNorm, c.RMSNormEps)
			rmsNorm(s.k, s.k, y.kNorm, c.RMSNormEps)
		}
		for i := range batch {
			r.apply(s.q[i*c.Heads*d:][:c.Heads*d], i)
			r.apply(s.k[i*c.KVHeads*d:][:c.KVHeads*d], i)
		}
		m.kv.rotate(s.q)
		m.kv.store(l, c.LayerSliding[l], batch, s.k, s.v)
		m.attention(l, batch)
		m.kv.unrotate(s.att)
		m.matmul(s.xb, s.att, y.o, c.Heads*d)
		if y.postAttnNorm != nil {
			rmsNorm(s.xb, s.xb, y.postAttnNorm, c.RMSNormEps)
		}
		add(s.x, s.xb)

		// Gated feed-forward network.
		rmsNorm(s.xb, s.x, y.mlpNorm, c.RMSNormEps)
		m.matmul(s.gate, s.xb, y.gate, e)
		m.matmul(s.up, s.xb, y.up, e)
		if y.postMLPNorm != nil {
			geGLU(s.gate, s.up)
		} else {
			swiGLU(s.gate, s.up)
		}
		m.matmul(s.xb, s.gate, y.down, c.Intermediate)
		if y.postMLPNorm != nil {
			rmsNorm(s.xb, s.xb, y.postMLPNorm, c.RMSNormEps)
		}
		add(s.x, s.xb)
	}
}

// head writes the logits of some rows of the batch that forward has run.
func (m *Model) head(rows []int32, logits []float32) {
	if len(rows) == 0 { // a chunk from the middle of a prompt
		return
	}
	s, e := &m.s, m.cfg.HiddenSize
	s.last = sized(s.last, len(rows)*e)
	for i, row := range rows {
		copy(s.last[i*e:][:e], s.x[int(row)*e:])
	}
	rmsNorm(s.last, s.last, m.w.norm, m.cfg.RMSNormEps)
	m.matmul(logits, s.last, m.w.head, e)
}

// largest is the index of the largest finite logit, the first of equals, or -1 when there is none.
func largest(logits []float32) int32 {
	best, high := int32(-1), float32(math.Inf(-1))
	for i, l := range logits {
		if l > high && l <= math.MaxFloat32 {
			best, high = int32(i), l
		}
	}
	return best
}

// attention lets every token of the batch read what it may see in layer l, through its block table.
func (m *Model) attention(l int, batch []item) {
	c, s := &m.cfg, &m.s
	work := 0
	for _, it := range batch {
		work += 2 * (it.pos - m.firstSeen(l, it.pos) + 1) * c.Heads * c.HeadDim
	}
	m.share(work, func(worker, workers int) {
		r := &s.readers[worker]
		for at := 0; at < len(batch); {
			end := at + 1
			for end < len(batch) && batch[end].seq == batch[at].seq {
				end++
			}
			// Dealt out one by one: later tokens see more.
			first := at + (worker-at%workers+workers)%workers
			for h := range c.KVHeads {
				if first < end {
					r.open(&m.kv, l, h, batch[at].table(c.LayerSliding[l]), m.firstSeen(l, batch[first].pos), batch[end-1].pos)
				}
				for i := first; i < end; i += workers {
					m.attend(r, l, h, i, batch[i])
				}
			}
			at = end
		}
	})
}

// firstSeen is the first position that the token at pos sees in layer l.
func (m *Model) firstSeen(l, pos int) int {
	if m.cfg.LayerSliding[l] {
		return max(0, pos-m.cfg.SlidingWindow+1)
	}
	return 0
}

// attend computes the heads that share key head kh for token i of the batch.
func (m *Model) attend(r *reader, l, kh, i int, it item) {
	c, s := &m.cfg, &m.s
	d, group := c.HeadDim, c.Heads/c.KVHeads
	first, seen := m.firstSeen(l, it.pos), it.pos-m.firstSeen(l, it.pos)+1
	r.scores = sized(r.scores, group*seen)
	scores := r.scores // head of the group x position
	q := s.q[(i*c.Heads+kh*group)*d:][:group*d]
	out := s.att[(i*c.Heads+kh*group)*d:][:group*d]

	for p := first; p <= it.pos; {
		keys, stride, n := r.run(false, p, it.pos)
		dots(scores[p-first:], seen, q, keys, stride, group, n, d)
		p += n
	}
	for g := range group {
		softmax(scores[g*seen:][:seen], s.attnScale)
	}
	clear(out)
	for p := first; p <= it.pos; {
		values, stride, n := r.run(true, p, it.pos)
		for g := range group {
			weightedSum(out[g*d:][:d], scores[g*seen+p-first:][:n], values, stride)
		}
		p += n
	}
}

package ref

import (
	"math"

	"loadstone/engine/checkpoint"
)

// state is the working memory of one step of T tokens. Letters as in weights.
type state struct {
	items      []item
	x          []float32   // T x E: the residual stream
	xb         []float32   // T x E: the stream, normed; then what a block adds to it
	q          []float32   // T x H*D
	k, v       []float32   // T x K*D
	att        []float32   // T x H*D: what the heads read
	gate, up   []float32   // T x F
	last       []float32   // rows asked for x E
	scores     [][]float32 // by worker: H/K x positions
	local      rope        // of the sliding layers
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

func (s *state) grow(c checkpoint.Config, t, rows, workers int) {
	e, hd, kd := c.HiddenSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for _, b := range []struct {
		buf *[]float32
		n   int
	}{
		{&s.x, t * e}, {&s.xb, t * e}, {&s.q, t * hd}, {&s.k, t * kd}, {&s.v, t * kd}, {&s.att, t * hd},
		{&s.gate, t * c.Intermediate}, {&s.up, t * c.Intermediate}, {&s.last, rows * e},
	} {
		*b.buf = sized(*b.buf, b.n)
	}
	for len(s.scores) < workers {
		s.scores = append(s.scores, nil)
	}
}

// sized returns a slice of n elements of any value, buf's own memory if it is enough.
func sized(buf []float32, n int) []float32 {
	if n <= cap(buf) {
		return buf[:n]
	}
	return make([]float32, n)
}

// forward runs the network over a batch, stores its keys and values, and writes the logits of the rows asked for.
func (m *Model) forward(batch []item, rows []int32, logits []float32) {
	c, w, s := &m.cfg, &m.w, &m.s
	t, e, d := len(batch), c.HiddenSize, c.HeadDim
	s.grow(*c, t, len(rows), m.workers)
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
		m.kv.store(l, c.LayerSliding[l], batch, s.k, s.v)
		m.attention(l, batch)
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

	if len(rows) == 0 { // a chunk from the middle of a prompt
		return
	}
	for i, row := range rows {
		copy(s.last[i*e:][:e], s.x[int(row)*e:])
	}
	rmsNorm(s.last, s.last, w.norm, c.RMSNormEps)
	m.matmul(logits, s.last, w.head, e)
}

// attention lets every token of the batch read what it may see in layer l, through its block table.
func (m *Model) attention(l int, batch []item) {
	c, s := &m.cfg, &m.s
	work := 0
	for _, it := range batch {
		work += 2 * (it.pos - m.firstSeen(l, it.pos) + 1) * c.Heads * c.HeadDim
	}
	m.share(work, func(worker, workers int) {
		// Dealt out one by one: later tokens see more.
		for i := worker; i < len(batch); i += workers {
			for h := range c.KVHeads {
				s.scores[worker] = m.attend(l, h, i, batch[i], s.scores[worker])
			}
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

// attend computes the heads that share key head kh for token i of the batch. It returns buf, perhaps grown.
func (m *Model) attend(l, kh, i int, it item, buf []float32) []float32 {
	c, s, kv := &m.cfg, &m.s, &m.kv
	d, group := c.HeadDim, c.Heads/c.KVHeads
	kd, table := c.KVHeads*d, it.table(c.LayerSliding[l])
	first, seen := m.firstSeen(l, it.pos), it.pos-m.firstSeen(l, it.pos)+1
	if len(buf) < group*seen {
		buf = make([]float32, 2*group*seen)
	}
	scores := buf[:group*seen] // head of the group x position
	q := s.q[(i*c.Heads+kh*group)*d:][:group*d]
	out := s.att[(i*c.Heads+kh*group)*d:][:group*d]

	for p := first; p <= it.pos; {
		at, n := kv.run(table, p, it.pos)
		dots(scores[p-first:], seen, q, kv.keys[l][at*kd+kh*d:], kd, group, n, d)
		p += n
	}
	for g := range group {
		softmax(scores[g*seen:][:seen], s.attnScale)
	}
	clear(out)
	for p := first; p <= it.pos; {
		at, n := kv.run(table, p, it.pos)
		values := kv.values[l][at*kd+kh*d:]
		for g := range group {
			weightedSum(out[g*d:][:d], scores[g*seen+p-first:][:n], values, kd)
		}
		p += n
	}
	return buf
}

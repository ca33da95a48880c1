package ref

import (
	"cmp"
	"math"
	"slices"

	"loadstone/engine/checkpoint"
)

// state is the working memory of one step of T tokens. The letters are those of weights.
type state struct {
	items       []item
	x           []float32 // T x E: the residual stream
	xb          []float32 // T x E: the normalised stream, then what a block adds to it
	q           []float32 // T x H*D
	k, v        []float32 // T x K*D
	att         []float32 // T x H*D: the result of the heads
	gate, up    []float32 // T x F; X of one token of a mixture of experts
	shares      []float32 // T x N: of the experts
	one         []float32 // E: what an expert makes of one token
	last        []float32 // R x E: the stream of the R tokens whose logits are computed
	picked      []float32 // R x V: logits that only picks are made from
	readers     []reader  // by worker
	globalRope  rope
	slidingRope rope // of the sliding layers
	embedScale  float32
	attnScale   float32
	queryScale  []float32 // T: of queries, by their position; empty without QueryBeta
}

func (s *state) init(c checkpoint.Config) {
	s.embedScale = float32(c.EmbeddingScale)
	s.globalRope, s.slidingRope = newRope(c.Rope, c.HeadDim), newRope(c.SlidingRope, c.HeadDim)
	s.attnScale = float32(c.AttentionScale)
}

// grow makes the buffers large enough for t tokens.
func (s *state) grow(c checkpoint.Config, t, workers int) {
	e, hd, kd := c.HiddenSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for _, b := range []struct {
		buf *[]float32
		n   int
	}{
		{&s.x, t * e}, {&s.xb, t * e}, {&s.q, t * hd}, {&s.k, t * kd}, {&s.v, t * kd},
		{&s.att, t * hd},
		{&s.gate, t * c.Intermediate}, {&s.up, t * c.Intermediate},
	} {
		*b.buf = sized(*b.buf, b.n)
	}
	for len(s.readers) < workers {
		s.readers = append(s.readers, reader{})
	}
}

// sized returns a slice of n elements of any value. It is buf's own memory if that is enough, else
// it has some capacity to spare, because buffers for the history grow with every step.
func sized(buf []float32, n int) []float32 {
	if n <= cap(buf) {
		return buf[:n]
	}
	return make([]float32, n, n+n/4)
}

// forward runs the layers over a batch and stores its keys and values.
func (m *Model) forward(batch []item) {
	c, w, s := &m.cfg, &m.w, &m.s
	t, e := len(batch), c.HiddenSize
	s.grow(*c, t, m.workers)
	s.globalRope.setAngles(batch)
	if c.SlidingWindow > 0 {
		s.slidingRope.setAngles(batch)
	}
	s.setQueryScale(c, batch)

	for i, it := range batch {
		for j, v := range w.embed[it.id*e:][:e] {
			s.x[i*e+j] = v * s.embedScale
		}
	}
	for l := range w.layers {
		m.attentionBlock(l, batch)
		m.mlpBlock(&w.layers[l])
	}
}

// setQueryScale computes the factors of queries that grow with the position.
func (s *state) setQueryScale(c *checkpoint.Config, batch []item) {
	if c.QueryBeta == 0 {
		return
	}
	s.queryScale = sized(s.queryScale, len(batch))
	for i, it := range batch {
		s.queryScale[i] = float32(1 + c.QueryBeta*math.Log(1+float64(it.pos/c.QueryEvery)))
	}
}

// attentionBlock adds what layer l's attention makes of the residual stream to it, and stores keys
// and values.
func (m *Model) attentionBlock(l int, batch []item) {
	c, s, y := &m.cfg, &m.s, &m.w.layers[l]
	d := c.HeadDim
	rmsNorm(s.xb, s.x, y.attnNorm, c.RMSNormEps)
	m.linear(s.q, s.xb, y.q, c.HiddenSize)
	m.linear(s.k, s.xb, y.k, c.HiddenSize)
	m.linear(s.v, s.xb, y.v, c.HiddenSize)
	if y.qNorm != nil {
		rmsNorm(s.q, s.q, y.qNorm, c.RMSNormEps)
		rmsNorm(s.k, s.k, y.kNorm, c.RMSNormEps)
	}
	rope := &s.globalRope
	if y.sliding {
		rope = &s.slidingRope
	}
	for i := range batch {
		q, k := s.q[i*c.Heads*d:][:c.Heads*d], s.k[i*c.KVHeads*d:][:c.KVHeads*d]
		if y.rotates {
			rope.apply(q, i)
			rope.apply(k, i)
		}
		if c.QueryBeta != 0 {
			scale(q, s.queryScale[i])
		}
	}
	m.kv.rotate(s.q)
	m.kv.store(l, y.sliding, batch, s.k, s.v)
	m.attention(l, batch)
	m.kv.unrotate(s.att)
	m.linear(s.xb, s.att, y.o, c.Heads*d)
	if y.postAttnNorm != nil {
		rmsNorm(s.xb, s.xb, y.postAttnNorm, c.RMSNormEps)
	}
	add(s.x, s.xb)
}

// mlpBlock does the same for a layer's gated feed-forward network.
func (m *Model) mlpBlock(y *layer) {
	c, s := &m.cfg, &m.s
	rmsNorm(s.xb, s.x, y.mlpNorm, c.RMSNormEps)
	if c.Experts > 0 {
		m.mixture(y)
		return
	}
	m.linear(s.gate, s.xb, y.gate, c.HiddenSize)
	m.linear(s.up, s.xb, y.up, c.HiddenSize)
	if c.GELU {
		geGLU(s.gate, s.up)
	} else {
		swiGLU(s.gate, s.up)
	}
	m.linear(s.xb, s.gate, y.down, c.Intermediate)
	if y.postMLPNorm != nil {
		rmsNorm(s.xb, s.xb, y.postMLPNorm, c.RMSNormEps)
	}
	add(s.x, s.xb)
}

// mixture sends each token of the normalised stream xb through the experts that the router chooses,
// and adds what they make of it, times their shares, to the residual stream. Tokens go one by one,
// so that a token's sums are the same whatever else is in the step.
func (m *Model) mixture(y *layer) {
	c, s := &m.cfg, &m.s
	e, n := c.HiddenSize, c.Experts
	rows := len(s.xb) / e
	s.shares, s.one = sized(s.shares, rows*n), sized(s.one, e)
	m.linear(s.shares, s.xb, y.router, e)
	gate, up := sized(s.gate, c.ExpertIntermediate), sized(s.up, c.ExpertIntermediate)
	sum := make([]float32, e)
	for i := range rows {
		shares, x := s.shares[i*n:][:n], s.xb[i*e:][:e]
		softmax(shares, 1)
		keepLargest(shares, c.ActiveExperts, c.NormShares)
		clear(sum)
		for j, share := range shares {
			if share == 0 {
				continue
			}
			m.linear(gate, x, y.experts[j].gate, e)
			m.linear(up, x, y.experts[j].up, e)
			if c.GELU {
				geGLU(gate, up)
			} else {
				swiGLU(gate, up)
			}
			m.linear(s.one, gate, y.experts[j].down, c.ExpertIntermediate)
			for k, v := range s.one {
				sum[k] += float32(v * share)
			}
		}
		add(s.x[i*e:][:e], sum)
	}
	s.gate, s.up = gate, up
}

// keepLargest sets all but the n largest numbers to 0, of equals the later ones, and divides those
// by their sum if norm is set.
func keepLargest(x []float32, n int, norm bool) {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[b], x[a]) })
	var sum float32
	for _, i := range order[:n] {
		sum += x[i]
	}
	for _, i := range order[n:] {
		x[i] = 0
	}
	for _, i := range order[:n] {
		if norm {
			x[i] /= sum
		}
	}
}

// head writes the logits of some tokens of the batch that forward has run: rows are indices into
// the batch.
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
	softcap(logits, m.cfg.FinalCap)
}

// largest is the index of the largest finite logit, the first of equals, or -1 if no logit is
// finite.
//
// This rule is written down in four places on purpose: here, in the engine's sampler, in metal's
// kernel and in metal's test. This copy is the oracle that tests hold the others against, so it
// shares no code with them.
func largest(logits []float32) int32 {
	best, high := int32(-1), float32(math.Inf(-1))
	for i, l := range logits {
		if l > high && l <= math.MaxFloat32 {
			best, high = int32(i), l
		}
	}
	return best
}

// attention computes, for every token of the batch, the heads of layer l over all positions that
// the token sees, which it finds through the table of the token's sequence.
func (m *Model) attention(l int, batch []item) {
	c, s := &m.cfg, &m.s
	work := 0
	for _, it := range batch {
		work += 2 * (it.pos - m.firstSeen(l, it.pos) + 1) * c.Heads * c.HeadDim
	}
	m.parallel(work, func(worker, workers int) {
		r := &s.readers[worker]
		for at := 0; at < len(batch); {
			end := at + 1
			for end < len(batch) && batch[end].seq == batch[at].seq {
				end++
			}
			// Workers take tokens in turns, because later tokens see more positions.
			first := at + (worker-at%workers+workers)%workers
			for h := range c.KVHeads {
				if first < end {
					table := batch[at].table(c.LayerSliding[l])
					r.open(&m.kv, l, h, table, m.firstSeen(l, batch[first].pos), batch[end-1].pos)
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

// attend computes, for token i of the batch, the heads that share key head kh.
func (m *Model) attend(r *reader, l, kh, i int, it item) {
	c, s := &m.cfg, &m.s
	d, group := c.HeadDim, c.Heads/c.KVHeads
	first, seen := m.firstSeen(l, it.pos), it.pos-m.firstSeen(l, it.pos)+1
	r.scores = sized(r.scores, group*seen)
	scores := r.scores // heads of the group x positions
	q := s.q[(i*c.Heads+kh*group)*d:][:group*d]
	out := s.att[(i*c.Heads+kh*group)*d:][:group*d]

	for p := first; p <= it.pos; {
		keys, stride, n := r.run(false, p, it.pos)
		dots(scores[p-first:], seen, q, keys, stride, group, n, d)
		p += n
	}
	scale := s.attnScale
	if c.AttentionCap > 0 {
		for i := range scores {
			scores[i] *= scale
		}
		softcap(scores, c.AttentionCap)
		scale = 1
	}
	for g := range group {
		softmax(scores[g*seen:][:seen], scale)
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

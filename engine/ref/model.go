// Package ref runs the networks that package checkpoint describes in plain Go, in float32. Tests
// hold other backends against it, and it serves on machines without MLX.
//
// It promises more than closeness: the logits of a token depend on that token and the tokens before
// it and on nothing else, to the last bit. Neither the batch, nor the chunks that a prompt was cut
// into, nor the place of the blocks, nor the number of cores, nor the kind of machine changes them.
// Two rules ensure that. Every sum is taken in one order, element after element; speed comes from
// computing several sums side by side. And every product is rounded to float32 by a conversion
// before it is added, because the compiler fuses the two operations on some machines (the language
// allows that unless there is a conversion).
package ref

import (
	"fmt"
	"runtime"
	"slices"

	"loadstone/engine/checkpoint"
)

// Model is a network with its KV cache; it implements engine.Model.
type Model struct {
	cfg          checkpoint.Config
	w            weights
	kv           cache
	s            state
	workers      int
	parallelFrom int // number of multiplications from which on all workers are used
	closed       bool
}

// New reads all weights of a checkpoint as float32: 4 bytes a parameter. kv is the name of the
// format in which the KV cache will be stored; see KVFormat.
func New(c *checkpoint.Checkpoint, kv string) (*Model, error) {
	f, err := parseFormat(kv)
	if err != nil {
		return nil, err
	}
	w, err := load(c)
	if err != nil {
		return nil, err
	}
	m := &Model{cfg: c.Config, w: *w, workers: runtime.GOMAXPROCS(0), parallelFrom: 1 << 19}
	m.kv = cache{format: f, heads: m.cfg.KVHeads, headDim: m.cfg.HeadDim,
		rowBytes: f.size(m.cfg.HeadDim)}
	m.s.init(c.Config)
	return m, nil
}

// Vocab is the length of one row of logits.
func (m *Model) Vocab() int { return m.cfg.VocabSize }

// Window is the number of tokens, itself included, that a token sees in a sliding layer; 0 if the
// model has no such layer.
func (m *Model) Window() int { return m.cfg.SlidingWindow }

// Context is the largest number of tokens that a sequence may have.
func (m *Model) Context() int { return m.cfg.MaxPositions }

// Step runs a batch; see engine.Model. It refuses a batch that does not fit the model, before it
// changes anything.
func (m *Model) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	b, err := m.batch(tokens, lens, starts, tables, windowSlots)
	if err != nil {
		return err
	}
	if err := m.checkResults(len(tokens), rows, logits, picks, best); err != nil {
		return err
	}
	m.forward(b)
	m.head(rows, logits)
	if len(picks) > 0 {
		m.s.picked = sized(m.s.picked, len(picks)*m.cfg.VocabSize)
		m.head(picks, m.s.picked)
		for i := range picks {
			best[i] = largest(m.s.picked[i*m.cfg.VocabSize:][:m.cfg.VocabSize])
		}
	}
	return nil
}

// checkResults checks which results of a step of n tokens are wanted, and that there is room for
// them.
func (m *Model) checkResults(n int, rows []int32, logits []float32, picks, best []int32) error {
	for _, list := range [][]int32{rows, picks} {
		last := int32(-1)
		for _, r := range list {
			if r <= last || int(r) >= n {
				return fmt.Errorf("rows %v are not ascending indices into %d tokens", list, n)
			}
			last = r
		}
	}
	for _, r := range picks {
		if slices.Contains(rows, r) {
			return fmt.Errorf("token %d is among the rows and among the picks", r)
		}
	}
	if len(logits) != len(rows)*m.cfg.VocabSize || len(best) != len(picks) {
		return fmt.Errorf("room for %d logits and %d picks; %d rows of %d need %d, and there are "+
			"%d picks", len(logits), len(best), len(rows), m.cfg.VocabSize,
			len(rows)*m.cfg.VocabSize, len(picks))
	}
	return nil
}

// WeightBytes is the number of bytes that the weights take in memory.
func (m *Model) WeightBytes() (n int64) {
	all := [][]float32{m.w.embed, m.w.norm}
	if len(m.w.head) > 0 && &m.w.head[0] != &m.w.embed[0] {
		all = append(all, m.w.head)
	}
	for i := range m.w.layers {
		l := &m.w.layers[i]
		all = append(all, l.attnNorm, l.qNorm, l.kNorm, l.postAttnNorm, l.mlpNorm, l.postMLPNorm)
		all = append(all, l.router.w)
		for _, x := range l.experts {
			all = append(all, x.gate.w, x.up.w, x.down.w)
		}
		for _, y := range []linear{l.q, l.k, l.v, l.o, l.gate, l.up, l.down} {
			all = append(all, y.w, y.bias)
		}
	}
	for _, x := range all {
		n += int64(4 * len(x))
	}
	return n
}

// Close frees the weights and the cache. A second Close does nothing.
func (m *Model) Close() error {
	m.w, m.kv, m.s, m.closed = weights{}, cache{}, state{}, true
	return nil
}

// Package ref runs Gemma 3 and Llama networks in plain Go, in float32. It is the oracle that other backends are held
// against and what serves where MLX is not.
//
// It promises more than closeness: the logits of a token depend on the tokens before it and on nothing else, to the last
// bit. Neither the batch it is in, nor how its prompt was cut into chunks, nor where its blocks lie, nor how many cores
// work, nor the kind of machine changes them. To hold that, every sum is taken in one order, element after element, and
// speed comes from computing several sums side by side; and every product is rounded to float32 by a conversion before it
// is added, because the compiler fuses the two on some machines (the language allows it unless there is a conversion).
package ref

import (
	"fmt"
	"math"
	"runtime"
	"slices"

	"loadstone/engine/checkpoint"
)

// Model is a network with its KV cache; it implements engine.Model.
type Model struct {
	cfg     checkpoint.Config
	w       weights
	kv      cache
	s       state
	workers int
	shareAt int // multiplications from which on all workers are put to it
	closed  bool
}

// New reads all weights of a checkpoint as float32: 4 bytes a parameter. The KV cache will be kept as kv says: f32, f16,
// or quantised, q8 or q4; see format.
func New(c *checkpoint.Checkpoint, kv string) (*Model, error) {
	f, err := parseFormat(kv)
	if err != nil {
		return nil, err
	}
	w, err := load(c)
	if err != nil {
		return nil, err
	}
	m := &Model{cfg: c.Config, w: *w, workers: runtime.GOMAXPROCS(0), shareAt: 1 << 19}
	m.kv = cache{format: f, heads: m.cfg.KVHeads, headDim: m.cfg.HeadDim, rowBytes: f.size(m.cfg.HeadDim)}
	m.s.init(c.Config)
	return m, nil
}

// Vocab is the length of one row of logits.
func (m *Model) Vocab() int { return m.cfg.VocabSize }

// Window is how many tokens, itself included, a token sees in a sliding layer; 0 when there is no such layer.
func (m *Model) Window() int {
	if !slices.Contains(m.cfg.LayerSliding, true) {
		return 0
	}
	return m.cfg.SlidingWindow
}

// Context is the most tokens that a sequence may have.
func (m *Model) Context() int { return m.cfg.MaxPositions }

// Step runs a batch; see engine.Model. It refuses one that does not fit the model, before it changes anything.
func (m *Model) Step(tokens, lens, starts, tables, locals, rows []int32, logits []float32, picks, best []int32) error {
	b, err := m.batch(tokens, lens, starts, tables, locals)
	if err != nil {
		return err
	}
	for _, asked := range [][]int32{rows, picks} {
		last := int32(-1)
		for _, r := range asked {
			if r <= last || int(r) >= len(tokens) {
				return fmt.Errorf("rows %v are not ascending indices into %d tokens", asked, len(tokens))
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
		return fmt.Errorf("room for %d logits and %d picks; %d rows of %d need %d, and there are %d picks",
			len(logits), len(best), len(rows), m.cfg.VocabSize, len(rows)*m.cfg.VocabSize, len(picks))
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

// WeightBytes is what the weights take.
func (m *Model) WeightBytes() (n int64) {
	all := [][]float32{m.w.embed, m.w.norm}
	if len(m.w.head) > 0 && &m.w.head[0] != &m.w.embed[0] {
		all = append(all, m.w.head)
	}
	for i := range m.w.layers {
		l := &m.w.layers[i]
		all = append(all, l.attnNorm, l.q, l.k, l.v, l.o, l.qNorm, l.kNorm, l.postAttnNorm, l.mlpNorm, l.gate, l.up, l.down, l.postMLPNorm)
	}
	for _, x := range all {
		n += int64(4 * len(x))
	}
	return n
}

// Close frees everything. A second Close does nothing.
func (m *Model) Close() error {
	m.w, m.kv, m.s, m.closed = weights{}, cache{}, state{}, true
	return nil
}

// item is one token of a batch.
type item struct {
	id, pos       int
	seq           int     // which sequence of the batch it is in
	blocks, local []int32 // that one's tables
}

// table is the one for a layer that slides or not.
func (it *item) table(sliding bool) []int32 {
	if sliding {
		return it.local
	}
	return it.blocks
}

// batch checks a step's arrays and returns its tokens one by one.
func (m *Model) batch(tokens, lens, starts, tables, locals []int32) ([]item, error) {
	if m.closed {
		return nil, fmt.Errorf("the model is closed")
	}
	if m.kv.blocks == 0 {
		return nil, fmt.Errorf("Step before AllocKV")
	}
	if len(lens) != len(starts) {
		return nil, fmt.Errorf("%d lens and %d starts", len(lens), len(starts))
	}
	window := m.Window()
	if window == 0 {
		locals = tables // looked at by nobody
	}
	if len(locals) != len(tables) {
		return nil, fmt.Errorf("%d blocks and %d locals", len(tables), len(locals))
	}
	items := m.s.items[:0]
	for i, n := range lens {
		start := starts[i]
		if n < 1 || start < 0 || int64(start)+int64(n) > int64(m.cfg.MaxPositions) {
			return nil, fmt.Errorf("sequence %d: %d tokens from position %d; the context has %d", i, n, start, m.cfg.MaxPositions)
		}
		entries := (int(start+n) + m.kv.blockTokens - 1) / m.kv.blockTokens
		if int(n) > len(tokens) || entries > len(tables) {
			return nil, fmt.Errorf("sequence %d: %d tokens and %d blocks; %d and %d are left", i, n, entries, len(tokens), len(tables))
		}
		for _, block := range tables[:entries] {
			if block < 0 || int(block) >= m.kv.blocks {
				return nil, fmt.Errorf("sequence %d: block %d of %d", i, block, m.kv.blocks)
			}
		}
		for j := max(0, int(start)-window+1) / m.kv.blockTokens; window > 0 && j < entries; j++ {
			if l := locals[j]; l < 0 || int(l) >= m.kv.locals {
				return nil, fmt.Errorf("sequence %d: local %d of %d", i, l, m.kv.locals)
			}
		}
		for j, id := range tokens[:n] {
			if id < 0 || int(id) >= m.cfg.VocabSize {
				return nil, fmt.Errorf("sequence %d: token %d is outside the vocabulary of %d", i, id, m.cfg.VocabSize)
			}
			items = append(items, item{id: int(id), pos: int(start) + j, seq: i, blocks: tables[:entries], local: locals[:entries]})
		}
		tokens, tables, locals = tokens[n:], tables[entries:], locals[entries:]
	}
	if len(tokens) != 0 || len(tables) != 0 {
		return nil, fmt.Errorf("%d tokens and %d blocks belong to no sequence", len(tokens), len(tables))
	}
	m.s.items = items
	return items, nil
}

// bfloat16 rounds to the nearest bfloat16, ties to even.
func bfloat16(x float64) float32 {
	bits := math.Float32bits(float32(x))
	bits += 0x7fff + bits>>16&1
	return math.Float32frombits(bits &^ 0xffff)
}

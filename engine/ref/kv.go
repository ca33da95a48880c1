package ref

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// cache holds the keys and values, float32, by layer: blocks x blockTokens x width, where width is K*D.
type cache struct {
	keys, values               [][]float32
	blocks, blockTokens, width int
}

// KVBytesPerToken is what one token takes in the cache.
func (m *Model) KVBytesPerToken() int {
	return m.cfg.Layers * 2 * m.cfg.KVHeads * m.cfg.HeadDim * 4
}

// AllocKV allocates the cache, once.
func (m *Model) AllocKV(blocks, blockTokens int) error {
	if m.closed {
		return errors.New("the model is closed")
	}
	if m.kv.blocks != 0 {
		return errors.New("the KV cache is already there")
	}
	// Block numbers are int32, and no size below may overflow.
	if blocks < 1 || blockTokens < 1 || blocks > math.MaxInt32 || blockTokens > math.MaxInt32 ||
		int64(blocks)*int64(blockTokens) > math.MaxInt/int64(m.KVBytesPerToken()) {
		return fmt.Errorf("a KV cache of %d blocks of %d tokens of %d bytes cannot be", blocks, blockTokens, m.KVBytesPerToken())
	}
	kv := cache{blocks: blocks, blockTokens: blockTokens, width: m.cfg.KVHeads * m.cfg.HeadDim}
	for range m.cfg.Layers {
		kv.keys = append(kv.keys, make([]float32, blocks*blockTokens*kv.width))
		kv.values = append(kv.values, make([]float32, blocks*blockTokens*kv.width))
	}
	m.kv = kv
	return nil
}

// run finds position p of a sequence: the tokens from there to last lie n in a row, beginning at token at of the cache.
func (kv *cache) run(table []int32, p, last int) (at, n int) {
	off := p % kv.blockTokens
	return int(table[p/kv.blockTokens])*kv.blockTokens + off, min(kv.blockTokens-off, last-p+1)
}

func (kv *cache) store(layer int, batch []item, k, v []float32) {
	for i, it := range batch {
		at, _ := kv.run(it.table, it.pos, it.pos)
		copy(kv.keys[layer][at*kv.width:][:kv.width], k[i*kv.width:])
		copy(kv.values[layer][at*kv.width:][:kv.width], v[i*kv.width:])
	}
}

// CopyKV copies the first tokens tokens of block src to block dst.
func (m *Model) CopyKV(dst, src, tokens int) error {
	if err := errors.Join(m.checkBlock(dst, tokens), m.checkBlock(src, tokens)); err != nil {
		return err
	}
	for to, from := range m.planes(dst, src, tokens) {
		copy(to, from)
	}
	return nil
}

// ReadKV writes the first tokens tokens of a block to dst: by layer the keys, then the values, as little-endian float32.
func (m *Model) ReadKV(block, tokens int, dst []byte) error {
	if err := m.checkBytes(block, tokens, len(dst)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, tokens) {
		for _, x := range plane {
			binary.LittleEndian.PutUint32(dst, math.Float32bits(x))
			dst = dst[4:]
		}
	}
	return nil
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, tokens int, src []byte) error {
	if err := m.checkBytes(block, tokens, len(src)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, tokens) {
		for i := range plane {
			plane[i] = math.Float32frombits(binary.LittleEndian.Uint32(src))
			src = src[4:]
		}
	}
	return nil
}

// planes yields, layer by layer, the first tokens' keys of two blocks and then their values.
func (m *Model) planes(a, b, tokens int) func(yield func(a, b []float32) bool) {
	kv := &m.kv
	size := kv.blockTokens * kv.width
	return func(yield func(a, b []float32) bool) {
		for l := range kv.keys {
			for _, plane := range [][]float32{kv.keys[l], kv.values[l]} {
				if !yield(plane[a*size:][:tokens*kv.width], plane[b*size:][:tokens*kv.width]) {
					return
				}
			}
		}
	}
}

func (m *Model) checkBlock(block, tokens int) error {
	if block < 0 || block >= m.kv.blocks || tokens < 0 || tokens > m.kv.blockTokens {
		return fmt.Errorf("%d tokens of block %d; there are %d blocks of %d", tokens, block, m.kv.blocks, m.kv.blockTokens)
	}
	return nil
}

func (m *Model) checkBytes(block, tokens, n int) error {
	if err := m.checkBlock(block, tokens); err != nil {
		return err
	}
	if want := tokens * m.KVBytesPerToken(); n != want {
		return fmt.Errorf("%d bytes for %d tokens of KV; it takes %d", n, tokens, want)
	}
	return nil
}

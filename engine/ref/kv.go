package ref

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// cache holds the keys and values, float32, by layer: blocks x blockTokens x width, or locals x blockTokens x width where
// the layer slides. width is K*D.
type cache struct {
	keys, values                       [][]float32
	blocks, locals, blockTokens, width int
}

// KVBytesPerToken is what one token takes in the cache, in the global layers and in the sliding ones.
func (m *Model) KVBytesPerToken() (global, local int) {
	layer := 2 * m.cfg.KVHeads * m.cfg.HeadDim * 4
	for _, sliding := range m.cfg.LayerSliding {
		if sliding {
			local += layer
		} else {
			global += layer
		}
	}
	return global, local
}

// AllocKV allocates the cache, once.
func (m *Model) AllocKV(blocks, locals, blockTokens int) error {
	if m.closed {
		return errors.New("the model is closed")
	}
	if m.kv.blocks != 0 {
		return errors.New("the KV cache is already there")
	}
	// Block numbers are int32, and no size below may overflow.
	global, local := m.KVBytesPerToken()
	if local == 0 {
		locals = 0
	}
	if most := math.MaxInt32 / max(1, blockTokens); blocks < 1 || blockTokens < 1 || blocks > most || locals < 0 || locals > most ||
		local > 0 && locals < 1 || float64(blocks*global+locals*local)*float64(blockTokens) > math.MaxInt/2 {
		return fmt.Errorf("a KV cache of %d blocks of %d tokens of %d bytes and %d of %d cannot be", blocks, blockTokens, global, locals, local)
	}
	kv := cache{blocks: blocks, locals: locals, blockTokens: blockTokens, width: m.cfg.KVHeads * m.cfg.HeadDim}
	for _, sliding := range m.cfg.LayerSliding {
		n := blocks
		if sliding {
			n = locals
		}
		kv.keys = append(kv.keys, make([]float32, n*blockTokens*kv.width))
		kv.values = append(kv.values, make([]float32, n*blockTokens*kv.width))
	}
	m.kv = kv
	return nil
}

// run finds position p of a sequence: the tokens from there to last lie n in a row, beginning at token at of the cache.
func (kv *cache) run(table []int32, p, last int) (at, n int) {
	off := p % kv.blockTokens
	return int(table[p/kv.blockTokens])*kv.blockTokens + off, min(kv.blockTokens-off, last-p+1)
}

func (kv *cache) store(layer int, sliding bool, batch []item, k, v []float32) {
	for i, it := range batch {
		at, _ := kv.run(it.table(sliding), it.pos, it.pos)
		copy(kv.keys[layer][at*kv.width:][:kv.width], k[i*kv.width:])
		copy(kv.values[layer][at*kv.width:][:kv.width], v[i*kv.width:])
	}
}

// CopyKV copies the first tokens tokens of block src to block dst, and those of local srcLocal to dstLocal.
func (m *Model) CopyKV(dst, src, dstLocal, srcLocal, tokens int) error {
	if err := errors.Join(m.checkBlock(dst, dstLocal, tokens), m.checkBlock(src, srcLocal, tokens)); err != nil {
		return err
	}
	for to, from := range m.planes(dst, src, dstLocal, srcLocal, tokens) {
		copy(to, from)
	}
	return nil
}

// ReadKV writes the first tokens tokens of a block and a local to dst: by layer the keys, then the values, as
// little-endian float32; of the block alone where local is -1.
func (m *Model) ReadKV(block, local, tokens int, dst []byte) error {
	if err := m.checkBytes(block, local, tokens, len(dst)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, local, local, tokens) {
		for _, x := range plane {
			binary.LittleEndian.PutUint32(dst, math.Float32bits(x))
			dst = dst[4:]
		}
	}
	return nil
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, local, tokens int, src []byte) error {
	if err := m.checkBytes(block, local, tokens, len(src)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, local, local, tokens) {
		for i := range plane {
			plane[i] = math.Float32frombits(binary.LittleEndian.Uint32(src))
			src = src[4:]
		}
	}
	return nil
}

// none is what stands for no local.
const none = -1

// planes yields, layer by layer, the first tokens' keys of two blocks and then their values; of sliding layers those of
// two locals, if there are any.
func (m *Model) planes(a, b, aLocal, bLocal, tokens int) func(yield func(a, b []float32) bool) {
	kv := &m.kv
	size := kv.blockTokens * kv.width
	return func(yield func(a, b []float32) bool) {
		for l := range kv.keys {
			i, j := a, b
			if m.cfg.LayerSliding[l] {
				if i, j = aLocal, bLocal; i == none {
					continue
				}
			}
			for _, plane := range [][]float32{kv.keys[l], kv.values[l]} {
				if !yield(plane[i*size:][:tokens*kv.width], plane[j*size:][:tokens*kv.width]) {
					return
				}
			}
		}
	}
}

func (m *Model) checkBlock(block, local, tokens int) error {
	if block < 0 || block >= m.kv.blocks || m.kv.locals > 0 && (local < none || local >= m.kv.locals) || tokens < 0 || tokens > m.kv.blockTokens {
		return fmt.Errorf("%d tokens of block %d and local %d; there are %d and %d of %d", tokens, block, local, m.kv.blocks, m.kv.locals, m.kv.blockTokens)
	}
	return nil
}

func (m *Model) checkBytes(block, local, tokens, n int) error {
	if err := m.checkBlock(block, local, tokens); err != nil {
		return err
	}
	want, more := m.KVBytesPerToken()
	if local != none {
		want += more
	}
	if want *= tokens; n != want {
		return fmt.Errorf("%d bytes for %d tokens of KV; it takes %d", n, tokens, want)
	}
	return nil
}

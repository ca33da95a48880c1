package ref

import (
	"errors"
	"fmt"
	"math"
)

// cache holds the keys and values, by layer: blocks x blockTokens x K heads of rowBytes, or locals x blockTokens x K heads
// where the layer slides.
type cache struct {
	keys, values                [][]byte
	format                      format
	blocks, locals, blockTokens int
	heads, headDim, rowBytes    int
}

func (kv *cache) tokenBytes() int { return kv.heads * kv.rowBytes }

// KVFormat is how the cache is stored: f32, f16, q8 or q4.
func (m *Model) KVFormat() string { return m.kv.format.name }

// KVBytesPerToken is what one token takes in the cache, in the global layers and in the sliding ones.
func (m *Model) KVBytesPerToken() (global, local int) {
	layer := 2 * m.kv.tokenBytes()
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
	kv := &m.kv
	for _, sliding := range m.cfg.LayerSliding {
		n := blocks
		if sliding {
			n = locals
		}
		kv.keys = append(kv.keys, make([]byte, n*blockTokens*kv.tokenBytes()))
		kv.values = append(kv.values, make([]byte, n*blockTokens*kv.tokenBytes()))
	}
	kv.blocks, kv.locals, kv.blockTokens = blocks, locals, blockTokens
	return nil
}

// run finds position p of a sequence: the tokens from there to last lie n in a row, beginning at token at of the cache.
func (kv *cache) run(table []int32, p, last int) (at, n int) {
	off := p % kv.blockTokens
	return int(table[p/kv.blockTokens])*kv.blockTokens + off, min(kv.blockTokens-off, last-p+1)
}

// store encodes a batch's keys and values.
func (kv *cache) store(layer int, sliding bool, batch []item, k, v []float32) {
	for i, it := range batch {
		at, _ := kv.run(it.table(sliding), it.pos, it.pos)
		for h := range kv.heads {
			to, from := (at*kv.heads+h)*kv.rowBytes, (i*kv.heads+h)*kv.headDim
			kv.format.encode(kv.keys[layer][to:][:kv.rowBytes], k[from:][:kv.headDim])
			kv.format.encode(kv.values[layer][to:][:kv.rowBytes], v[from:][:kv.headDim])
		}
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

// ReadKV writes the first tokens tokens of a block and a local to dst: by layer the keys, then the values; of the
// block alone where local is -1.
func (m *Model) ReadKV(block, local, tokens int, dst []byte) error {
	if err := m.checkBytes(block, local, tokens, len(dst)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, local, local, tokens) {
		dst = dst[copy(dst, plane):]
	}
	return nil
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, local, tokens int, src []byte) error {
	if err := m.checkBytes(block, local, tokens, len(src)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, local, local, tokens) {
		src = src[copy(plane, src):]
	}
	return nil
}

// none is what stands for no local.
const none = -1

// planes yields, layer by layer, the first tokens' keys of two blocks and then their values; of sliding layers those of
// two locals, if there are any.
func (m *Model) planes(a, b, aLocal, bLocal, tokens int) func(yield func(a, b []byte) bool) {
	kv := &m.kv
	size := kv.blockTokens * kv.tokenBytes()
	return func(yield func(a, b []byte) bool) {
		for l := range kv.keys {
			i, j := a, b
			if m.cfg.LayerSliding[l] {
				if i, j = aLocal, bLocal; i == none {
					continue
				}
			}
			for _, plane := range [][]byte{kv.keys[l], kv.values[l]} {
				if !yield(plane[i*size:][:tokens*kv.tokenBytes()], plane[j*size:][:tokens*kv.tokenBytes()]) {
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

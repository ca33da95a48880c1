package ref

import (
	"errors"
	"fmt"
	"math"

	"loadstone/engine/checkpoint"
)

// cache holds the keys and values of every layer. A plane is the keys or the values of one layer:
// in a global layer blocks x blockTokens x K heads x rowBytes, in a sliding layer windowSlots x
// blockTokens x K heads x rowBytes.
type cache struct {
	keys, values [][]byte // planes, by layer
	format       KVFormat

	blocks, windowSlots int
	blockTokens         int // tokens in a block, and in a window slot
	heads, headDim      int
	rowBytes            int // bytes of one vector of headDim elements
}

// tokenBytes is the number of bytes of one token in a plane.
func (kv *cache) tokenBytes() int { return kv.heads * kv.rowBytes }

// KVFormat returns the name of the format in which the cache is stored.
func (m *Model) KVFormat() string { return m.kv.format.Name }

// KVBytesPerToken returns how many bytes one token takes in the cache: in all global layers
// together, and in all sliding ones.
func (m *Model) KVBytesPerToken() (global, window int) {
	return KVBytesPerToken(m.cfg, m.kv.format)
}

// KVBytesPerToken returns what Model.KVBytesPerToken does, for a network that is not loaded.
func KVBytesPerToken(c checkpoint.Config, f KVFormat) (global, window int) {
	layer := 2 * c.KVHeads * f.size(c.HeadDim)
	for _, sliding := range c.LayerSliding {
		if sliding {
			window += layer
		} else {
			global += layer
		}
	}
	return global, window
}

// AllocKV allocates a cache of some blocks and window slots, each of blockTokens tokens. It fails
// when the model has a cache already. A model without sliding layers ignores windowSlots.
func (m *Model) AllocKV(blocks, windowSlots, blockTokens int) error {
	if m.closed {
		return errors.New("the model is closed")
	}
	if m.kv.blocks != 0 {
		return errors.New("the KV cache is already there")
	}
	global, window := m.KVBytesPerToken()
	if window == 0 {
		windowSlots = 0
	}
	// Block numbers are int32, and no size below may overflow.
	limit := math.MaxInt32 / max(1, blockTokens)
	if blocks < 1 || blocks > limit || blockTokens < 1 || windowSlots < 0 || windowSlots > limit ||
		window > 0 && windowSlots < 1 ||
		float64(blocks*global+windowSlots*window)*float64(blockTokens) > math.MaxInt/2 {
		return fmt.Errorf("a KV cache of %d blocks (%d bytes a token) and %d window slots "+
			"(%d bytes a token), each of %d tokens, cannot be allocated", blocks, global, windowSlots,
			window, blockTokens)
	}
	kv := &m.kv
	for _, sliding := range m.cfg.LayerSliding {
		n := blocks
		if sliding {
			n = windowSlots
		}
		kv.keys = append(kv.keys, make([]byte, n*blockTokens*kv.tokenBytes()))
		kv.values = append(kv.values, make([]byte, n*blockTokens*kv.tokenBytes()))
	}
	kv.blocks, kv.windowSlots, kv.blockTokens = blocks, windowSlots, blockTokens
	return nil
}

// run finds position p of a sequence: n of the tokens from p to last lie in a row, beginning at
// token at of the planes.
func (kv *cache) run(table []int32, p, last int) (at, n int) {
	off := p % kv.blockTokens
	return int(table[p/kv.blockTokens])*kv.blockTokens + off, min(kv.blockTokens-off, last-p+1)
}

// store encodes the keys k and the values v of a batch into a layer's planes.
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

// CopyKV copies the first tokens tokens of block src to block dst, and those of window slot srcSlot
// to dstSlot.
func (m *Model) CopyKV(dst, src, dstSlot, srcSlot, tokens int) error {
	err := errors.Join(m.checkBlock(dst, dstSlot, tokens), m.checkBlock(src, srcSlot, tokens))
	if err != nil {
		return err
	}
	for to, from := range m.planes(dst, src, dstSlot, srcSlot, tokens) {
		copy(to, from)
	}
	return nil
}

// ReadKV writes the first tokens tokens of a block and of a window slot to dst, layer by layer the
// keys and then the values; of the block alone if windowSlot is -1. The length of dst is tokens
// times the bytes that KVBytesPerToken returns.
func (m *Model) ReadKV(block, windowSlot, tokens int, dst []byte) error {
	if err := m.checkBytes(block, windowSlot, tokens, len(dst)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, windowSlot, windowSlot, tokens) {
		dst = dst[copy(dst, plane):]
	}
	return nil
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, windowSlot, tokens int, src []byte) error {
	if err := m.checkBytes(block, windowSlot, tokens, len(src)); err != nil {
		return err
	}
	for plane := range m.planes(block, block, windowSlot, windowSlot, tokens) {
		src = src[copy(plane, src):]
	}
	return nil
}

// none stands for no window slot.
const none = -1

// planes yields, layer by layer, the keys of the first tokens tokens of blocks a and b, then their
// values. In sliding layers it yields those of window slots aSlot and bSlot, and skips the layer if
// aSlot is none.
func (m *Model) planes(a, b, aSlot, bSlot, tokens int) func(yield func(a, b []byte) bool) {
	kv := &m.kv
	size := kv.blockTokens * kv.tokenBytes()
	return func(yield func(a, b []byte) bool) {
		for l := range kv.keys {
			i, j := a, b
			if m.cfg.LayerSliding[l] {
				if i, j = aSlot, bSlot; i == none {
					continue
				}
			}
			for _, plane := range [][]byte{kv.keys[l], kv.values[l]} {
				n := tokens * kv.tokenBytes()
				if !yield(plane[i*size:][:n], plane[j*size:][:n]) {
					return
				}
			}
		}
	}
}

// checkBlock refuses numbers that are outside the cache.
func (m *Model) checkBlock(block, windowSlot, tokens int) error {
	kv := &m.kv
	if block < 0 || block >= kv.blocks || tokens < 0 || tokens > kv.blockTokens ||
		kv.windowSlots > 0 && (windowSlot < none || windowSlot >= kv.windowSlots) {
		return fmt.Errorf("%d tokens of block %d and window slot %d; there are %d blocks and "+
			"%d window slots of %d tokens", tokens, block, windowSlot, kv.blocks, kv.windowSlots,
			kv.blockTokens)
	}
	return nil
}

// checkBytes refuses a buffer of n bytes that does not fit the KV of tokens tokens.
func (m *Model) checkBytes(block, windowSlot, tokens, n int) error {
	if err := m.checkBlock(block, windowSlot, tokens); err != nil {
		return err
	}
	want, window := m.KVBytesPerToken()
	if windowSlot != none {
		want += window
	}
	if want *= tokens; n != want {
		return fmt.Errorf("a buffer of %d bytes for the KV of %d tokens, which takes %d",
			n, tokens, want)
	}
	return nil
}

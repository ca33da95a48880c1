package engine

import (
	"fmt"
	"math"
)

// A shape is what KV is like.
type shape struct {
	blockTokens int // tokens in a block, and in a local
	window      int // Model.Window; 0: there are no locals

	tokenBytes, localBytes int // Model.KVBytesPerToken
}

// low is the first block that the tokens of the block in which token n lies see in a sliding layer. A sequence of n
// computed tokens needs the locals from there on. Without a window it is after all blocks.
func (s *shape) low(n int) int {
	if s.window == 0 {
		return math.MaxInt32
	}
	return max(0, n/s.blockTokens*s.blockTokens-s.window+1) / s.blockTokens
}

// span is how many blocks there can be from low on, the one in which token n lies included.
func (s *shape) span() int {
	if s.window == 0 {
		return 0
	}
	return (s.window-1+s.blockTokens-1)/s.blockTokens + 1
}

// step is how many blocks more than span there can be while n tokens are computed.
func (s *shape) step(n int) int { return (s.blockTokens - 2 + n) / s.blockTokens }

// atOnce is the most locals that a sequence has while it computes n tokens.
func (s *shape) atOnce(n int) int { return s.span() + s.step(n) }

// bytes is what tokens take that begin a chain, in global layers, and in sliding ones from block low on.
func (s *shape) bytes(tokens, low int) int64 {
	return int64(tokens)*int64(s.tokenBytes) + max(0, int64(tokens)-int64(low)*int64(s.blockTokens))*int64(s.localBytes)
}

// A layout is what the KV cache has room for.
type layout struct {
	shape
	blocks, locals int
}

// windows is how long a conversation is, in windows, that takes of blocks and locals alike: shorter ones run out of locals
// first, longer ones of blocks. With four, at Gemma 3's five sliding layers to a global one, conversations of four windows
// and more find 2.6 times the room that they would have if all layers kept all, those of two windows 1.3 times, and those
// within one 0.7 times. With eight it would be 3.6, 0.9 and 0.5.
//
// Of the running requests that one budget for both parts would hold (see doc.go), four gives room for 73 % of those of a
// window, 84, 91, 66 and 53 % of those of two, four, eight and sixteen; two windows for 89, 95, 60, 44 and 35 %, eight for
// 56, 63, 80, 89 and 73 %.
const windows = 4

// newLayout divides a budget of bytes between blocks and locals. Any one request that the blocks have room for finds
// locals too. A small budget, which hardly has room for one such request's locals, is divided evenly.
func newLayout(m Model, bytes int64, blockTokens, stepTokens int) (layout, error) {
	l := layout{shape: shape{blockTokens: blockTokens, window: m.Window()}}
	l.tokenBytes, l.localBytes = m.KVBytesPerToken()
	size := int64(blockTokens)
	block, local := int64(l.tokenBytes)*size, int64(l.localBytes)*size
	if block < 0 || local < 0 || block+local == 0 || l.window < 0 || (l.window > 0) != (local > 0) {
		return l, fmt.Errorf("engine: the model says that a token takes %d bytes in the KV cache, and %d with a window of %d", l.tokenBytes, l.localBytes, l.window)
	}
	n := bytes / (block + local)
	if n < 1 {
		return l, fmt.Errorf("engine: %d bytes of KV memory do not hold one block of %d tokens; it takes %d bytes", bytes, blockTokens, block+local)
	}
	most := math.MaxInt32 / size
	l.blocks = int(min(n, most))
	if l.window == 0 {
		return l, nil
	}
	l.locals = l.blocks
	span := int64(l.span())
	one := span + max(span, int64(l.step(stepTokens))) // what a sequence takes that prefills, or restores
	if n <= one {
		return l, nil
	}
	blocks := max(span, windows*int64(l.window)/size)
	share := float64(bytes-one*(block+local)) / float64(blocks*block+span*local)
	l.locals = int(min(one+int64(share*float64(span)), most))
	if block > 0 {
		l.blocks = int(min((bytes-int64(l.locals)*local)/block, most))
	} else {
		l.blocks = int(min(one+int64(share*float64(blocks)), most))
	}
	return l, nil
}

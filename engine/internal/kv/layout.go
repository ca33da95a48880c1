package kv

import (
	"fmt"
	"math"
)

// A Layout says what the KV cache has room for.
type Layout struct {
	Shape
	Blocks, WindowSlots int
}

// balance is the length, in windows, of a conversation that takes the same share of the blocks as
// of the window slots: shorter ones run out of slots first, longer ones of blocks. With four, at
// Gemma 3's five sliding layers to a global one, conversations of four windows and more find 2.6
// times the room that they would have if all layers kept all tokens, those of two windows 1.3
// times, and those within one window 0.7 times. With eight it would be 3.6, 0.9 and 0.5.
//
// Compared with one budget that both parts drew from (see the package comment of engine for why
// there is none), four gives room for 73 % of the running requests of one window, and for 84, 91,
// 66 and 53 % of those of two, four, eight and sixteen windows. Two would give room for 89, 95,
// 60, 44 and 35 %, eight for 56, 63, 80, 89 and 73 %.
const balance = 4

// NewLayout divides a budget of bytes between blocks and window slots. Any one request that the
// blocks have room for finds slots too. A small budget, which hardly has room for the slots of one
// such request, is divided evenly. stepTokens is the most tokens that one step computes.
func NewLayout(s Shape, bytes int64, stepTokens int) (Layout, error) {
	l := Layout{Shape: s}
	size := int64(s.BlockTokens)
	block, slot := int64(s.GlobalBytes)*size, int64(s.SlidingBytes)*size
	if block < 0 || slot < 0 || block+slot == 0 || s.Window < 0 || (s.Window > 0) != (slot > 0) {
		return l, fmt.Errorf("engine: the model says that a token takes %d bytes in the KV cache, "+
			"and %d with a window of %d", s.GlobalBytes, s.SlidingBytes, s.Window)
	}
	n := bytes / (block + slot)
	if n < 1 {
		return l, fmt.Errorf("engine: %d bytes of KV memory do not hold one block of %d tokens, "+
			"which takes %d bytes", bytes, s.BlockTokens, block+slot)
	}
	limit := math.MaxInt32 / size
	l.Blocks = int(min(n, limit))
	if s.Window == 0 {
		return l, nil
	}
	l.WindowSlots = l.Blocks
	inWindow := int64(s.WindowBlocks())
	// one is what a single sequence takes while it prefills, or restores.
	one := inWindow + max(inWindow, int64(s.StepBlocks(stepTokens)))
	if n <= one {
		return l, nil
	}
	blocks := max(inWindow, balance*int64(s.Window)/size)
	share := float64(bytes-one*(block+slot)) / float64(blocks*block+inWindow*slot)
	l.WindowSlots = int(min(one+int64(share*float64(inWindow)), limit))
	if block > 0 {
		l.Blocks = int(min((bytes-int64(l.WindowSlots)*slot)/block, limit))
	} else {
		l.Blocks = int(min(one+int64(share*float64(blocks)), limit))
	}
	return l, nil
}

package kv

import "math"

// A Shape says how KV is laid out: in units of how many tokens, and in how many bytes.
type Shape struct {
	BlockTokens int // tokens of a block, and of a window slot
	Window      int // tokens that a token sees in a sliding layer, with itself; 0: no such layers

	GlobalBytes  int // bytes of one token in all global layers: in a block
	SlidingBytes int // bytes of one token in all sliding layers: in a window slot
}

// WindowStart returns the first block that the tokens of the block in which token n lies see in a
// sliding layer. A sequence of n computed tokens needs the window slots of the blocks from there
// on. Without sliding layers it lies after all blocks.
func (s *Shape) WindowStart(n int) int {
	if s.Window == 0 {
		return math.MaxInt32
	}
	return max(0, n/s.BlockTokens*s.BlockTokens-s.Window+1) / s.BlockTokens
}

// WindowBlocks returns the most blocks that lie between WindowStart(n) and the block of token n,
// both included; 0 without sliding layers.
func (s *Shape) WindowBlocks() int {
	if s.Window == 0 {
		return 0
	}
	return (s.Window-1+s.BlockTokens-1)/s.BlockTokens + 1
}

// StepBlocks returns the most blocks beyond WindowBlocks that a sequence reaches while it
// computes n tokens in one step.
func (s *Shape) StepBlocks(n int) int { return (s.BlockTokens - 2 + n) / s.BlockTokens }

// MaxSlots returns the most window slots that a sequence has at once while it computes n tokens in
// one step.
func (s *Shape) MaxSlots(n int) int { return s.WindowBlocks() + s.StepBlocks(n) }

// Bytes returns the bytes of the first tokens of a conversation: in global layers all of them, in
// sliding layers those from block firstSlot on.
func (s *Shape) Bytes(tokens, firstSlot int) int64 {
	inSlots := max(0, int64(tokens)-int64(firstSlot)*int64(s.BlockTokens))
	return int64(tokens)*int64(s.GlobalBytes) + inSlots*int64(s.SlidingBytes)
}

package load

import (
	"iter"
	"slices"
)

// A blockSession is a session of a trace that has hashes of the prompts' blocks in place of texts.
// Each prompt becomes one message of made-up words, block after block, so prompts share as many
// tokens as in the trace.
type blockSession struct {
	block int    // tokens of a block
	scope uint64 // scope of the hashes: in another scope an equal hash means other words
	calls []blockCall
}

// A blockCall is a call of a blockSession. Its blocks are the first blocks of an earlier call, its
// base, followed by its own.
type blockCall struct {
	Call
	input  int // tokens of the prompt
	base   int // the earlier call; -1 if there is none
	shared int // number of blocks from the base
	own    []blockRun
}

// A blockRun is a run of blocks with consecutive hashes, as in traces that number the blocks.
type blockRun struct {
	first uint64
	n     int
}

// add adds a call with its blocks. base is an earlier call with the same beginning, and baseBlocks
// are its blocks; base is -1 if there is none.
func (s *blockSession) add(c Call, input, base int, baseBlocks, blocks []uint64) {
	shared := 0
	if base >= 0 {
		for shared < min(len(blocks), len(baseBlocks)) && blocks[shared] == baseBlocks[shared] {
			shared++
		}
	}
	var own []blockRun
	for _, id := range blocks[shared:] {
		if last := len(own) - 1; last >= 0 && own[last].first+uint64(own[last].n) == id {
			own[last].n++
			continue
		}
		own = append(own, blockRun{id, 1})
	}
	s.calls = append(s.calls, blockCall{c, input, base, shared, slices.Clip(own)})
}

// all returns the calls. It makes each prompt when the call is asked for.
func (s *blockSession) all() iter.Seq[Call] {
	return func(yield func(Call) bool) {
		made := make([][]uint64, len(s.calls))
		last := make([]int, len(s.calls)) // last[i] is the last call that needs call i's blocks
		for i, c := range s.calls {
			if c.base >= 0 {
				last[c.base] = i
			}
		}
		for i, c := range s.calls {
			var blocks []uint64
			if c.base >= 0 {
				blocks = append(blocks, made[c.base][:c.shared]...)
				if last[c.base] == i {
					made[c.base] = nil
				}
			}
			for _, run := range c.own {
				for k := range run.n {
					blocks = append(blocks, run.first+uint64(k))
				}
			}
			made[i] = blocks
			c.Call.Add = []Message{{Role: "user", Words: s.words(made[i], c.input, i)}}
			if !yield(c.Call) {
				return
			}
		}
	}
}

// words returns the words of a prompt. Tokens after the last whole block equal those of no other
// prompt.
func (s *blockSession) words(blocks []uint64, input, call int) []Words {
	var words []Words
	for _, id := range blocks {
		n := min(s.block, input)
		if n == 0 {
			break
		}
		words = append(words, Words{Seed: Derive(s.scope, "block", int(id)), Tokens: n})
		input -= n
	}
	if input > 0 {
		words = append(words, Words{Seed: Derive(s.scope, "rest", call), Tokens: input})
	}
	return words
}

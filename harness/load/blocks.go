package load

import (
	"iter"
	"slices"
)

// A blockSession is a session of a trace that has hashes of the prompts' blocks in place of texts. A
// prompt is one message of made-up words, a block after the other, so that prompts share as many
// tokens as the traced ones did.
type blockSession struct {
	block int    // tokens of one
	scope uint64 // of the hashes: equal hashes of other scopes are other words
	calls []blockCall
}

// A blockCall is a call of it. Its blocks are the first ones of another call's, and its own.
type blockCall struct {
	Call
	input  int // tokens of its prompt
	base   int // that other call; -1: none
	shared int // blocks that it has of its
	own    []blockRun
}

// A blockRun is blocks whose hashes follow each other, as they do where traces number them.
type blockRun struct {
	first uint64
	n     int
}

// add adds a call whose blocks these are. base is an earlier one that it shares a beginning with, of
// whose blocks all are given, or -1.
func (s *blockSession) add(c Call, input, base int, baseBlocks, blocks []uint64) {
	shared := 0
	for base >= 0 && shared < len(blocks) && shared < len(baseBlocks) && blocks[shared] == baseBlocks[shared] {
		shared++
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

// all are the calls, whose prompts are made as they are asked for.
func (s *blockSession) all() iter.Seq[Call] {
	return func(yield func(Call) bool) {
		made := make([][]uint64, len(s.calls))
		last := make([]int, len(s.calls)) // that needs a call's blocks
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

// words are those of a prompt. Tokens beyond the last whole block are like no other's.
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

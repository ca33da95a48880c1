package kv

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	noParent int32 = -1 // of a block that begins a sequence
	absent   int32 = -2 // in place of a parent: the block is not in the index
)

// None stands for no block, or for no window slot.
const None int32 = -1

// An index finds full blocks by their tokens and by the tokens before those. So one system prompt
// is stored once for all agents.
//
// Every full block in use is in the index, and no two blocks in it are equal. So equal runs of
// tokens from the start of sequences with the same Root have the same blocks, and comparing two
// runs of full blocks is comparing block numbers.
//
// A block that begins a sequence belongs to a Root, which is compared like a parent. The blocks
// behind it need no more than their parents: nothing leads to them but a block of their own Root.
//
// Blocks are looked up by a hash of all tokens from the start to the end of the block, which is
// made from the hash of the block's parent. The hash only narrows the search: a block is a match
// when its parent is the very block matched before and its tokens are equal one by one. Hashes
// depend on the Root and on tokens alone, not on block numbers or the process.
type index struct {
	blockTokens int

	// By block number.
	tokens []int32 // blockTokens for each block
	parent []int32
	hash   []uint64
	next   []int32 // the next block with the same hash
	root   []Root  // of a block without a parent

	heads map[uint64]int32 // by hash, the first block of the list that next makes

	sum func(parent uint64, tokens []int32) uint64 // Hash, unless a test replaces it with a bad one
}

func newIndex(blocks, blockTokens int) index {
	return index{
		blockTokens: blockTokens,
		tokens:      make([]int32, blocks*blockTokens),
		parent:      slices.Repeat([]int32{absent}, blocks),
		hash:        make([]uint64, blocks),
		next:        make([]int32, blocks),
		root:        make([]Root, blocks),
		heads:       make(map[uint64]int32),
		sum:         Hash,
	}
}

// Hash hashes a block's tokens onto its parent's hash, or onto that of the Root, by the folded
// multiply of wyhash (https://github.com/wangyi-fudan/wyhash).
func Hash(parent uint64, tokens []int32) uint64 {
	h := parent ^ 0xa0761d6478bd642f
	for _, t := range tokens {
		hi, lo := bits.Mul64(h^uint64(uint32(t)), 0xe7037ed1a0b428db)
		h = hi ^ lo
	}
	return h
}

// find returns the block that holds tokens after parent, or None. root matters where parent is
// noParent. There are blockTokens tokens.
func (x *index) find(root *Root, parent int32, tokens []int32) int32 {
	b, ok := x.heads[x.sumAfter(root, parent, tokens)]
	if !ok {
		return None
	}
	for ; b != None; b = x.next[b] {
		if x.parent[b] == parent && (parent != noParent || x.root[b] == *root) &&
			slices.Equal(x.at(b), tokens) {
			return b
		}
	}
	return None
}

// insert adds block b with its tokens after parent, which is in the index or noParent. find must
// have returned None.
func (x *index) insert(b int32, root *Root, parent int32, tokens []int32) {
	h := x.sumAfter(root, parent, tokens)
	head, ok := x.heads[h]
	if !ok {
		head = None
	}
	copy(x.at(b), tokens)
	x.parent[b], x.hash[b], x.next[b], x.root[b] = parent, h, head, *root
	x.heads[h] = b
}

// remove takes block b out. It does nothing to a block that was never put in, because it is not
// full.
func (x *index) remove(b int32) {
	if x.parent[b] == absent {
		return
	}
	x.parent[b] = absent
	h := x.hash[b]
	at := x.heads[h]
	if at == b {
		if x.next[b] == None {
			delete(x.heads, h)
		} else {
			x.heads[h] = x.next[b]
		}
		return
	}
	for x.next[at] != b {
		at = x.next[at]
	}
	x.next[at] = x.next[b]
}

// walk appends to dst the longest run of full blocks that tokens begin with.
func (x *index) walk(root *Root, tokens []int32, dst []int32) []int32 {
	parent := noParent
	for full := range slices.Chunk(tokens, x.blockTokens) {
		if len(full) < x.blockTokens {
			break
		}
		b := x.find(root, parent, full)
		if b == None {
			break
		}
		dst = append(dst, b)
		parent = b
	}
	return dst
}

func (x *index) sumAfter(root *Root, parent int32, tokens []int32) uint64 {
	if parent == noParent {
		return x.sum(binary.LittleEndian.Uint64(root[:]), tokens)
	}
	return x.sum(x.hash[parent], tokens)
}

func (x *index) at(b int32) []int32 {
	i := int(b) * x.blockTokens
	return x.tokens[i : i+x.blockTokens]
}

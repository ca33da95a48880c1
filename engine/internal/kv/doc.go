// Package kv keeps the books of a paged KV cache: which block and which window slot is whose,
// what is in it, and how much may be promised to a new request. It knows numbers and tokens; the
// keys and values themselves are the model's.
//
// Each invariant has one owner:
//
//	pool       no block is promised twice: promises never exceed the free and the cached blocks
//	index      no two full blocks are equal, and a block's parent is there as long as the block is
//	slots      no window slot is promised twice
//	slotClaim  what one sequence has of the window slots and may still take
//	Claim      the same of blocks, and the sequence's slotClaim
//	Store      what becomes of a block that is free, and of the chains that keep idle blocks
//
// The words:
//
//	block     KV of a run of BlockTokens tokens in all global layers
//	slot      KV of the same tokens in all sliding layers (a window slot)
//	sequence  a running request; it pins the blocks of its table, and pins or borrows slots
//	chain     what is kept of a conversation while nothing runs; it holds blocks and slots
//	used      pinned by a sequence, or promised to one
//	cached    held by chains only: evicted when the room is needed
//
// Methods panic where a caller breaks the books: that is a bug and not a condition to handle.
package kv

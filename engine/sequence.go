package engine

// A sequence is a request as the scheduler sees it.
type sequence struct {
	id     uint64
	agent  string
	prompt int     // tokens of the prompt
	most   int     // most tokens of the answer
	stop   []int32 // ids that end it

	tokens   []int32 // the prompt, then the answer so far
	blocks   []int32 // table: ceil(computed/blockTokens) of them, and during a step those of its chunk too
	computed int     // tokens whose KV is in blocks
	reserved int     // blocks it may still claim
	chunk    int     // tokens in the planned step

	// Of sliding layers; see locals.
	low    int // the first block whose local it has pinned, and it has those of all after it
	stay   int // the first block whose local it will have pinned to its end
	locals int // locals it may still claim
	branch int // blocks that others begin with as well and that are to be remembered when they are computed; 0: none

	restoring bool // it computes nothing until Resume
	claimed   int  // tokens that blocks were claimed for, behind those computed, while it is restoring
	from      int  // the first of these blocks with a local; those between low and the first claimed one are pinned too
	restored  int  // tokens whose KV was restored

	passed int    // how many started before it when its turn had come
	cached int    // tokens of the prompt that were never computed
	miss   string // see Result.Miss
}

// need is how many blocks a prompt and its longest answer take. The KV of the very last token is never computed.
func need(prompt, most, blockTokens int) int {
	return (prompt + most - 1 + blockTokens - 1) / blockTokens
}

// decoding reports whether the prompt is computed.
func (s *sequence) decoding() bool { return s.computed >= s.prompt }

// rest is how many known tokens are not computed yet.
func (s *sequence) rest() int { return len(s.tokens) - s.computed }

// last is the last block of a sequence that ends on a block's end.
func (q *sequence) last() int32 {
	if len(q.blocks) == 0 {
		return root
	}
	return q.blocks[len(q.blocks)-1]
}

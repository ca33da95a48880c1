package engine

// Model is a network together with the memory that holds its KV cache.
//
// The cache is paged and has two parts, because a layer with a sliding window soon does not need
// a token any more that a global layer needs for ever. AllocKV makes blocks numbered 0..blocks-1,
// each with room for the keys and values of blockTokens consecutive tokens in every global layer,
// and window slots numbered 0..windowSlots-1, each with room for the same of every sliding layer.
// The model stores what Step computes where the caller's tables say. It knows nothing of
// sequences, agents or sharing, nor which window slot belongs to which block; the engine owns all
// of that.
//
// The methods take builtin types only, so that package metal implements the interface without
// importing this one. They are called from one goroutine at a time.
type Model interface {
	// Vocab is the length of one row of logits.
	Vocab() int
	// Context is the most tokens, prompt and answer together, that a sequence may have.
	Context() int
	// Window is how many tokens, itself included, a token sees in a sliding layer; 0 when there
	// is no such layer. Then there are no window slots, and arguments about them below are
	// ignored.
	Window() int
	// KVBytesPerToken is how many bytes one token takes in the cache, in all global layers together
	// and in all sliding ones together.
	KVBytesPerToken() (global, window int)

	// AllocKV allocates the cache. It is called once, before the first Step.
	AllocKV(blocks, windowSlots, blockTokens int) error

	// Step runs a batch of sequences, each one a run of new tokens after those that are already
	// in the cache: one token for a sequence that decodes, a chunk of the prompt for one that
	// prefills.
	//
	//   tokens       new token ids, sequence after sequence
	//   lens         lens[i] >= 1 is how many of tokens are sequence i's
	//   starts       starts[i] is the position of sequence i's first new token: how many tokens it
	//                has in the cache
	//   tables       block tables, sequence after sequence: sequence i has
	//                ceil((starts[i]+lens[i])/blockTokens) entries, and its token at position p
	//                lives in entry p/blockTokens at offset p%blockTokens
	//   windowSlots  for each entry of tables the window slot of the same tokens. It is ignored
	//                where no new token of the sequence sees any of them, in entries before
	//                (starts[i]-Window+1)/blockTokens
	//   rows         ascending indices into tokens whose logits the caller wants
	//   logits       where those go, float32, len(rows) x Vocab, row-major
	//   picks        ascending indices into tokens, none of them in rows, of which the caller wants
	//                nothing but the likeliest next token; rows of logits that are neither in rows
	//                nor in picks are not computed
	//   best         where the picks go: the index of the largest finite logit, the first of
	//                equals, or -1 where there is none
	//
	// Which of the two is asked for changes no bit of a logit: a pick is the largest of the row
	// that would have been given out.
	//
	// Step writes the KV of every new token before any token of its sequence attends to it. Two
	// sequences of one batch may share blocks and window slots, but never one that either of them
	// writes. On an error the contents of the batch's own blocks are undefined and all others are
	// untouched.
	Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
		picks, best []int32) error

	// CopyKV copies the first tokens tokens of block src to block dst, and those of window slot
	// srcSlot to dstSlot. It does nothing for a part whose source is its destination.
	CopyKV(dst, src, dstSlot, srcSlot, tokens int) error

	// ReadKV writes the first tokens tokens of a block and of a window slot to dst, which has
	// room for tokens x KVBytesPerToken bytes, in a layout of the model's own that only WriteKV
	// of an equal model understands. With a windowSlot of -1 it writes the block alone.
	ReadKV(block, windowSlot, tokens int, dst []byte) error
	// WriteKV is the inverse of ReadKV.
	WriteKV(block, windowSlot, tokens int, src []byte) error

	// Close frees everything. The model is unusable afterwards; a second Close does nothing.
	Close() error
}

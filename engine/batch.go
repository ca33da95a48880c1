package engine

import "loadstone/engine/internal/kv"

// A batch is one step as Plan wants it: the arguments of Model.Step, and the copies to make before
// it. The scheduler has one and reuses it.
type batch struct {
	copies  []kv.Copy   // to be made in this order, all before the step
	copiers []*sequence // the sequence of each copy

	tokens, lens, starts, tables, windowSlots, rows []int32 // see Model.Step

	seqs     []*sequence // the sequence of each entry of lens
	sampling []*sequence // the sequence of each entry of rows; with a draft it has several
	admitted []*sequence // those that left the queue for this step

	decoding int // sequences that decode
	prompts  int // tokens of the other sequences
	ahead    int // tokens of those that decode beyond one each: drafts, and what they have already
}

func (b *batch) reset() {
	b.copies, b.copiers = b.copies[:0], b.copiers[:0]
	b.tokens, b.lens, b.starts, b.rows = b.tokens[:0], b.lens[:0], b.starts[:0], b.rows[:0]
	b.tables, b.windowSlots = b.tables[:0], b.windowSlots[:0]
	b.seqs, b.sampling, b.admitted = b.seqs[:0], b.sampling[:0], b.admitted[:0]
	b.decoding, b.prompts, b.ahead = 0, 0, 0
}

// add appends a sequence's next chunk and its draft, and asks for logits when the chunk reaches the
// sequence's last known token, and for those of the draft.
func (b *batch) add(q *sequence) {
	end := q.computed + q.chunk
	b.tokens = append(b.tokens, q.tokens[q.computed:end]...)
	b.tokens = append(b.tokens, q.draft...)
	b.lens = append(b.lens, int32(q.chunk+len(q.draft)))
	b.starts = append(b.starts, int32(q.computed))
	b.tables = append(b.tables, q.claim.Blocks...)
	b.windowSlots = q.claim.AppendSlots(b.windowSlots)
	b.seqs = append(b.seqs, q)
	if q.decoding() {
		b.decoding++
		b.ahead += q.chunk - 1 + len(q.draft)
	} else {
		b.prompts += q.chunk
	}
	if end == len(q.tokens) {
		for i := range 1 + len(q.draft) {
			b.rows = append(b.rows, int32(len(b.tokens)-1-len(q.draft)+i))
			b.sampling = append(b.sampling, q)
		}
	}
}

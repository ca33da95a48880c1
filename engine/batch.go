package engine

// A batch is one step as Plan wants it: the flat arrays of Model.Step, which see, and the copies to make before it. The
// scheduler has one and reuses it.
type batch struct {
	copies  []copyKV    // in this order, all before the step
	copiers []*sequence // the sequence of each

	tokens, lens, starts, tables, locals, rows []int32

	seqs     []*sequence // the sequence of each entry of lens
	askers   []*sequence // the sequence of each entry of rows
	admitted []*sequence // those of them that left the queue for this step

	decoding int // sequences that decode
	prompts  int // tokens of the others
}

// A copyKV asks for a call of Model.CopyKV.
type copyKV struct{ dst, src, dstLocal, srcLocal, tokens int32 }

func (b *batch) reset() {
	b.copies, b.copiers = b.copies[:0], b.copiers[:0]
	b.tokens, b.lens, b.starts, b.rows = b.tokens[:0], b.lens[:0], b.starts[:0], b.rows[:0]
	b.tables, b.locals = b.tables[:0], b.locals[:0]
	b.seqs, b.askers, b.admitted = b.seqs[:0], b.askers[:0], b.admitted[:0]
	b.decoding, b.prompts = 0, 0
}

// add appends the sequence's next chunk, and asks for logits when that reaches the end of what is known of it. of are the
// locals of all blocks.
func (b *batch) add(s *sequence, of []int32) {
	end := s.computed + s.chunk
	b.tokens = append(b.tokens, s.tokens[s.computed:end]...)
	b.lens = append(b.lens, int32(s.chunk))
	b.starts = append(b.starts, int32(s.computed))
	b.tables = append(b.tables, s.blocks...)
	for i, block := range s.blocks {
		x := none
		if i >= s.low {
			x = of[block]
		}
		b.locals = append(b.locals, x)
	}
	b.seqs = append(b.seqs, s)
	if s.decoding() {
		b.decoding++
	} else {
		b.prompts += s.chunk
	}
	if end == len(s.tokens) {
		b.rows = append(b.rows, int32(len(b.tokens)-1))
		b.askers = append(b.askers, s)
	}
}

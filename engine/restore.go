package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// A restore brings the part of an agent's memory that a prompt begins with back into the pool. A goroutine reads and
// verifies it, a portion ahead; the engine's goroutine writes the portions to the model's KV between steps. The request
// is admitted, so that its blocks are promised, and computes nothing until the restore has ended.
type restore struct {
	seq   *sequence
	parts chan part
	quit  chan struct{} // closed when nobody takes parts any more
	began time.Time
	took  time.Duration
	bytes int64
}

// A part is what a restore found next.
type part struct {
	tokens int      // of use
	blocks [][]byte // that hold them, valid until two more parts were taken
	from   int      // the first block of all that has a local
	last   bool
	found  bool   // on the last: there was something to restore from
	miss   string // on the last, if found: see Result.Miss
	failed bool   // on the last: what was there was of no use
}

// restore starts the restore of a sequence that was admitted.
func (w *warm) restore(q *sequence) *restore {
	r := &restore{seq: q, parts: make(chan part, 1), quit: make(chan struct{}), began: time.Now()}
	img := w.unsaved(q.agent)
	prompt := slices.Clone(q.tokens)
	have := q.computed
	w.fetches.Go(func() { w.fetch(r, img, prompt, have) })
	return r
}

// fetch reads what follows the first have tokens, which end on a block's end, from an image or else from the file.
func (w *warm) fetch(r *restore, img *image, prompt []int32, have int) {
	src := source{img: img}
	last := part{last: true, found: true}
	if img == nil {
		f, err := w.shelf.open(r.seq.agent)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.send(r, part{last: true})
			return
		case errors.Is(err, ErrOtherModel):
			last.miss, last.failed = ErrOtherModel.Error(), true
			w.send(r, last)
			return
		case err != nil:
			last.miss, last.failed = ErrCorrupt.Error(), true
			w.send(r, last)
			return
		}
		defer f.f.Close()
		src.file = f
	}
	tokens := src.tokens()
	same := common(tokens, prompt)
	if same < len(tokens) && same < len(prompt) {
		last.miss = fmt.Sprintf("diverged_at=%d", same)
	}
	l := src.label()
	useful, from := min(same, len(prompt)-1), l.from()
	if low := l.low(useful); low < from && from > have/l.blockTokens { // what its window sees is not all at the end, nor here
		if from = low; from < l.from()-l.behind {
			last.miss = cmp.Or(last.miss, "evicted")
			useful = have
		}
	}
	err := w.parts(r, src, have, useful, from)
	if errors.Is(err, errNotCopied) {
		last.miss, err = "evicted", nil
	}
	if err != nil {
		last.miss, last.failed = ErrCorrupt.Error(), true
		if errors.Is(err, ErrCorrupt) { // before the request goes on and leaves a better file
			w.shelf.quarantine(src.file, r.seq.agent, err)
		}
	}
	w.send(r, last)
	if src.file != nil && err == nil {
		w.shelf.touch(r.seq.agent)
	}
}

// parts sends what is between tokens have and useful, with locals from block from on.
func (w *warm) parts(r *restore, src source, have, useful, from int) error {
	if have >= useful {
		return nil
	}
	size, block := w.label.blockTokens, w.label.blockTokens*(w.label.tokenBytes+w.label.localBytes)
	n := min(max(1, w.portion/block), (useful-have+size-1)/size)
	var buffers [3][]byte // one with the engine, one in the channel, one being filled
	if src.file != nil {
		for i := range buffers {
			buffers[i] = make([]byte, n*block)
		}
	}
	for turn := 0; have < useful; turn++ {
		p, buf := part{from: from}, buffers[turn%3]
		for len(p.blocks) < n && have < useful {
			i := have / size
			if i >= from {
				i = src.label().whole(i)
			}
			b, err := src.block(i, buf[min(len(buf), len(p.blocks)*block):])
			if err != nil {
				w.send(r, p) // what is before it is good
				return err
			}
			tokens := min(size, useful-have)
			p.blocks = append(p.blocks, b)
			p.tokens += tokens
			have += tokens
		}
		if !w.send(r, p) {
			return nil
		}
	}
	return nil
}

// send leaves a part for the engine. It reports false when the engine does not want it any more.
func (w *warm) send(r *restore, p part) bool {
	if p.tokens == 0 && !p.last {
		return true
	}
	select {
	case r.parts <- p:
		w.knock()
		return true
	case <-r.quit:
		return false
	}
}

// errNotCopied: a block that was still in the pool when the restore began, from the rest, has been evicted since.
var errNotCopied = errors.New("the block is not copied yet")

// A source is an image, or else a file.
type source struct {
	img  *image
	file *memoryFile
}

func (s source) label() *label {
	if s.img != nil {
		return &s.img.label
	}
	return &s.file.label
}

// tokens are those whose KV it has.
func (s source) tokens() []int32 {
	if s.img != nil {
		return s.img.tokens[:s.img.label.tokens]
	}
	return s.file.tokens[:s.file.label.tokens]
}

// block is block i, read into dst where it has to be read.
func (s source) block(i int, dst []byte) ([]byte, error) {
	if s.img != nil {
		if s.img.blocks[i] == nil {
			return nil, errNotCopied
		}
		return s.img.blocks[i], nil
	}
	if i != s.file.next {
		if err := s.file.seek(i); err != nil {
			return nil, err
		}
	}
	dst = dst[:s.file.label.blockBytes(i)]
	return dst, s.file.block(dst)
}

// copyIn writes the parts that have come, no more than one of each restore. It reports whether there were any.
func (e *Engine) copyIn() bool {
	worked := false
	for _, r := range slices.Clone(e.restores) {
		select {
		case p := <-r.parts:
			e.take(r, p)
			worked = true
		default:
		}
	}
	return worked
}

// take writes one part.
func (e *Engine) take(r *restore, p part) {
	q, w := r.seq, e.warm
	if p.tokens > 0 {
		table, first := e.sched.Claim(q, p.tokens, p.from)
		w.rescue()
		err := e.guard(func() error {
			for i, b := range p.blocks {
				local, size := none, w.label.tokenBytes
				if first+i >= p.from {
					local, size = w.store.local.of[table[first+i]], size+w.label.localBytes
				}
				if err := w.model.WriteKV(int(table[first+i]), int(local), len(b)/size, b); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			e.finish(e.sched.Abandon(q), time.Now(), fmt.Errorf("model failed to restore %d tokens of KV: %w", p.tokens, err))
			return
		}
		for _, b := range p.blocks {
			r.bytes += int64(len(b))
		}
	}
	if !p.last {
		return
	}
	miss := q.miss
	if p.found {
		miss = p.miss
	}
	e.sched.Resume(q, miss)
	e.endRestore(r)
	if q.restored > 0 {
		w.restores++
	} else {
		r.bytes = 0 // they were of no use
	}
	if p.failed {
		w.failures++
	}
}

// endRestore is called when a restore has all it will have, because it is done or its sequence has ended.
func (e *Engine) endRestore(r *restore) {
	r.took = time.Since(r.began)
	close(r.quit)
	e.restores = slices.DeleteFunc(e.restores, func(x *restore) bool { return x == r })
}

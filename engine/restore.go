package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// A restore brings the part of an agent's memory with which a prompt begins back into the pool. A
// goroutine reads and verifies it, a portion ahead; the engine's goroutine writes the portions to
// the model's KV between steps. The request is admitted, so that its blocks are promised, and
// computes nothing until the restore has ended.
type restore struct {
	seq      *sequence
	portions chan portion
	quit     chan struct{} // closed when no more portions will be taken
	began    time.Time
	took     time.Duration
	bytes    int64
}

// A portion is what a restore found next.
type portion struct {
	tokens    int      // that are of use
	chunks    [][]byte // that hold them, valid until the next portion is taken
	firstSlot int      // the first block of all that has a window slot
	last      bool
	found     bool   // on the last: there was something to restore from
	miss      string // on the last, if found: see Start.Miss
	failed    bool   // on the last: what was there could not be used
}

// A source is what a restore reads from: a snapshot in RAM on its way to the disk, or a file.
type source interface {
	Header() *snapshot.Header
	Tokens() []int32 // those whose KV it has
	Chunk(i int, dst []byte) ([]byte, error)
}

// restore starts the restore of a sequence that was admitted.
func (d *disk) restore(q *sequence) *restore {
	r := &restore{
		seq:      q,
		portions: make(chan portion, 1),
		quit:     make(chan struct{}),
		began:    time.Now(),
	}
	unsaved := d.unsaved(q.who.Agent)
	prompt := slices.Clone(q.tokens)
	have := q.computed
	d.fetches.Go(func() { d.fetch(r, unsaved, prompt, have) })
	return r
}

// fetch sends what follows the first have tokens of a prompt, which end on a block's end, from the
// agent's unsaved snapshot if there is one, or else from its file.
func (d *disk) fetch(r *restore, unsaved *snapshot.Snapshot, prompt []int32, have int) {
	if unsaved != nil && unsaved.Header().Salt == r.seq.who.Salt {
		last, _ := d.read(r, unsaved, prompt, have)
		d.send(r, last)
		return
	}
	f, err := d.store.Open(r.seq.who.Agent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.send(r, portion{last: true})
		return
	case err != nil:
		d.send(r, portion{last: true, found: true, miss: snapshot.Reason(err), failed: true})
		return
	}
	defer f.Close()
	if f.Header().Salt != r.seq.who.Salt { // the agent has gone on with another since the admission
		d.send(r, portion{last: true, found: true, miss: kv.MissSalt})
		return
	}
	last, err := d.read(r, f, prompt, have)
	d.store.Quarantine(f, r.seq.who.Agent, err) // before the request goes on and leaves a better file
	d.send(r, last)
	if err == nil {
		d.store.Touch(r.seq.who.Agent)
	}
}

// read sends the portions of a source that are of use, and returns the last one, which is still
// to be sent. The error says why the source cannot be read.
func (d *disk) read(r *restore, src source, prompt []int32, have int) (last portion, err error) {
	last = portion{last: true, found: true}
	tokens, h := src.Tokens(), src.Header()
	same := kv.CommonPrefix(tokens, prompt)
	if same < len(tokens) && same < len(prompt) {
		last.miss = kv.MissDiverged(same)
	}
	useful, firstSlot := min(same, len(prompt)-1), h.FirstSlot()
	// If the window before the last useful token begins neither at the source's end nor in the
	// pool, the source must have its blocks once more, with their window slots.
	if start := h.WindowStart(useful); start < firstSlot && firstSlot > have/h.BlockTokens {
		if firstSlot = start; firstSlot < h.FirstSlot()-h.Earlier {
			last.miss = cmp.Or(last.miss, kv.MissEvicted)
			useful = have
		}
	}
	err = d.sendPortions(r, src, have, useful, firstSlot)
	if errors.Is(err, snapshot.ErrNotCopied) {
		// The block was still in the pool when the restore began, and has been evicted since.
		last.miss, err = kv.MissEvicted, nil
	}
	if err != nil {
		last.miss, last.failed = snapshot.Reason(err), true
	}
	return last, err
}

// sendPortions sends what is between tokens have and useful, with window slots from block firstSlot
// on. Two portions of a file are read and verified at a time: 214 MB take 35 ms so from the page
// cache, and 44 one portion after the other (BenchmarkRestore, model=none, two cores, n=4).
func (d *disk) sendPortions(r *restore, src source, have, useful, firstSlot int) error {
	if have >= useful {
		return nil
	}
	x := newReading(src, have, useful, firstSlot, d.portionBytes)
	type result struct {
		portion
		err error
	}
	results := make([]chan result, len(x.sources))
	var reads sync.WaitGroup
	defer reads.Wait() // they use the source, which may be closed next
	begin := func(k int) {
		if k < len(x.starts) {
			reads.Go(func() {
				p, err := x.read(k)
				results[k%len(results)] <- result{p, err}
			})
		}
	}
	for k := range results {
		results[k] = make(chan result, 1)
		begin(k)
	}
	for k := range x.starts {
		got := <-results[k%len(results)]
		sent := d.send(r, got.portion) // what comes before an error is good
		if got.err != nil || !sent {
			return got.err
		}
		begin(k + len(results))
	}
	return nil
}

// A reading is what a restore reads of its source, in portions.
type reading struct {
	sources   []source // the same, for as many goroutines
	useful    int      // the token after the last
	firstSlot int
	starts    []int    // the first token of each portion
	buffers   [][]byte // of a file: with the engine, in the channel, and one for each source
}

func newReading(src source, have, useful, firstSlot, portionBytes int) *reading {
	h := src.Header()
	x := &reading{sources: []source{src}, useful: useful, firstSlot: firstSlot}
	largest := 0
	for bytes := 0; have < useful; have += h.BlockTokens {
		more := h.ChunkBytes(x.chunkOf(have))
		if bytes += more; len(x.starts) == 0 || bytes > portionBytes {
			x.starts, bytes = append(x.starts, have), more
		}
		largest = max(largest, bytes)
	}
	if f, ok := src.(*snapshot.File); ok {
		if other, ok := f.Another(); ok && len(x.starts) > 1 {
			x.sources = append(x.sources, other)
		}
		for range len(x.sources) + 2 {
			x.buffers = append(x.buffers, make([]byte, largest))
		}
	}
	return x
}

// chunkOf returns the chunk that is read of the block in which a token lies.
func (x *reading) chunkOf(token int) int {
	h := x.sources[0].Header()
	i := token / h.BlockTokens
	if i >= x.firstSlot {
		i = h.ChunkWithSlot(i)
	}
	return i
}

// read reads portion k. With an error it returns what comes before it.
func (x *reading) read(k int) (p portion, err error) {
	src, end := x.sources[k%len(x.sources)], x.useful
	if k+1 < len(x.starts) {
		end = x.starts[k+1]
	}
	var buf []byte
	if len(x.buffers) > 0 {
		buf = x.buffers[k%len(x.buffers)]
	}
	p.firstSlot = x.firstSlot
	h := src.Header()
	for have := x.starts[k]; have < end; have += h.BlockTokens {
		b, err := src.Chunk(x.chunkOf(have), buf)
		if err != nil {
			return p, err
		}
		p.chunks = append(p.chunks, b)
		p.tokens += min(h.BlockTokens, end-have)
		buf = buf[min(len(buf), len(b)):]
	}
	return p, nil
}

// send leaves a portion for the engine. It returns false when the engine does not want it any more.
func (d *disk) send(r *restore, p portion) bool {
	if p.tokens == 0 && !p.last {
		return true
	}
	select {
	case r.portions <- p:
		d.notify()
		return true
	case <-r.quit:
		return false
	}
}

// copyIn writes the portions that have come, at most one of each restore. It reports whether there
// were any.
func (e *Engine) copyIn() bool {
	worked := false
	for _, r := range slices.Clone(e.restores) {
		select {
		case p := <-r.portions:
			e.takePortion(r, p)
			worked = true
		default:
		}
	}
	return worked
}

// takePortion writes one portion, and ends the restore with the last one.
func (e *Engine) takePortion(r *restore, p portion) {
	q := r.seq
	if p.tokens > 0 {
		if err := e.writePortion(r, p); err != nil {
			err = fmt.Errorf("model failed to restore %d tokens of KV: %w", p.tokens, err)
			e.finish(e.sched.Abandon(q), time.Now(), &ModelError{1, err})
			return
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
		e.disk.restores++
	} else {
		r.bytes = 0 // they were of no use
	}
	if p.failed {
		e.disk.failures++
	}
}

// writePortion claims blocks for a portion's tokens and has the model write them.
func (e *Engine) writePortion(r *restore, p portion) error {
	d := e.disk
	table, first := e.sched.Claim(r.seq, p.tokens, p.firstSlot)
	d.rescue()
	err := e.guard(func() error {
		for i, b := range p.chunks {
			block, slot, tokenBytes := table[first+i], kv.None, d.header.GlobalBytes
			if first+i >= p.firstSlot {
				slot = d.pool.SlotOf(block)
				tokenBytes += d.header.SlidingBytes
			}
			if tokenBytes == 0 {
				continue // all layers slide, and none sees this block any more
			}
			if err := d.model.WriteKV(int(block), int(slot), len(b)/tokenBytes, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range p.chunks {
		r.bytes += int64(len(b))
	}
	return nil
}

// endRestore is called when a restore has all it will have, because it is done or its sequence has
// ended.
func (e *Engine) endRestore(r *restore) {
	r.took = time.Since(r.began)
	close(r.quit)
	e.restores = slices.DeleteFunc(e.restores, func(x *restore) bool { return x == r })
}

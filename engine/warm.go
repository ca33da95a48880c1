package engine

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A warm is the engine's side of the warm tier. All of it is the engine's goroutine's, but shelf and writer, which have
// locks of their own.
//
// Saving is write-behind. A memory that a request left is due a moment later, so that a conversation in full swing is
// not written at every turn. Then its blocks are copied out between steps, a portion at a time, and a goroutine takes
// the copy to the disk. A memory that changes before its copy is complete is due again with its next turn.
//
// Eviction does not wait for that. When a memory that is not saved loses a block, the block is copied before the step
// that overwrites it, for until then its contents are intact; the rest of the memory follows between steps. So who is
// evicted falls to the disk. Only when more waits to be written than unsavedMost, because the disk does not keep up, it
// falls to what was saved last: eviction never waits for a disk.
type warm struct {
	shelf  *shelf
	writer *writer
	model  Model
	store  *store
	label  label // what all images have in common
	guard  func(func() error) error

	delay       time.Duration
	portion     int   // bytes that are copied in or out between two steps
	unsavedMost int64 // bytes

	due     []due          // in the order of their times
	making  []*memory      // whose image is being made
	fetches sync.WaitGroup // goroutines that read for a restore
	timer   *time.Timer    // knocks when the first is due
	knock   func()         // wakes the engine's goroutine

	restores, failures uint64
}

// A due memory is to be saved when its time has come, if it is still as it was.
type due struct {
	m  *memory
	at time.Time
}

// collect notes what the last step left to be saved.
func (w *warm) collect() {
	if len(w.store.fresh) == 0 {
		return
	}
	now := time.Now()
	for i, m := range w.store.fresh {
		w.due = append(w.due, due{m, now.Add(w.delay)})
		w.store.fresh[i] = nil
	}
	w.store.fresh = w.store.fresh[:0]
}

// rescue copies the blocks that unsaved memories have lost. It must run before anything writes to the KV.
func (w *warm) rescue() {
	for i, l := range w.store.lost {
		w.store.lost[i] = lost{}
		if l.m.image == nil && l.m.dirty && !w.begin(l.m, l.tokens, false) {
			w.give(l.m, nil)
			w.writer.failures.Add(1)
			slog.Warn("agent's memory is evicted unsaved; what was saved before is kept", "tokens", len(l.tokens), "unsaved_bytes", w.writer.unsaved.Load())
		}
		if l.m.image != nil {
			w.copy(l.m, l.i, l.block, l.local)
		}
	}
	w.store.lost = w.store.lost[:0]
}

// begin starts the image of a memory that has, or had, these tokens, if there is room for it or it is urgent.
func (w *warm) begin(m *memory, tokens []int32, urgent bool) bool {
	l := w.label
	l.agent, l.tokens, l.last, l.saved = m.agent, len(tokens), len(m.last), time.Now()
	l.created = cmp.Or(m.made, l.saved)
	for l.behind < l.from()-l.low(max(m.turn, l.tokens-l.window)) && w.block(m, &l, l.blocks()+l.behind) != none {
		l.behind++
	}
	if old, ok := w.shelf.find(m.agent); ok {
		l.created = old.label.created
	}
	if n := w.writer.unsaved.Load(); !urgent && n > 0 && n+l.kvBytes() > w.unsavedMost {
		return false
	}
	w.writer.unsaved.Add(l.kvBytes())
	m.image = &image{label: l, tokens: slices.Concat(tokens, m.last), blocks: make([][]byte, l.parts()), written: make(chan struct{})}
	w.making = append(w.making, m)
	return true
}

// block is what a memory has as block i of its image; none where that has its local in the image and has lost it, or is
// lost altogether.
func (w *warm) block(m *memory, l *label, i int) int32 {
	n := l.place(i)
	if n >= len(m.blocks) || i >= l.blocks() && w.store.local.of[m.blocks[n]] == none {
		return none
	}
	return m.blocks[n]
}

// copyNext copies a block that is missing in a memory's image, and says how many bytes. Those behind come first, because
// nothing keeps their locals; when one is gone, so are those behind it.
func (w *warm) copyNext(m *memory) int {
	img := m.image
	l := &img.label
	for i := l.blocks(); i < l.parts(); i++ {
		if img.blocks[i] != nil {
			continue
		}
		if b := w.block(m, l, i); b != none {
			w.copy(m, i, b, w.store.local.of[b])
			return l.blockBytes(i)
		}
		size := l.kvBytes()
		l.behind, img.blocks = i-l.blocks(), img.blocks[:i]
		w.writer.unsaved.Add(l.kvBytes() - size)
	}
	for i, b := range img.blocks {
		if b == nil {
			w.copy(m, i, m.blocks[i], w.store.local.of[m.blocks[i]])
			return l.blockBytes(i)
		}
	}
	w.complete(m)
	return 0
}

// copy copies block i of a memory's image, with its local where that is to be there, into the image, which the last one
// completes.
func (w *warm) copy(m *memory, i int, block, local int32) {
	img := m.image
	if img.blocks[i] != nil {
		return
	}
	b := make([]byte, img.label.blockBytes(i))
	if i < img.label.from() {
		local = none
	}
	err := w.guard(func() error { return w.model.ReadKV(int(block), int(local), img.label.blockLen(i), b) })
	if err != nil {
		slog.Error("agent's memory cannot be read and is not saved", "tokens", img.label.tokens, "error", err)
		w.writer.failures.Add(1)
		w.give(m, err)
		return
	}
	img.blocks[i] = b
	if img.copied++; img.copied == len(img.blocks) {
		w.complete(m)
	}
}

// complete hands a memory's image, all of which is copied, to the writer.
func (w *warm) complete(m *memory) {
	img := m.image
	m.image = nil
	m.dirty = false
	w.writer.put(img)
}

// give gives a memory up for saving.
func (w *warm) give(m *memory, why error) {
	m.dirty = false
	if m.image != nil {
		w.writer.discard(m.image, why)
		m.image = nil
	}
}

// copyOut copies a portion of what is due. It reports whether it did anything.
func (w *warm) copyOut() bool {
	w.collect()
	w.rescue()
	room := w.portion
	for room > 0 {
		m := w.next()
		if m == nil {
			break
		}
		room -= max(1, w.copyNext(m))
	}
	return room < w.portion
}

// next is the memory whose image is to be made, nil if none is due or there is no room for it yet.
func (w *warm) next() *memory {
	for len(w.making) > 0 {
		m := w.making[0]
		if m.dirty && m.image != nil {
			return m
		}
		if m.image != nil { // the memory has changed
			w.give(m, errSuperseded)
		}
		w.making = slices.Delete(w.making, 0, 1)
	}
	for len(w.due) > 0 {
		d := w.due[0]
		if d.m.dirty && d.m.image == nil {
			if wait := time.Until(d.at); wait > 0 {
				w.timer.Reset(wait)
				return nil
			}
			if !w.begin(d.m, d.m.tokens, false) {
				return nil
			}
			w.due = slices.Delete(w.due, 0, 1)
			return d.m
		}
		w.due = slices.Delete(w.due, 0, 1)
	}
	return nil
}

// close saves everything and lets go of the directory.
func (w *warm) close(wait func()) {
	w.flush(wait)
	w.timer.Stop()
	w.writer.close()
	w.fetches.Wait()
}

// flush copies out all that is not saved, the last used first, and waits for the writer wherever there is no room.
func (w *warm) flush(wait func()) {
	w.delay = 0
	w.collect()
	w.rescue()
	w.due = w.due[:0]
	for e := w.store.used.Back(); e != nil; e = e.Prev() {
		if m := e.Value.(*memory); m.dirty && m.image == nil {
			w.due = append(w.due, due{m: m})
		}
	}
	for len(w.due) > 0 || len(w.making) > 0 {
		if !w.copyOut() && len(w.due)+len(w.making) > 0 {
			wait()
		}
	}
}

// unsaved is the newest image of an agent that is not on disk: one being made, of which a part is still in the pool, or
// one on its way to the disk.
func (w *warm) unsaved(agent string) *image {
	for _, m := range w.making {
		if m.agent == agent && m.image != nil && m.dirty {
			img := m.image // whose blocks go on changing
			return &image{label: img.label, tokens: img.tokens, blocks: slices.Clone(img.blocks)}
		}
	}
	return w.writer.find(agent)
}

// urge starts to save an agent's memory at once, if it is not saved, and returns the image to wait for.
func (w *warm) urge(agent string) *image {
	w.collect()
	w.rescue()
	m := w.store.agents[agent]
	if m != nil && m.dirty && m.image == nil {
		w.begin(m, m.tokens, true)
	}
	for _, m := range w.making {
		if m.agent == agent && m.image != nil && m.dirty {
			return m.image
		}
	}
	return w.writer.find(agent)
}

// has reports whether an agent can be restored.
func (w *warm) has(agent string) bool {
	if x, ok := w.shelf.find(agent); ok && x.label.tokens > 0 {
		return true
	}
	return w.unsaved(agent) != nil
}

// forget drops what the pool has of an agent, and its image.
func (w *warm) forget(agent string) bool {
	m := w.store.agents[agent]
	for _, making := range w.making { // it may have been evicted in the meantime
		if making.agent == agent {
			w.give(making, errSuperseded)
		}
	}
	delete(w.store.evicted, agent)
	if m == nil {
		return false
	}
	w.give(m, errSuperseded)
	m.cut = false
	w.store.forget(m)
	return true
}

const (
	portionBytes   = 4 << 20   // a millisecond or two of copying
	unsavedAtLeast = 256 << 20 // bytes in RAM that may wait for the disk; half the pool if that is more
)

// openWarm opens the warm tier of an engine that has one.
func (e *Engine) openWarm() error {
	c := &e.cfg
	if c.Dir == "" {
		return nil
	}
	l := label{fingerprint: c.Fingerprint, shape: e.layout.shape}
	s, err := openShelf(c.Dir, l, c.DiskBytes, c.TTL)
	if err != nil {
		return err
	}
	e.warm = &warm{
		shelf:       s,
		writer:      newWriter(s, e.door.knock),
		model:       c.Model,
		store:       &e.sched.store,
		label:       l,
		guard:       e.guard,
		delay:       c.SaveAfter,
		portion:     portionBytes,
		unsavedMost: max(unsavedAtLeast, c.KVBytes/2),
		timer:       time.AfterFunc(time.Hour, e.door.knock),
		knock:       e.door.knock,
	}
	e.warm.timer.Stop()
	e.sched.store.tell = true
	e.sched.warm = e.warm.has
	return nil
}

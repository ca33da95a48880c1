package engine

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// A disk is the engine's side of memories on disk. Only the engine's goroutine uses it, except for
// store and writer, which have locks of their own.
//
// Saving is write-behind. A memory that a request has left is due a moment later, so that a
// conversation in full swing is not written at every turn. Then its blocks are copied out between
// steps, a portion at a time, and a goroutine takes the copy to the disk. A memory that changes
// before its copy is complete becomes due again.
//
// Eviction does not wait for that. When a memory that is not saved loses a block, the block is
// copied before the step that overwrites it, for until then its contents are intact; the rest of
// the memory follows between steps. So evicted memories go to the disk. Only when more than the
// writer's limit waits to be written, because the disk does not keep up, an evicted memory is
// lost and what was saved of it before is kept: eviction never waits for a disk.
type disk struct {
	store  *snapshot.Store
	writer *snapshot.Writer
	model  Model
	pool   *kv.Store
	header snapshot.Header // what all snapshots have in common
	guard  func(func() error) error

	delay        time.Duration // how long a memory rests before it is saved
	portionBytes int           // that are copied in or out between two steps

	due     []due // in the order of their times
	copying []*kv.Chain
	copies  map[*kv.Chain]*snapshot.Snapshot // of the chains in copying, unless given up
	fetches sync.WaitGroup                   // goroutines that read for a restore
	timer   *time.Timer                      // calls notify when the first memory is due
	notify  func()                           // wakes the engine's goroutine

	restores, failures uint64
}

// A due memory is to be saved when its time has come, if it has not changed until then.
type due struct {
	chain *kv.Chain
	at    time.Time
}

const (
	portionBytes  = 4 << 20   // a millisecond or two of copying
	minMaxUnsaved = 256 << 20 // bytes that may wait for the disk; half the pool if that is more
)

// openDisk opens the directory of memories, if the engine has one.
func (e *Engine) openDisk() error {
	c := &e.cfg
	if c.Dir == "" {
		return nil
	}
	h := snapshot.Header{Fingerprint: c.Fingerprint, Shape: e.layout.Shape}
	s, err := snapshot.OpenStore(c.Dir, h, c.DiskBytes, c.TTL)
	if err != nil {
		return err
	}
	e.disk = &disk{
		store:        s,
		writer:       snapshot.NewWriter(s, max(minMaxUnsaved, c.KVBytes/2), e.mailbox.notify),
		model:        c.Model,
		pool:         e.sched.store,
		header:       h,
		guard:        e.guard,
		delay:        c.SaveAfter,
		portionBytes: portionBytes,
		copies:       make(map[*kv.Chain]*snapshot.Snapshot),
		timer:        time.AfterFunc(time.Hour, e.mailbox.notify),
		notify:       e.mailbox.notify,
	}
	e.disk.timer.Stop()
	e.sched.store.Track = true
	e.sched.restorable = e.disk.has
	return nil
}

// stats fills in what the store and the writer know. It may be called from any goroutine.
func (d *disk) stats(st *Stats) {
	st.DiskMemories, st.DiskBytes = d.store.Size()
	w := d.writer.Stats()
	st.UnsavedBytes, st.Saves, st.SaveFailures = w.Unsaved, w.Saves, w.Failures
	st.SavedBytes, st.SaveTime = w.Bytes, w.Took
}

// collect notes which memories the last step has left to be saved.
func (d *disk) collect() {
	var now time.Time
	d.pool.TakeFresh(func(c *kv.Chain) {
		if now.IsZero() {
			now = time.Now()
		}
		d.due = append(d.due, due{c, now.Add(d.delay)})
	})
}

// rescue copies the blocks that unsaved memories have lost. It must run before anything writes to
// the KV.
func (d *disk) rescue() {
	d.pool.TakeLost(func(l *kv.Lost) {
		if d.copies[l.Chain] == nil && l.Chain.Dirty && !d.begin(l.Chain, l.Tokens, false) {
			d.giveUp(l.Chain, nil)
			d.writer.Fail()
			slog.Warn("agent's memory is evicted unsaved; what was saved before is kept",
				"tokens", len(l.Tokens), "unsaved_bytes", d.writer.Stats().Unsaved)
		}
		if d.copies[l.Chain] != nil {
			d.copy(l.Chain, l.Index, l.Block, l.Slot)
		}
	})
}

// begin begins the snapshot of a memory that has, or had, these tokens. It returns false if the
// writer has no room for it, which an urgent one does not need.
func (d *disk) begin(c *kv.Chain, tokens []int32, urgent bool) bool {
	h := d.header
	h.Agent, h.Tokens, h.Uncomputed, h.Saved = c.Agent, len(tokens), len(c.Last), time.Now()
	h.Created = cmp.Or(c.Created, h.Saved)
	earliest := h.WindowStart(max(c.TurnStart, h.Tokens-h.Window))
	for h.Earlier < h.FirstSlot()-earliest && d.block(c, &h, h.Chunks()) != kv.None {
		h.Earlier++
	}
	if old, ok := d.store.Find(c.Agent); ok {
		h.Created = old.Header.Created
	}
	s := d.writer.Begin(h, slices.Concat(tokens, c.Last), urgent)
	if s == nil {
		return false
	}
	d.copies[c] = s
	d.copying = append(d.copying, c)
	return true
}

// block returns the block that chunk i of a memory's snapshot is copied from, or None where the
// memory has lost it, or has lost the window slot that the chunk needs.
func (d *disk) block(c *kv.Chain, h *snapshot.Header, i int) int32 {
	n := h.BlockOf(i)
	if n >= len(c.Blocks) || i >= h.Blocks() && d.pool.SlotOf(c.Blocks[n]) == kv.None {
		return kv.None
	}
	return c.Blocks[n]
}

// copyNext copies a chunk that is missing in a memory's snapshot, and returns its size in bytes.
// The earlier blocks come first, because nothing holds their window slots; when one is gone,
// those that are earlier still are of no use.
func (d *disk) copyNext(c *kv.Chain) int {
	s := d.copies[c]
	h := s.Header()
	if i, ok := s.Missing(h.Blocks()); ok {
		if b := d.block(c, h, i); b != kv.None {
			d.copy(c, i, b, d.pool.SlotOf(b))
			return h.ChunkBytes(i)
		}
		d.writer.Shorten(s, i-h.Blocks())
	}
	if i, ok := s.Missing(0); ok {
		b := c.Blocks[i]
		d.copy(c, i, b, d.pool.SlotOf(b))
		return h.ChunkBytes(i)
	}
	d.complete(c)
	return 0
}

// copy copies chunk i of a memory's snapshot from a block, and from its window slot if the chunk
// has one. The last chunk completes the snapshot.
func (d *disk) copy(c *kv.Chain, i int, block, slot int32) {
	s := d.copies[c]
	if s.Copied(i) {
		return
	}
	h := s.Header()
	b := make([]byte, h.ChunkBytes(i))
	if !h.HasSlot(i) {
		slot = kv.None
	}
	err := d.guard(func() error {
		return d.model.ReadKV(int(block), int(slot), h.ChunkTokens(i), b)
	})
	if err != nil {
		slog.Error("agent's memory cannot be read and is not saved",
			"tokens", h.Tokens, "error", err)
		d.writer.Fail()
		d.giveUp(c, err)
		return
	}
	if s.Set(i, b); s.Complete() {
		d.complete(c)
	}
}

// complete hands a memory's snapshot, which is complete, to the writer.
func (d *disk) complete(c *kv.Chain) {
	s := d.copies[c]
	delete(d.copies, c)
	c.Dirty = false
	d.writer.Put(s)
}

// giveUp stops saving a memory.
func (d *disk) giveUp(c *kv.Chain, why error) {
	c.Dirty = false
	if s := d.copies[c]; s != nil {
		delete(d.copies, c)
		d.writer.Discard(s, why)
	}
}

// copyOut copies a portion of what is due. It reports whether it did anything.
func (d *disk) copyOut() bool {
	d.collect()
	d.rescue()
	room := d.portionBytes
	for room > 0 {
		c := d.next()
		if c == nil {
			break
		}
		room -= max(1, d.copyNext(c))
	}
	return room < d.portionBytes
}

// next returns the memory whose snapshot is to be made, nil if none is due or there is no room
// for it yet.
func (d *disk) next() *kv.Chain {
	for len(d.copying) > 0 {
		c := d.copying[0]
		if d.copies[c] != nil {
			if c.Dirty {
				return c
			}
			d.giveUp(c, snapshot.ErrSuperseded) // the memory has changed
		}
		d.copying = slices.Delete(d.copying, 0, 1)
	}
	for len(d.due) > 0 {
		first := d.due[0]
		if first.chain.Dirty && d.copies[first.chain] == nil {
			if wait := time.Until(first.at); wait > 0 {
				d.timer.Reset(wait)
				return nil
			}
			if !d.begin(first.chain, first.chain.Tokens, false) {
				return nil
			}
			d.due = slices.Delete(d.due, 0, 1)
			return first.chain
		}
		d.due = slices.Delete(d.due, 0, 1)
	}
	return nil
}

// close saves everything and ends the goroutines. wait waits for the writer.
func (d *disk) close(wait func()) {
	d.flush(wait)
	d.timer.Stop()
	d.writer.Close()
	d.fetches.Wait()
}

// flush copies out everything that is not saved, the last used first, and waits for the writer
// wherever there is no room.
func (d *disk) flush(wait func()) {
	d.delay = 0
	d.collect()
	d.rescue()
	d.due = d.due[:0]
	for c := range d.pool.Chains() {
		if c.Dirty && d.copies[c] == nil {
			d.due = append(d.due, due{chain: c})
		}
	}
	slices.Reverse(d.due)
	for len(d.due) > 0 || len(d.copying) > 0 {
		if !d.copyOut() && len(d.due)+len(d.copying) > 0 {
			wait()
		}
	}
}

// beingCopied returns an agent's snapshot that is being made, of which a part is still in the pool.
func (d *disk) beingCopied(agent string) *snapshot.Snapshot {
	for _, c := range d.copying {
		if s := d.copies[c]; s != nil && c.Agent == agent && c.Dirty {
			return s
		}
	}
	return nil
}

// unsaved returns an agent's newest snapshot that is not on disk, for reading: one that is being
// made, or one on its way to the disk.
func (d *disk) unsaved(agent string) *snapshot.Snapshot {
	if s := d.beingCopied(agent); s != nil {
		return s.View()
	}
	return d.writer.Find(agent)
}

// urge begins to save an agent's memory at once, if it is not saved, and returns the snapshot to
// wait for.
func (d *disk) urge(agent string) *snapshot.Snapshot {
	d.collect()
	d.rescue()
	if c := d.pool.Agent(agent); c != nil && c.Dirty && d.copies[c] == nil {
		d.begin(c, c.Tokens, true)
	}
	if s := d.beingCopied(agent); s != nil {
		return s
	}
	return d.writer.Find(agent)
}

// has reports whether an agent can be restored.
func (d *disk) has(agent string) bool {
	if x, ok := d.store.Find(agent); ok && x.Header.Tokens > 0 {
		return true
	}
	return d.unsaved(agent) != nil
}

// forget drops what the pool has of an agent, and the snapshot that is being made of it. It reports
// whether the pool had anything.
func (d *disk) forget(agent string) bool {
	for _, c := range d.copying { // it may have been evicted in the meantime
		if c.Agent == agent {
			d.giveUp(c, snapshot.ErrSuperseded)
		}
	}
	if c := d.pool.Agent(agent); c != nil {
		d.giveUp(c, snapshot.ErrSuperseded)
	}
	return d.pool.Forget(agent)
}

package engine

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// rereadAfter is how long a memory waits to be copied again after the model failed to read its KV.
const rereadAfter = time.Second

// rescue copies the blocks that unsaved memories have lost. It must run before anything writes to
// the KV.
func (d *disk) rescue() {
	d.collect()
	d.pool.TakeLost(func(l *kv.Lost) {
		if d.copies[l.Chain] == nil && l.Chain.Dirty && !d.begin(l.Chain, l.Tokens, false) {
			d.giveUp(l.Chain, nil)
			d.writer.Fail(snapshot.FailedSlow)
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
	h.Agent, h.Salt, h.Tokens = c.Agent, c.Salt, len(tokens)
	h.Uncomputed, h.Saved = len(c.Last), time.Now()
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
	c.Copying = true
	d.copying = append(d.copying, c)
	if d.begun(c, s); urgent {
		d.copyFirst(c)
	}
	return true
}

// copyFirst has a memory be copied before all others.
func (d *disk) copyFirst(c *kv.Chain) {
	d.overtake(c)
	i := slices.Index(d.copying, c)
	d.copying = slices.Insert(slices.Delete(d.copying, i, i+1), 0, c)
}

// overtake gives up the snapshots of its agent's older memories that are still being made: the
// writer would get them behind this one's, and write them in its place. In copying an agent's older
// memories are before its newer ones.
func (d *disk) overtake(c *kv.Chain) {
	for _, other := range d.copying[:max(0, slices.Index(d.copying, c))] {
		if old := d.copies[other]; old != nil && other.Agent == c.Agent {
			delete(d.copies, other)
			d.pool.Release(other)
			d.writer.Supersede(old, d.copies[c])
		}
	}
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
		d.writer.Fail(snapshot.FailedRead)
		d.unreadable(c, err)
		return
	}
	if s.Set(i, b); s.Complete() {
		d.complete(c)
	}
}

// unreadable ends a snapshot because the model failed. The memory is copied again in a while if it
// is still whole.
func (d *disk) unreadable(c *kv.Chain, err error) {
	b, s := d.backlogs[c.Agent], d.copies[c]
	whole := len(c.Tokens) == s.Header().Tokens
	if b == nil || b.saving != s || b.chain != nil || !whole || d.closing {
		d.giveUp(c, err)
		return
	}
	delete(d.copies, c)
	c.Copying = false
	d.writer.Discard(s, err)
	b.saving, b.chain, b.later = nil, c, time.Time{}
	at := time.Now().Add(max(d.delay, rereadAfter))
	d.rested = append(d.rested, rested{chain: c, at: at, force: true})
}

// complete hands a memory's snapshot, which is complete, to the writer.
func (d *disk) complete(c *kv.Chain) {
	d.overtake(c)
	s := d.copies[c]
	delete(d.copies, c)
	d.pool.Release(c)
	d.writer.Put(s)
}

// giveUp stops saving a memory.
func (d *disk) giveUp(c *kv.Chain, why error) {
	d.pool.Release(c)
	s := d.copies[c]
	if s != nil {
		delete(d.copies, c)
		d.writer.Discard(s, why)
	}
	d.lose(c, s)
}

// copyOut copies a portion of what is due. It reports whether it did anything.
func (d *disk) copyOut() bool {
	d.settle()
	d.rescue()
	room := d.portionBytes
	for room > 0 {
		c := d.next()
		if c == nil {
			break
		}
		room -= max(1, d.copyNext(c))
	}
	d.noteOldest()
	return room < d.portionBytes
}

// next returns the memory whose snapshot is to be made, nil if none is due or there is no room
// for it yet.
func (d *disk) next() *kv.Chain {
	for len(d.copying) > 0 {
		c := d.copying[0]
		if d.copies[c] != nil && c.Dirty {
			return c
		}
		if d.copies[c] != nil {
			d.giveUp(c, snapshot.ErrSuperseded)
		}
		d.copying = slices.Delete(d.copying, 0, 1)
	}
	c, wait := d.due(time.Now())
	if c != nil && d.begin(c, c.Tokens, false) {
		return c
	}
	if wait > 0 {
		d.timer.Reset(wait)
	}
	return nil
}

package snapshot

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Writer takes snapshots to the disk on a goroutine of its own, in the order in which they were
// handed over. A newer snapshot of an agent replaces one that still waits.
//
// The Writer owns the account of unsaved bytes: Begin charges a snapshot's bytes to it, Shorten
// corrects them, and they are refunded when the snapshot is written or discarded. So the account
// is the KV of all snapshots that are being made, wait, or are being written, and Begin keeps it
// within MaxUnsaved.
type Writer struct {
	MaxUnsaved int64 // bytes of KV that may be in RAM on their way to the disk; set before use

	store   *Store
	written func() // called after a snapshot was written, or could not be

	unsaved         atomic.Int64
	saves, failures atomic.Uint64
	bytes           atomic.Uint64 // of KV, of all saves
	took            atomic.Int64  // nanoseconds, of all saves

	mu     sync.Mutex
	queue  []*Snapshot
	busy   *Snapshot // is being written
	closed bool
	wake   sync.Cond // on mu: the queue or closed has changed
}

// WriterStats counts what a Writer has done.
type WriterStats struct {
	Unsaved         int64         // bytes of KV in RAM and not on disk yet
	Saves, Failures uint64        // snapshots written, and those that could not be made or written
	Bytes           uint64        // of KV, of all saves
	Took            time.Duration // of all saves
}

// NewWriter returns a writer to a store. written is called after each snapshot.
func NewWriter(s *Store, maxUnsaved int64, written func()) *Writer {
	w := &Writer{MaxUnsaved: maxUnsaved, store: s, written: written}
	w.wake.L = &w.mu
	return w
}

// Stats may be called from any goroutine.
func (w *Writer) Stats() WriterStats {
	return WriterStats{
		Unsaved:  w.unsaved.Load(),
		Saves:    w.saves.Load(),
		Failures: w.failures.Load(),
		Bytes:    w.bytes.Load(),
		Took:     time.Duration(w.took.Load()),
	}
}

// Begin returns an empty snapshot and charges its bytes. tokens has the uncomputed one at its
// end. If they exceed MaxUnsaved together with others that are unsaved, and it is not urgent,
// Begin returns nil. The snapshot is handed over with Put or given up with Discard.
func (w *Writer) Begin(h Header, tokens []int32, urgent bool) *Snapshot {
	if n := w.unsaved.Load(); !urgent && n > 0 && n+h.KVBytes() > w.MaxUnsaved {
		return nil
	}
	w.unsaved.Add(h.KVBytes())
	return newSnapshot(h, tokens)
}

// Shorten leaves a snapshot with fewer earlier blocks (see Header.Earlier), none of whose last ones
// is copied.
func (w *Writer) Shorten(s *Snapshot, earlier int) {
	before := s.header.KVBytes()
	s.header.Earlier = earlier
	s.chunks = s.chunks[:s.header.Chunks()]
	w.unsaved.Add(s.header.KVBytes() - before)
}

// Put hands a complete snapshot over. It must not be changed afterwards.
func (w *Writer) Put(s *Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.supersede(s.header.Agent)
	w.queue = append(w.queue, s)
	w.wake.Broadcast()
}

// supersede takes out the agent's snapshot that waits, if any. The caller holds mu.
func (w *Writer) supersede(agent string) {
	i := slices.IndexFunc(w.queue, func(s *Snapshot) bool { return s.header.Agent == agent })
	if i >= 0 {
		w.Discard(w.queue[i], ErrSuperseded)
		w.queue = slices.Delete(w.queue, i, i+1)
	}
}

// Discard ends a snapshot that will not be written.
func (w *Writer) Discard(s *Snapshot, why error) {
	w.unsaved.Add(-s.header.KVBytes())
	s.end(why)
}

// Fail counts a memory that could not be saved because no snapshot of it could be made.
func (w *Writer) Fail() { w.failures.Add(1) }

// Find returns an agent's newest snapshot that is not on disk yet, nil if there is none.
func (w *Writer) Find(agent string) *Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.queue {
		if s.header.Agent == agent {
			return s
		}
	}
	if w.busy != nil && w.busy.header.Agent == agent {
		return w.busy
	}
	return nil
}

// Drop takes an agent's snapshots out. One that is already being written may still appear, but not
// after any change to the store that begins from now on.
func (w *Writer) Drop(agent string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.supersede(agent)
	if w.busy != nil && w.busy.header.Agent == agent {
		w.busy.stale.Store(true)
	}
}

// Step writes the next snapshot. It reports false when none waits. Run calls it; a test may call it
// instead.
func (w *Writer) Step() bool {
	w.mu.Lock()
	if len(w.queue) == 0 {
		w.mu.Unlock()
		return false
	}
	s := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	w.busy = s
	w.mu.Unlock()

	began := time.Now()
	err := w.store.save(s)
	if err != nil {
		w.failures.Add(1)
		slog.Error("agent's memory was not saved; what was saved before is kept",
			"tokens", s.header.Tokens, "error", err)
	} else {
		w.saves.Add(1)
		w.bytes.Add(uint64(s.header.KVBytes()))
		w.took.Add(int64(time.Since(began)))
	}
	w.mu.Lock()
	w.busy = nil
	w.mu.Unlock()
	w.unsaved.Add(-s.header.KVBytes())
	s.end(err)
	w.written()
	return true
}

// Run writes until Close, and then the snapshots that still wait.
func (w *Writer) Run() {
	for {
		for w.Step() {
		}
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.wake.Wait()
		}
		over := len(w.queue) == 0
		w.mu.Unlock()
		if over {
			return
		}
	}
}

// Close has Run return when nothing waits.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Broadcast()
}

package snapshot

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine/internal/kv"
)

// A Writer takes snapshots to the disk on a goroutine of its own, in the order in which they were
// handed over. A newer snapshot of an agent replaces one that still waits. One that cannot be
// written waits and is tried again, later and later, and the others do not wait for it.
//
// The Writer owns the account of unsaved bytes: Begin charges a snapshot's bytes to it, Shorten
// corrects them, and they are refunded when the snapshot is written or discarded. So the account
// is the KV of all snapshots that are being made, wait, or are being written, and Begin keeps it
// within MaxUnsaved.
type Writer struct {
	MaxUnsaved int64 // bytes of KV that may be in RAM on their way to the disk; set before use

	store *Store
	ended func() // called after each attempt to write a snapshot

	unsaved  atomic.Int64
	saves    atomic.Uint64
	failures [Failures]atomic.Uint64
	bytes    atomic.Uint64 // of KV, of all saves
	took     atomic.Int64  // nanoseconds, of all saves
	troubled atomic.Bool   // an attempt has failed lately; set under mu

	mu       sync.Mutex
	queue    []*Snapshot
	busy     *Snapshot // is being written
	outcomes []Outcome // that TakeOutcomes has not taken yet
	failed   Failure   // the last one
	lastTry  bool
	closed   bool
	wake     sync.Cond // on mu: the queue or one of the above has changed
}

// An Outcome says what became of a snapshot that was handed over, unless it was superseded or
// dropped.
type Outcome struct {
	Snapshot *Snapshot
	Err      error // why it will never be on disk
}

// A failed attempt to write a snapshot is repeated after minRetry, and further ones after twice the
// time of the one before, up to maxRetry.
const (
	minRetry = 250 * time.Millisecond
	maxRetry = 10 * time.Second
)

// WriterStats counts what a Writer has done.
type WriterStats struct {
	Unsaved  int64            // bytes of KV in RAM and not on disk yet
	Saves    uint64           // snapshots written
	Failures [Failures]uint64 // attempts to make or write one that failed
	Bytes    uint64           // of KV, of all saves
	Took     time.Duration    // of all saves
}

// NewWriter returns a writer to a store. ended is called after each attempt to write a snapshot.
func NewWriter(s *Store, maxUnsaved int64, ended func()) *Writer {
	w := &Writer{MaxUnsaved: maxUnsaved, store: s, ended: ended}
	w.wake.L = &w.mu
	return w
}

// Stats may be called from any goroutine.
func (w *Writer) Stats() WriterStats {
	st := WriterStats{
		Unsaved: w.unsaved.Load(),
		Saves:   w.saves.Load(),
		Bytes:   w.bytes.Load(),
		Took:    time.Duration(w.took.Load()),
	}
	for f := range w.failures {
		st.Failures[f] = w.failures[f].Load()
	}
	return st
}

// Failing reports whether a snapshot waits that could not be written, and why the last one could
// not.
func (w *Writer) Failing() (Failure, bool) {
	if !w.troubled.Load() { // the usual case, asked for every answer
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	failing := w.busy != nil && w.busy.tries > 0
	for _, s := range w.queue {
		failing = failing || s.tries > 0
	}
	w.troubled.Store(failing)
	return w.failed, failing
}

// Begin returns an empty snapshot and charges its bytes. tokens has the uncomputed one at its
// end. If they exceed MaxUnsaved together with others that are unsaved, and it is not urgent,
// Begin returns nil. The snapshot is handed over with Put or given up with Discard.
func (w *Writer) Begin(h Header, tokens []int32, urgent bool) *Snapshot {
	if n := w.unsaved.Load(); !urgent && n > 0 && n+h.KVBytes() > w.MaxUnsaved {
		return nil
	}
	w.unsaved.Add(h.KVBytes())
	s := newSnapshot(h, tokens)
	s.grant = w.store.grant(h.Agent)
	return s
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
	if old := w.takeOut(s.header.Agent); old != nil {
		// Who waited for the old one waits for the new one, and a disk that is full is not tried
		// more often for it.
		s.waiters = append(s.waiters, old.waiters...)
		old.waiters = nil
		s.tries = old.tries
		if len(s.waiters) == 0 {
			s.next = old.next
		}
		w.discard(old, ErrSuperseded)
	}
	w.queue = append(w.queue, s)
	w.wake.Broadcast()
}

// takeOut takes the agent's snapshot out of the queue and returns it, nil if none waits. The caller
// holds mu.
func (w *Writer) takeOut(agent kv.Agent) *Snapshot {
	i := slices.IndexFunc(w.queue, func(s *Snapshot) bool { return s.header.Agent == agent })
	if i < 0 {
		return nil
	}
	s := w.queue[i]
	w.queue = slices.Delete(w.queue, i, i+1)
	return s
}

// Discard ends a snapshot that will not be written.
func (w *Writer) Discard(s *Snapshot, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.discard(s, why)
}

// Supersede ends a snapshot that will not be written because there is a newer one. Who waits for it
// waits for that.
func (w *Writer) Supersede(old, by *Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.waiters = append(by.waiters, old.waiters...)
	old.waiters = nil
	w.discard(old, ErrSuperseded)
}

func (w *Writer) discard(s *Snapshot, why error) {
	w.unsaved.Add(-s.header.KVBytes())
	s.end(why)
}

// Fail counts a memory that could not be saved because no snapshot of it could be made.
func (w *Writer) Fail(f Failure) { w.failures[f].Add(1) }

// Await returns the next attempt to write a snapshot, which is made as soon as the snapshot is
// complete and its turn comes.
func (w *Writer) Await(s *Snapshot) *Attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := &Attempt{done: make(chan struct{})}
	s.waiters = append(s.waiters, a)
	if s.over {
		s.tell(s.err)
	}
	s.next = time.Time{}
	w.wake.Broadcast()
	return a
}

// TakeOutcomes calls f with what has become of snapshots since the last call.
func (w *Writer) TakeOutcomes(f func(Outcome)) {
	w.mu.Lock()
	all := w.outcomes
	w.outcomes = nil
	w.mu.Unlock()
	for _, o := range all {
		f(o)
	}
}

// Find returns an agent's newest snapshot that is not on disk yet, nil if there is none.
func (w *Writer) Find(agent kv.Agent) *Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.queue {
		if s.header.Agent == agent {
			return s
		}
	}
	if w.busy != nil && w.busy.header.Agent == agent && !w.busy.stale.Load() {
		return w.busy
	}
	return nil
}

// Drop takes an agent's snapshots out. One that is already being written may still appear, but not
// after any change to the store that begins from now on.
func (w *Writer) Drop(agent kv.Agent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.takeOut(agent); s != nil {
		w.discard(s, ErrSuperseded)
	}
	if w.busy != nil && w.busy.header.Agent == agent {
		w.busy.stale.Store(true)
	}
}

// ready returns the place in the queue of the next snapshot that may be tried, -1 if there is none.
// The caller holds mu.
func (w *Writer) ready() int {
	now := time.Now()
	return slices.IndexFunc(w.queue, func(s *Snapshot) bool {
		return w.lastTry || !s.next.After(now)
	})
}

// Step writes the next snapshot. It reports false when none waits that may be tried now. Run calls
// it; a test may call it instead.
func (w *Writer) Step() bool {
	w.mu.Lock()
	i := w.ready()
	if i < 0 {
		w.mu.Unlock()
		return false
	}
	s := w.queue[i]
	w.queue = slices.Delete(w.queue, i, i+1)
	w.busy = s
	w.mu.Unlock()

	began := time.Now()
	err := w.store.save(s)
	if err == nil {
		w.saves.Add(1)
		w.bytes.Add(uint64(s.header.KVBytes()))
		w.took.Add(int64(time.Since(began)))
	}
	w.mu.Lock()
	w.busy = nil
	if err == nil && w.troubled.Load() {
		for _, x := range w.queue { // the disk is back
			x.next = time.Time{}
		}
	}
	if err == nil || !w.retry(s, err) {
		w.outcomes = append(w.outcomes, Outcome{s, err})
		w.discard(s, err)
	}
	w.mu.Unlock()
	w.ended()
	return true
}

// retry notes that a snapshot could not be written, and puts it back into the queue where another
// attempt makes sense. The caller holds mu.
func (w *Writer) retry(s *Snapshot, err error) bool {
	if errors.Is(err, ErrSuperseded) || s.Spare && FailureOf(err) != FailedIO {
		return false
	}
	if errors.Is(err, ErrTaken) { // the disk is fine, and another attempt would fail too
		w.failures[FailedTaken].Add(1)
		slog.Warn("agent's memory was not saved", "tokens", s.header.Tokens, "reason", err)
		return false
	}
	w.failed = FailureOf(err)
	w.troubled.Store(true)
	w.failures[w.failed].Add(1)
	if s.tries == 0 || w.lastTry {
		slog.Error("agent's memory was not saved; what was saved before is kept",
			"tokens", s.header.Tokens, "again", !w.lastTry, "error", err)
	}
	if errors.Is(err, errAgentName) || w.lastTry || s.stale.Load() {
		return false
	}
	for _, newer := range w.queue {
		if newer.header.Agent == s.header.Agent {
			newer.waiters = append(newer.waiters, s.waiters...)
			s.waiters = nil
			return false
		}
	}
	s.tell(err)
	wait := min(minRetry<<min(s.tries, 20), maxRetry)
	s.tries++
	s.next = time.Now().Add(wait)
	w.queue = append(w.queue, s)
	time.AfterFunc(wait, w.look)
	return true
}

// look has Run look at the queue.
func (w *Writer) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake.Broadcast()
}

// LastTry has every snapshot, from now on, tried once more at once, and given up if that fails.
func (w *Writer) LastTry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastTry = true
	w.wake.Broadcast()
}

// Run writes until Close, and then tries the snapshots that still wait once more.
func (w *Writer) Run() {
	for {
		for w.Step() {
		}
		w.mu.Lock()
		for w.ready() < 0 && !w.closed {
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
	w.closed, w.lastTry = true, true
	w.wake.Broadcast()
}

package engine

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A writer takes complete images to the disk, on a goroutine of its own, in the order they came. A newer image of an
// agent takes the place of one that still waits. unsaved, all bytes of images that are being made, wait or are being
// written, is what the limit on RAM is on; who makes images keeps to it.
type writer struct {
	shelf *shelf
	left  func() // called after an image has left

	unsaved         atomic.Int64
	saves, failures atomic.Uint64
	bytes           atomic.Uint64 // of KV, of all saves
	took            atomic.Int64  // nanoseconds, the same

	mu     sync.Mutex
	queue  []*image
	busy   *image
	closed bool
	wake   sync.Cond // on mu: the queue or closed has changed
}

func newWriter(s *shelf, left func()) *writer {
	w := &writer{shelf: s, left: left}
	w.wake.L = &w.mu
	return w
}

var errSuperseded = errors.New("the agent's memory has changed before it was saved")

// put hands a complete image over. Nobody may change it from here on.
func (w *writer) put(img *image) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.supersede(img.label.agent)
	w.queue = append(w.queue, img)
	w.wake.Broadcast()
}

// supersede takes the agent's image out that waits.
func (w *writer) supersede(agent string) {
	i := slices.IndexFunc(w.queue, func(img *image) bool { return img.label.agent == agent })
	if i >= 0 {
		w.discard(w.queue[i], errSuperseded)
		w.queue = slices.Delete(w.queue, i, i+1)
	}
}

// discard ends an image that will not be written.
func (w *writer) discard(img *image, why error) {
	w.unsaved.Add(-img.label.kvBytes())
	img.err = why
	close(img.written)
}

// find returns the newest image of an agent that is not on disk yet.
func (w *writer) find(agent string) *image {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, img := range w.queue {
		if img.label.agent == agent {
			return img
		}
	}
	if w.busy != nil && w.busy.label.agent == agent {
		return w.busy
	}
	return nil
}

// drop takes an agent's images out. One that is being written already may yet appear, but not after anything that is
// done to the shelf from here on.
func (w *writer) drop(agent string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.supersede(agent)
	if w.busy != nil && w.busy.label.agent == agent {
		w.busy.stale.Store(true)
	}
}

// step writes the next image. It reports false when there is none.
func (w *writer) step() bool {
	w.mu.Lock()
	if len(w.queue) == 0 {
		w.mu.Unlock()
		return false
	}
	img := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	w.busy = img
	w.mu.Unlock()

	began := time.Now()
	img.err = w.shelf.save(img)

	if img.err != nil {
		w.failures.Add(1)
		slog.Error("agent's memory was not saved; what was saved before is kept", "tokens", img.label.tokens, "error", img.err)
	} else {
		w.saves.Add(1)
		w.bytes.Add(uint64(img.label.kvBytes()))
		w.took.Add(int64(time.Since(began)))
	}
	w.mu.Lock()
	w.busy = nil
	w.mu.Unlock()
	w.unsaved.Add(-img.label.kvBytes())
	close(img.written)
	w.left()
	return true
}

// run writes until close, and then what is left.
func (w *writer) run() {
	for {
		for w.step() {
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

func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Broadcast()
}

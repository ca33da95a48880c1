package harness

import (
	"sync"
	"time"
)

// A barrier lets agents that ask together go on in rounds: each waits at it until all have come,
// and all are given the moment at which the round is due.
type barrier struct {
	// between is called by the last to come, before a round begins. It returns when the round is
	// due, and false when there is none.
	between func(round int) (time.Duration, bool)

	mu      sync.Mutex
	size    int // agents that come
	waiting int
	round   int // the next
	open    chan struct{}
	due     time.Duration
	over    bool
	spans   []span // of the rounds so far
}

// A span is the time from a round's being due to the end of its last request, on the client's clock.
type span struct{ due, end time.Duration }

func newBarrier(size int, between func(round int) (time.Duration, bool)) *barrier {
	return &barrier{size: size, between: between, open: make(chan struct{})}
}

// await waits until all have come and returns when their round is due and its number; false when
// there are no more.
func (b *barrier) await() (due time.Duration, round int, more bool) {
	b.mu.Lock()
	b.waiting++
	open := b.open
	if b.waiting == b.size {
		b.begin()
	}
	b.mu.Unlock()
	<-open
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.due, b.round - 1, !b.over
}

// leave takes away one who does not come any more.
func (b *barrier) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size--; b.size > 0 && b.waiting == b.size {
		b.begin()
	}
}

// begin lets the round begin. All who come are waiting, so nobody else wants the lock meanwhile.
func (b *barrier) begin() {
	if !b.over {
		due, more := b.between(b.round)
		b.due, b.over = due, !more
		if more {
			b.spans = append(b.spans, span{due, due})
		}
	}
	b.round++
	b.waiting = 0
	close(b.open)
	b.open = make(chan struct{})
}

// ended notes the end of a request of a round.
func (b *barrier) ended(round int, at time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans[round].end = max(b.spans[round].end, at)
}

// under is the time under load from a round on: what comes between rounds does not count.
func (b *barrier) under(round int) time.Duration {
	var sum time.Duration
	for _, s := range b.spans[round:] {
		sum += s.end - s.due
	}
	return sum
}

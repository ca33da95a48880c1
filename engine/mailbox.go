package engine

import (
	"context"
	"sync"
	"sync/atomic"

	"loadstone/engine/internal/kv"
)

// A mailbox takes requests, cancellations and calls from any goroutine for the engine's, which
// empties it between two steps. Its lock is held for a few instructions, never during a step.
type mailbox struct {
	waiting atomic.Int64 // requests here or in the queue; grows under mu: the limit is exact
	closed  atomic.Bool  // set under mu

	mu       sync.Mutex
	mail     mail
	lastID   uint64           // the last id given to a request
	inFlight map[kv.Agent]int // by agent, requests that wait or run

	wake chan struct{} // has one element when there is mail that the goroutine has not looked at
}

// A mail is what a mailbox has for the engine's goroutine.
type mail struct {
	submitted []*job // in order
	// A cancelled request is in submitted, or came with earlier mail.
	cancelled []cancellation
	calls     []func() // for the goroutine to call
	cancelAll bool
}

type cancellation struct {
	id    uint64
	cause error
}

func newMailbox() mailbox {
	return mailbox{wake: make(chan struct{}, 1), inFlight: make(map[kv.Agent]int)}
}

// submit takes a request and watches its context from then on. It refuses if the mailbox is
// closed, if limit requests wait already, or if perAgent requests of its agent wait or run;
// perAgent 0 is no limit.
func (m *mailbox) submit(ctx context.Context, j *job, limit, perAgent int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return ErrDraining
	}
	if n := int(m.waiting.Load()); n >= limit {
		return &QueueError{Queued: n, Limit: limit}
	}
	if agent := j.seq.who.Agent; !agent.Anonymous() {
		if n := m.inFlight[agent]; perAgent > 0 && n >= perAgent {
			return &AgentError{InFlight: n, Limit: perAgent}
		}
		m.inFlight[agent]++
	}
	m.waiting.Add(1)
	m.lastID++
	id := m.lastID
	j.seq.id = id
	// Under the lock, so that a cancellation never comes before its request.
	j.unwatch = context.AfterFunc(ctx, func() { m.cancel(id, context.Cause(ctx)) })
	m.mail.submitted = append(m.mail.submitted, j)
	m.notify()
	return nil
}

// ended notes that a request of an agent has ended.
func (m *mailbox) ended(agent kv.Agent) {
	if agent.Anonymous() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight[agent]--; m.inFlight[agent] == 0 {
		delete(m.inFlight, agent)
	}
}

// cancel cancels a request, whose context is done.
func (m *mailbox) cancel(id uint64, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail.cancelled = append(m.mail.cancelled, cancellation{id, cause})
	m.notify()
}

// call has the engine's goroutine call f.
func (m *mailbox) call(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail.calls = append(m.mail.calls, f)
	m.notify()
}

// close refuses all further requests, and cancels all that were accepted if cancelAll.
func (m *mailbox) close(cancelAll bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed.Store(true)
	m.mail.cancelAll = m.mail.cancelAll || cancelAll
	m.notify()
}

// notify wakes the engine's goroutine.
func (m *mailbox) notify() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (m *mailbox) take() mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.mail
	m.mail = mail{}
	return taken
}

// wait blocks the engine's goroutine, which has nothing to do, until notify is called. It returns
// false when the mailbox is closed and no request is in it or in flight.
func (m *mailbox) wait(inFlight bool) bool {
	m.mu.Lock()
	over := m.closed.Load() && len(m.mail.submitted) == 0 && !inFlight
	m.mu.Unlock()
	if over {
		return false
	}
	<-m.wake
	return true
}

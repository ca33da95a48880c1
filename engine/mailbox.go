package engine

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"loadstone/engine/internal/kv"
)

// A mailbox takes requests, cancellations and calls from any goroutine for the engine's, which
// empties it between two steps. Its lock is held for a few instructions, never during a step.
type mailbox struct {
	maxQueue, maxPerAgent, maxBatch int // see Config

	waiting atomic.Int64 // requests here or in the queue; grows under mu: the limit is exact
	closed  atomic.Bool  // set under mu

	mu       sync.Mutex
	mail     mail
	lastID   uint64           // the last id given to a request
	inFlight map[kv.Agent]int // by agent, requests that wait or run; anonymous ones too

	shares     map[string]Share    // by principal
	limits     map[string]kv.Limit // by principal, of the pool
	principals map[string]int      // requests that wait or run, of those that have any

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

func newMailbox(c *Config) mailbox {
	return mailbox{
		maxQueue:    c.MaxQueue,
		maxPerAgent: c.MaxPerAgent,
		maxBatch:    c.MaxBatch,
		inFlight:    make(map[kv.Agent]int),
		principals:  make(map[string]int),
		wake:        make(chan struct{}, 1),
	}
}

// submit takes a request and watches its context from then on. It returns the refusal if the
// mailbox is closed, if maxQueue requests wait already, or if maxPerAgent requests of its agent
// wait or run. It refuses a principal that has its share in flight and, where there are several,
// one of whose requests more wait than there are places left in the queue: then a principal that
// floods fills half of the queue and not all of it. (Such a threshold is Choudhury and Hahne's for
// packets in a switch, 1998.)
func (m *mailbox) submit(ctx context.Context, j *job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return ErrDraining
	}
	principal := j.seq.principal()
	own := m.principals[principal]
	queued := int(m.waiting.Load())
	places := m.maxQueue - queued
	if places <= 0 || len(m.shares) > 1 && own-m.maxBatch >= places {
		return &QueueError{Queued: queued, Limit: m.maxQueue}
	}
	if limit := m.shares[principal].InFlight; limit > 0 && own >= limit {
		return &ShareError{What: inFlightShare, Need: own + 1, Limit: limit}
	}
	if agent := j.seq.who.Agent; !agent.Anonymous() {
		if n := m.inFlight[agent]; m.maxPerAgent > 0 && n >= m.maxPerAgent {
			return &AgentError{InFlight: n, Limit: m.maxPerAgent}
		}
		m.inFlight[agent]++
	}
	m.principals[principal]++
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.principals[agent.Principal]--; m.principals[agent.Principal] == 0 {
		delete(m.principals, agent.Principal)
	}
	if agent.Anonymous() {
		return
	}
	if m.inFlight[agent]--; m.inFlight[agent] == 0 {
		delete(m.inFlight, agent)
	}
}

// setShares says what each principal may have, and what of the pool.
func (m *mailbox) setShares(shares map[string]Share, limits map[string]kv.Limit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares, m.limits = shares, limits
}

// usage returns how many requests of each principal wait or run.
func (m *mailbox) usage() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.principals)
}

// limitOf returns what a principal may have of the pool.
func (m *mailbox) limitOf(principal string) kv.Limit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limits[principal]
}

// hasLess reports whether a principal has fewer requests in flight than its part of a batch, among
// the principals that have any. It is false where there is only one.
func (m *mailbox) hasLess(principal string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	others := len(m.principals)
	if m.principals[principal] > 0 {
		others--
	}
	return len(m.shares) > 1 && others > 0 && m.principals[principal] < max(1, m.maxBatch/(others+1))
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

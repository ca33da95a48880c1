package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// A door is where requests and cancellations are left for the engine's goroutine, which empties it between two steps.
// The lock is held for a few instructions, never during a step.
type door struct {
	waiting atomic.Int64 // requests left here or in the queue; grows under mu, so that a limit on it is exact
	closed  atomic.Bool  // set under mu

	mu   sync.Mutex
	in   intake
	last uint64 // id given last

	inside map[string]int // requests of each agent that wait or run

	wake chan struct{} // of one: something was left since the goroutine last looked
}

// An intake is what was left.
type intake struct {
	came []*job // in order; who is in left came before or comes here
	left []departure
	asks []func() // to be called by the goroutine
	all  bool     // everybody leaves
}

type departure struct {
	id    uint64
	cause error
}

// enter leaves a request, unless the door is closed, limit requests wait already, or perAgent of its agent are inside,
// and watches its context from then on.
func (d *door) enter(ctx context.Context, j *job, limit, perAgent int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed.Load() {
		return ErrDraining
	}
	if n := int(d.waiting.Load()); n >= limit {
		return &QueueError{Queued: n, Limit: limit}
	}
	if agent := j.seq.agent; agent != "" {
		if n := d.inside[agent]; perAgent > 0 && n >= perAgent {
			return &AgentError{InFlight: n, Limit: perAgent}
		}
		d.inside[agent]++
	}
	d.waiting.Add(1)
	d.last++
	id := d.last
	j.seq.id = id
	// Under the lock, so that a departure is never left before its arrival.
	j.forget = context.AfterFunc(ctx, func() { d.leave(id, context.Cause(ctx)) })
	d.in.came = append(d.in.came, j)
	d.knock()
	return nil
}

// exit notes that a request of an agent has ended.
func (d *door) exit(agent string) {
	if agent == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside[agent]--; d.inside[agent] == 0 {
		delete(d.inside, agent)
	}
}

// leave leaves word that a request's context is done.
func (d *door) leave(id uint64, cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in.left = append(d.in.left, departure{id, cause})
	d.knock()
}

// ask leaves a function for the goroutine to call.
func (d *door) ask(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in.asks = append(d.in.asks, f)
	d.knock()
}

// shut closes the door to requests, and sends everybody away if all.
func (d *door) shut(all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed.Store(true)
	d.in.all = d.in.all || all
	d.knock()
}

func (d *door) knock() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// empty takes what was left.
func (d *door) empty() intake {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.in
	d.in = intake{}
	return in
}

// wait blocks a goroutine that has nothing to do until something is left or somebody knocks. It reports false when
// nothing will be and nobody is inside.
func (d *door) wait(inside bool) bool {
	d.mu.Lock()
	over := d.closed.Load() && len(d.in.came) == 0 && !inside
	d.mu.Unlock()
	if over {
		return false
	}
	<-d.wake
	return true
}

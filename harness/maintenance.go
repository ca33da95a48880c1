package harness

import (
	"context"
	"sync"
	"time"
)

// A maintenance calls a function every so often while no request is in flight. The nil maintenance
// calls nothing.
type maintenance struct {
	do    func(context.Context) error
	every time.Duration

	mu       sync.Mutex
	changed  sync.Cond // signals changes of inFlight and closed
	inFlight int
	closed   bool // the function runs, or will run as soon as nothing is in flight
}

func newMaintenance(plan *Plan) *maintenance {
	if plan.Maintain == nil {
		return nil
	}
	m := &maintenance{do: plan.Maintain, every: plan.MaintainEvery}
	m.changed.L = &m.mu
	return m
}

// enter waits until a request may be sent; leave says that it has ended.
func (m *maintenance) enter() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.closed {
		m.changed.Wait()
	}
	m.inFlight++
}

func (m *maintenance) leave() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	m.changed.Broadcast()
}

// call waits until no request is in flight and calls the function, while new requests wait.
func (m *maintenance) call(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	for m.inFlight > 0 {
		m.changed.Wait()
	}
	m.mu.Unlock()
	err := m.do(ctx)
	m.mu.Lock()
	m.closed = false
	m.changed.Broadcast()
	m.mu.Unlock()
	return err
}

// run calls the function at its interval until stop is called. It leaves out a call close to the
// end of the load. An error ends the load.
func (m *maintenance) run(ctx context.Context, x *execution) (stop func()) {
	if m == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var calling sync.WaitGroup
	calling.Go(func() {
		for at := x.start + m.every; x.sleep(ctx, at); at = max(at, x.client.Since()) + m.every {
			if d := x.load.Duration; d > 0 && x.start+d-at < m.every/2 {
				return
			}
			if err := m.call(ctx); err != nil && ctx.Err() == nil {
				x.stop(err)
			}
		}
	})
	return func() {
		cancel()
		calling.Wait()
	}
}

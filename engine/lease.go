package engine

import (
	"context"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// Where others share the directory, an engine holds an agent's lease from its request until the
// turn is on disk: each request holds it, and so does each backlog. See snapshot.Store.Hold.

// lease has this engine hold an agent's lease until release is called, which must be called in any
// case. The error is ErrTaken if another engine has the lease still, after a while.
func (e *Engine) lease(ctx context.Context, agent kv.Agent) (release func(), err error) {
	if e.disk == nil {
		return func() {}, nil
	}
	err = e.disk.store.Hold(ctx, agent, func() { e.forgetStale(agent) })
	return func() { e.disk.store.Release(agent) }, err
}

// look has this engine know what others have done with an agent, unless it holds the agent's lease.
func (e *Engine) look(agent kv.Agent) {
	if e.disk != nil {
		e.disk.store.Look(agent, func() { e.forgetStale(agent) })
	}
}

// forgetStale drops what is here of an agent that another engine may have gone on with, and not on
// disk. The error of an engine that has ended does not matter.
func (e *Engine) forgetStale(agent kv.Agent) {
	e.call(func() {
		if e.disk.backlogs[agent] != nil { // from a lease that was lost
			e.disk.writer.Fail(snapshot.FailedTaken)
		}
		e.forgetInPool(agent)
	})
}

// endLease gives up a request's part in its agent's lease, if it has one. What the request has left
// is a backlog by then, which holds the lease.
func (e *Engine) endLease(j *job) {
	if j.leased {
		e.disk.collect()
		e.disk.store.Release(j.seq.who.Agent)
	}
}

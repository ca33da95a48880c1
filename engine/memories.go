package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// AllAgents lists the memories of all principals, ordered by agent. It is for the operator of a
// server and not for its clients.
func (e *Engine) AllAgents() ([]Memory, error) {
	return e.agents(func(kv.Agent) bool { return true })
}

// agents lists the memories of the agents that are wanted. It asks the engine's goroutine first,
// while no request gets on, for what that alone knows, and what is on disk after that: the other
// way around, an agent that was deleted meanwhile could be there with an older memory.
func (e *Engine) agents(wanted func(kv.Agent) bool) ([]Memory, error) {
	if e.disk != nil {
		e.disk.store.Refresh()
	}
	var hot []Memory
	if err := e.call(func() { hot = e.notOnDisk(wanted) }); err != nil {
		return nil, err
	}
	all := make(map[kv.Agent]Memory)
	anyDurable := false
	if e.disk != nil {
		for _, x := range e.disk.store.List(wanted) {
			all[x.Header.Agent] = onDisk(&x)
		}
		anyDurable = e.disk.store.AnyDurable()
	}
	for _, m := range hot {
		all[m.agent()] = m
	}
	list := make([]Memory, 0, len(all))
	for agent, m := range all {
		m.Durable = anyDurable && e.isDurable(agent)
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Memory) int {
		return cmp.Or(cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Principal, b.Principal))
	})
	return list, nil
}

// notOnDisk returns, on the engine's goroutine, the memories of wanted agents of which there is
// more to say than what their files say.
func (e *Engine) notOnDisk(wanted func(kv.Agent) bool) (list []Memory) {
	file := func(agent kv.Agent) (m Memory) {
		if e.disk != nil {
			if x, ok := e.disk.store.Find(agent); ok {
				m = onDisk(&x)
			}
		}
		return m
	}
	if e.disk != nil {
		e.disk.settle()
		e.disk.collect()
	}
	for c := range e.sched.store.Agents() {
		if !wanted(c.Agent) {
			continue
		}
		if m, ok := e.inPool(c, file(c.Agent)); ok {
			list = append(list, e.withBacklog(m))
		}
	}
	if e.disk == nil {
		return list
	}
	for agent := range e.disk.backlogs {
		if !wanted(agent) {
			continue
		}
		m := file(agent)
		if own := e.sched.store.Agent(agent); own != nil {
			if _, listed := e.inPool(own, m); listed {
				continue
			}
		}
		list = append(list, e.withBacklog(cmp.Or(m, unknownMemory(agent))))
	}
	return list
}

func (e *Engine) create(agent kv.Agent, durable bool) (Memory, error) {
	if e.disk == nil {
		return Memory{}, ErrNoDir
	}
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return Memory{}, err
	}
	if ok, err := e.knows(agent); ok || err != nil {
		return Memory{}, cmp.Or(err, fmt.Errorf("agent %q: %w", agent.Name, ErrExists))
	}
	if err := e.disk.store.Create(agent, durable); err != nil {
		return Memory{}, err
	}
	return e.made(agent, Memory{Tier: TierDisk, Saved: true, Durable: durable, Created: time.Now()})
}

// made returns a memory that was just made: as it is, or as it was made if it has been deleted
// since.
func (e *Engine) made(agent kv.Agent, as Memory) (Memory, error) {
	m, err := e.inspect(agent)
	if errors.Is(err, ErrNoMemory) {
		as.Principal, as.Agent = agent.Principal, agent.Name
		return as, nil
	}
	return m, err
}

// Durable reports whether memories are kept on disk.
func (e *Engine) Durable() bool { return e.disk != nil }

func (e *Engine) knows(agent kv.Agent) (found bool, err error) {
	if e.look(agent); e.disk != nil {
		if _, found = e.disk.store.Find(agent); found {
			return true, nil
		}
	}
	err = e.call(func() {
		found = e.sched.store.Agent(agent) != nil ||
			e.disk != nil && e.disk.backlogs[agent] != nil
	})
	return found, err
}

func (e *Engine) inspect(agent kv.Agent) (Memory, error) {
	e.look(agent)
	var m Memory
	found := false
	err := e.call(func() {
		if e.disk != nil {
			e.disk.settle()
			e.disk.collect()
			if x, ok := e.disk.store.Find(agent); ok {
				m, found = onDisk(&x), true
			}
		}
		if own := e.sched.store.Agent(agent); own != nil {
			if hot, ok := e.inPool(own, m); ok || !found {
				m, found = hot, true
			}
		}
		if !found && e.disk != nil && e.disk.backlogs[agent] != nil {
			m, found = unknownMemory(agent), true
		}
		if found {
			m = e.withBacklog(m)
			m.Durable = e.isDurable(agent)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	return m, err
}

func (e *Engine) conversation(agent kv.Agent, salt string) ([]int32, error) {
	release, _ := e.lease(context.Background(), agent) // refused, it is what the disk has
	defer release()
	var tokens []int32
	whole := false
	err := e.call(func() {
		if c := e.sched.store.Agent(agent); c != nil && c.Salt == salt {
			tokens = c.Tokens
			if whole = !c.Partial(); whole {
				tokens = slices.Concat(tokens, c.Last)
			}
		}
		if e.disk != nil && !whole {
			if s := e.disk.unsavedTokens(agent, salt); s != nil {
				tokens, whole = s, true
			}
		}
	})
	if err != nil || whole || e.disk == nil {
		return slices.Clone(tokens), err
	}
	if saved := e.disk.store.Tokens(agent, salt); saved != nil {
		return saved, nil
	}
	return slices.Clone(tokens), nil
}

// onSaved calls f while this engine holds an agent's lease and the agent's memory is on disk.
func (e *Engine) onSaved(agent kv.Agent, f func(s *snapshot.Store) error) error {
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return err
	}
	if err := e.save(agent); err != nil {
		return err
	}
	return f(e.disk.store)
}

func (e *Engine) pin(agent kv.Agent, pinned bool) error {
	return e.onSaved(agent, func(s *snapshot.Store) error { return s.Pin(agent, pinned) })
}

// isDurable reports whether each request of an agent is durable.
func (e *Engine) isDurable(agent kv.Agent) bool {
	return e.disk != nil && agent.Name != "" && e.disk.store.Durable(agent)
}

// setDurable says whether each request of an agent is durable. The agent's memory is on disk before
// it returns, as it is now.
func (e *Engine) setDurable(agent kv.Agent, durable bool) error {
	return e.onSaved(agent, func(s *snapshot.Store) error { return s.SetDurable(agent, durable) })
}

func (e *Engine) forget(agent kv.Agent) error {
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return err
	}
	found := false
	forget := func(take func()) error {
		return e.call(func() { // at one moment, so that nobody sees an older memory in between
			found = e.forgetInPool(agent)
			take()
		})
	}
	if e.disk == nil {
		err = forget(func() {})
	} else {
		saved := false
		saved, err = e.disk.store.Remove(agent, forget)
		found = found || saved
	}
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	return nil
}

// forgetInPool drops what is not on disk, on the engine's goroutine.
func (e *Engine) forgetInPool(agent kv.Agent) bool {
	if e.disk != nil {
		waits := e.disk.writer.Find(agent) != nil
		e.disk.writer.Drop(agent)
		return e.disk.forget(agent) || waits
	}
	return e.sched.store.Forget(agent)
}

func (e *Engine) export(agent kv.Agent, to string, w io.Writer) error {
	return e.onSaved(agent, func(s *snapshot.Store) error {
		err := s.Export(agent, to, w)
		if err != nil {
			e.save(agent) // where the file was set aside and the pool has all of it; an error is logged
		}
		return err
	})
}

func (e *Engine) importFile(principal string, r io.Reader) (Memory, error) {
	if e.disk == nil {
		return Memory{}, ErrNoDir
	}
	var imported Memory
	place := func(agent kv.Agent, take func() error) error {
		var failed error
		err := e.call(func() { // at one moment, so that nobody sees an older memory in between
			if failed = take(); failed == nil {
				e.forgetInPool(agent)
				x, _ := e.disk.store.Find(agent)
				imported = onDisk(&x)
			}
		})
		return cmp.Or(err, failed)
	}
	release := func() {}
	defer func() { release() }()
	hold := func(agent kv.Agent) (err error) {
		release, err = e.lease(context.Background(), agent)
		return err
	}
	h, err := e.disk.store.Import(principal, r, hold, place)
	if err != nil {
		return Memory{}, err
	}
	return e.made(h.Agent, imported)
}

// saveTries is how often a memory is saved again because it has changed on its way to the disk.
const saveTries = 20

// save brings an agent's memory to the disk now, and waits for it. If other requests of the agent
// change the memory meanwhile, the newer one is saved.
func (e *Engine) save(agent kv.Agent) (err error) {
	if e.disk == nil {
		return ErrNoDir
	}
	for range saveTries {
		if err = e.trySave(agent); !errors.Is(err, snapshot.ErrSuperseded) {
			break
		}
	}
	return err
}

func (e *Engine) trySave(agent kv.Agent) error {
	var a *snapshot.Attempt
	if err := e.call(func() { a = e.disk.urge(agent) }); err != nil || a == nil {
		return err
	}
	select {
	case <-a.Done():
		return a.Err()
	case <-e.done:
		return ErrDraining
	}
}

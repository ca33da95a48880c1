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

// A Memory says what is known of an agent's memory, without its contents.
type Memory struct {
	Principal string // its PrincipalID
	Agent     string
	Tier      string // TierHot: all of it is in the pool; TierDisk: it is on disk, or partly
	Tokens    int    // of the conversation as it was left last
	Bytes     int64  // of its KV
	Saved     bool   // all of it is on disk
	Pinned    bool
	// Durable says that each request of the agent is one with Request.Durable.
	Durable bool

	SavedTokens int           // of the conversation, as it is on disk
	Unsaved     time.Duration // age of the oldest turn that is not on disk; 0: all are

	Created time.Time
	Used    time.Time
}

// What the methods below fail with. All but ErrNoDir are wrapped in errors that say more.
var (
	// ErrNoMemory says that an agent has no memory.
	ErrNoMemory = snapshot.ErrNoMemory
	// ErrNoDir refuses what needs memories on disk.
	ErrNoDir = errors.New("memories are not kept on disk; give the engine a directory for them")
	// ErrExists refuses to create an agent that has a memory.
	ErrExists = snapshot.ErrExists
	// ErrNoRoom refuses a memory that the quota has no room for.
	ErrNoRoom = snapshot.ErrNoRoom
	// ErrDiskFull refuses a memory that the disk has no room for, although older ones were deleted.
	ErrDiskFull = snapshot.ErrDiskFull
	// ErrCorrupt says that a file is not, byte for byte, as it was written.
	ErrCorrupt = snapshot.ErrCorrupt
	// ErrOtherPrincipal refuses a file that was exported for another principal.
	ErrOtherPrincipal = snapshot.ErrOtherPrincipal
	// ErrForged says that an export for a principal was not made by an engine with the same keys,
	// or was changed since.
	ErrForged = snapshot.ErrForged
	// ErrOtherModel says that a memory was made by another model, or with another layout of its KV.
	ErrOtherModel = snapshot.ErrOtherModel
	// ErrSuperseded says that a memory was not saved because the agent's owner has deleted it, or
	// imported another, before.
	ErrSuperseded = snapshot.ErrSuperseded
	// ErrTaken says that another engine that shares the directory has the agent's memory at present,
	// because it answers a request of the agent or has not saved it yet.
	ErrTaken = snapshot.ErrTaken
)

// MemoryFormats lists the formats of memory files, on disk and exported, that this version reads.
func MemoryFormats() []string { return snapshot.Formats() }

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

// unknownMemory returns a memory of which nothing but the agent is known.
func unknownMemory(agent kv.Agent) Memory {
	return Memory{Principal: agent.Principal, Agent: agent.Name}
}

func (m *Memory) agent() kv.Agent { return kv.Agent{Principal: m.Principal, Name: m.Agent} }

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

// onDisk returns what is known of an agent's file.
func onDisk(x *snapshot.Entry) Memory {
	return Memory{
		Principal: x.Header.Agent.Principal,
		Agent:     x.Header.Agent.Name,
		Tier:      TierDisk,
		Tokens:    x.Header.Tokens,
		Bytes:     x.Header.KVBytes(),
		Saved:     true,
		Pinned:    x.Pinned,
		Created:   x.Header.Created,
		Used:      x.Used,

		SavedTokens: x.Header.Tokens,
	}
}

// inPool returns what is known of an agent's chain in the pool, combined with what is known of its
// file. It returns the latter, and false, when the file has more of the memory.
func (e *Engine) inPool(c *kv.Chain, file Memory) (Memory, bool) {
	if c.Partial() && file.Agent != "" {
		return file, false
	}
	return Memory{
		Principal: c.Agent.Principal,
		Agent:     c.Agent.Name,
		Tier:      TierHot,
		Tokens:    len(c.Tokens),
		Bytes:     e.sched.store.ChainBytes(c),
		Saved:     file.Saved,
		Pinned:    file.Pinned,
		Created:   cmp.Or(file.Created, c.Created),
		Used:      c.Used,

		SavedTokens: file.SavedTokens,
	}, true
}

// withBacklog adds to what is known of a memory which of its turns are not on disk, and whether it
// is pinned, which it can be without a file. The newest of the turns may be nowhere but in a chain
// that the agent has gone on from, or in a snapshot.
func (e *Engine) withBacklog(m Memory) Memory {
	if e.disk == nil {
		return m
	}
	m.Pinned = e.disk.store.Pinned(m.agent())
	b := e.disk.backlogs[m.agent()]
	if b == nil {
		return m
	}
	m.Saved, m.Unsaved = false, max(time.Since(b.since), 1)
	own := e.sched.store.Agent(m.agent())
	switch {
	case own != nil && !own.Partial():
	case b.chain != nil && b.chain.Dirty:
		m.Tier, m.Tokens = TierHot, len(b.chain.Tokens)
		m.Bytes = e.sched.store.ChainBytes(b.chain)
		m.Created, m.Used = cmp.Or(m.Created, b.chain.Created), b.chain.Used
	case b.saving != nil:
		h := b.saving.Header()
		m.Tier, m.Tokens, m.Bytes = TierDisk, h.Tokens, h.KVBytes()
		m.Created, m.Used = cmp.Or(m.Created, h.Created), cmp.Or(m.Used, h.Saved)
	}
	return m
}

func (e *Engine) pin(agent kv.Agent, pinned bool) error {
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return err
	}
	if err := e.save(agent); err != nil {
		return err
	}
	return e.disk.store.Pin(agent, pinned)
}

// isDurable reports whether each request of an agent is durable.
func (e *Engine) isDurable(agent kv.Agent) bool {
	return e.disk != nil && agent.Name != "" && e.disk.store.Durable(agent)
}

// setDurable says whether each request of an agent is durable. The agent's memory is on disk before
// it returns, as it is now.
func (e *Engine) setDurable(agent kv.Agent, durable bool) error {
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return err
	}
	if err := e.save(agent); err != nil {
		return err
	}
	return e.disk.store.SetDurable(agent, durable)
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
	release, err := e.lease(context.Background(), agent)
	defer release()
	if err != nil {
		return err
	}
	if err := e.save(agent); err != nil {
		return err
	}
	if err = e.disk.store.Export(agent, to, w); err != nil {
		e.save(agent) // where the file was set aside and the pool has all of it; an error is logged
	}
	return err
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

// call has the engine's goroutine call f between two steps.
func (e *Engine) call(f func()) error {
	ran := make(chan struct{})
	e.mailbox.call(func() {
		f()
		close(ran)
	})
	select {
	case <-ran:
		return nil
	case <-e.deaf:
		return ErrDraining
	}
}

package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Memory is what is known of an agent's memory, without its contents.
type Memory struct {
	Agent   string
	Tier    string // "hot": in the pool, all of it; "warm": on disk, or in part
	Tokens  int    // of the conversation as it was left last
	Bytes   int64  // of its KV
	Saved   bool   // that is on disk
	Pinned  bool
	Created time.Time
	Used    time.Time
}

var (
	// ErrNoMemory is what is said of an agent that has none.
	ErrNoMemory = errors.New("there is no memory of it")
	// ErrNoDir refuses what needs memories on disk.
	ErrNoDir = errors.New("memories are not kept on disk; give the engine a directory for them")
	// ErrExists refuses to create what is there.
	ErrExists = errors.New("it exists already")
	// ErrNoRoom refuses a memory that the quota has no room for.
	ErrNoRoom = errors.New("no room")
	// ErrCorrupt is said of a file that is not, byte for byte, what a memory is written as.
	ErrCorrupt = errors.New("corrupt")
	// ErrOtherModel is said of a memory that another model made, or one with another layout of its KV.
	ErrOtherModel = errors.New("model_changed")
)

// Agents lists all memories, by agent. Like everything here that asks the engine's goroutine, it waits for a step, and
// fails with ErrDraining when the engine has ended.
func (e *Engine) Agents() ([]Memory, error) {
	all := make(map[string]Memory)
	if e.warm != nil {
		for _, x := range e.warm.shelf.list() {
			all[x.label.agent] = x.memory()
		}
	}
	err := e.call(func() {
		for agent, m := range e.sched.store.agents {
			if hot, ok := e.hot(m, all[agent]); ok {
				all[agent] = hot
			}
		}
	})
	if err != nil {
		return nil, err
	}
	list := make([]Memory, 0, len(all))
	for _, m := range all {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Memory) int { return cmp.Compare(a.Agent, b.Agent) })
	return list, nil
}

// Create makes an agent with an empty memory, on disk before Create returns, or fails with ErrExists.
func (e *Engine) Create(agent string) (Memory, error) {
	if e.warm == nil {
		return Memory{}, ErrNoDir
	}
	if ok, err := e.Knows(agent); ok || err != nil {
		return Memory{}, cmp.Or(err, fmt.Errorf("agent %q: %w", agent, ErrExists))
	}
	if err := e.warm.shelf.create(agent, e.warm.label); err != nil {
		return Memory{}, err
	}
	return e.Inspect(agent)
}

// Durable says whether memories are kept on disk.
func (e *Engine) Durable() bool { return e.warm != nil }

// Knows says whether an agent has a memory. It waits for a step only where there is none on disk.
func (e *Engine) Knows(agent string) (found bool, err error) {
	if e.warm != nil {
		if _, found = e.warm.shelf.find(agent); found {
			return true, nil
		}
	}
	err = e.call(func() { found = e.sched.store.agents[agent] != nil || e.warm != nil && e.warm.unsaved(agent) != nil })
	return found, err
}

// Inspect says what is known of one agent's memory, or ErrNoMemory.
func (e *Engine) Inspect(agent string) (Memory, error) {
	var m Memory
	found := false
	if e.warm != nil {
		if x, ok := e.warm.shelf.find(agent); ok {
			m, found = x.memory(), true
		}
	}
	err := e.call(func() {
		if own := e.sched.store.agents[agent]; own != nil {
			if hot, ok := e.hot(own, m); ok || !found {
				m, found = hot, true
			}
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("agent %q: %w", agent, ErrNoMemory)
	}
	return m, err
}

// Tokens are an agent's conversation as its last request left it, answer included, nil when it has no memory. It wakes
// nobody: of a file it reads no KV.
func (e *Engine) Tokens(agent string) ([]int32, error) {
	var tokens []int32
	whole := false
	err := e.call(func() {
		if m := e.sched.store.agents[agent]; m != nil {
			tokens = m.tokens
			if whole = !m.behind(); whole {
				tokens = slices.Concat(tokens, m.last)
			}
		}
		if e.warm != nil && !whole {
			if img := e.warm.unsaved(agent); img != nil {
				tokens, whole = img.tokens, true
			}
		}
	})
	if err != nil || whole || e.warm == nil {
		return slices.Clone(tokens), err
	}
	if saved := e.warm.shelf.tokens(agent); saved != nil {
		return saved, nil
	}
	return slices.Clone(tokens), nil
}

func (x *entry) memory() Memory {
	return Memory{
		Agent: x.label.agent, Tier: "warm", Tokens: x.label.tokens, Bytes: x.label.kvBytes(), Saved: true, Pinned: x.pinned,
		Created: x.label.created, Used: x.used,
	}
}

// hot is what is known of a memory in the pool, over what is known of the agent's file. It reports false when the file
// is the better source.
func (e *Engine) hot(m *memory, file Memory) (Memory, bool) {
	if m.behind() && file.Agent != "" {
		return file, false
	}
	h := Memory{
		Agent: m.agent, Tier: "hot", Tokens: len(m.tokens), Bytes: e.layout.bytes(len(m.tokens), m.low),
		Saved: file.Saved && !m.dirty && e.warm.writer.find(m.agent) == nil, Pinned: file.Pinned, Created: cmp.Or(file.Created, m.made), Used: m.kept,
	}
	return h, true
}

// Pin protects an agent's memory on disk from DiskBytes and TTL, across restarts too. Only the pool may still evict it.
func (e *Engine) Pin(agent string) error { return e.pin(agent, true) }

// Unpin undoes Pin.
func (e *Engine) Unpin(agent string) error { return e.pin(agent, false) }

func (e *Engine) pin(agent string, pinned bool) error {
	if err := e.save(agent); err != nil {
		return err
	}
	return e.warm.shelf.pin(agent, pinned)
}

// Forget deletes an agent's memory, wherever it is. A request of the agent that is running leaves a new one.
func (e *Engine) Forget(agent string) error {
	found := false
	err := e.call(func() { found = e.forgetHot(agent) })
	if err != nil {
		return err
	}
	if e.warm != nil {
		found = e.warm.writer.find(agent) != nil || found
		e.warm.writer.drop(agent)
		found = e.warm.shelf.remove(agent) || found
	}
	if !found {
		return fmt.Errorf("agent %q: %w", agent, ErrNoMemory)
	}
	return nil
}

// forgetHot drops what is not on disk, on the engine's goroutine.
func (e *Engine) forgetHot(agent string) bool {
	if e.warm != nil {
		return e.warm.forget(agent)
	}
	m := e.sched.store.agents[agent]
	delete(e.sched.store.evicted, agent)
	if m != nil {
		m.cut = false
		e.sched.store.forget(m)
	}
	return m != nil
}

// Export writes an agent's memory, as its last finished request left it, as one file that Import takes on any machine
// with the same model and block size. The file holds the tokens of the conversation: treat it like the conversation.
func (e *Engine) Export(agent string, w io.Writer) error {
	if err := e.save(agent); err != nil {
		return err
	}
	return e.warm.shelf.copyOut(agent, w)
}

// Import takes in a file that Export wrote, in place of what there is of its agent, and says whose it is. All of it is
// verified before anything changes.
func (e *Engine) Import(r io.Reader) (Memory, error) {
	if e.warm == nil {
		return Memory{}, ErrNoDir
	}
	l, err := e.warm.shelf.copyIn(r, func(agent string) error {
		err := e.call(func() { e.forgetHot(agent) })
		e.warm.writer.drop(agent)
		return err
	})
	if err != nil {
		return Memory{}, err
	}
	return e.Inspect(l.agent)
}

// save brings an agent's memory to the disk now, and waits for it.
func (e *Engine) save(agent string) error {
	if e.warm == nil {
		return ErrNoDir
	}
	var img *image
	if err := e.call(func() { img = e.warm.urge(agent) }); err != nil || img == nil {
		return err
	}
	select {
	case <-img.written:
		return img.err
	case <-e.done:
		return ErrDraining
	}
}

// call has the engine's goroutine call f between two steps.
func (e *Engine) call(f func()) error {
	ran := make(chan struct{})
	e.door.ask(func() {
		f()
		close(ran)
	})
	select {
	case <-ran:
		return nil
	case <-e.done:
		return ErrDraining
	}
}

package engine

import (
	"cmp"
	"errors"
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

// unknownMemory returns a memory of which nothing but the agent is known.
func unknownMemory(agent kv.Agent) Memory {
	return Memory{Principal: agent.Principal, Agent: agent.Name}
}

func (m *Memory) agent() kv.Agent { return kv.Agent{Principal: m.Principal, Name: m.Agent} }

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

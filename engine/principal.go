package engine

import (
	"crypto/rand"
	"encoding/hex"
	"io"

	"loadstone/engine/internal/kv"
)

// A Principal is one owner's side of an engine. Its agents are its own: the same name under two
// principals is two agents. A method that is asked for an agent of another principal fails with
// ErrNoMemory, as it does for an agent that does not exist. The name of a principal is empty if
// the engine has only one.
//
// Like all methods that ask the engine's goroutine, those of a Principal wait for a step, and fail
// with ErrDraining when the engine has ended.
type Principal struct {
	engine *Engine
	id     string
}

// Principal returns the principal with the given name.
func (e *Engine) Principal(name string) Principal { return Principal{e, PrincipalID(name)} }

// PrincipalID returns the id that stands for a principal's name wherever the engine keeps it, in
// files too. It is a hash of the name, so that a memory file does not name its owner, and "" for
// the empty name.
func PrincipalID(name string) string {
	if name == "" {
		return ""
	}
	sum := kv.Digest("principal", name)
	return hex.EncodeToString(sum[:16])
}

// saltID returns the id that memories have in place of a principal's salt; "" for no salt.
func saltID(principal, salt string) string {
	if salt == "" {
		return ""
	}
	sum := kv.Digest("salt", principal, salt)
	return hex.EncodeToString(sum[:16])
}

func (p Principal) agent(name string) kv.Agent { return kv.Agent{Principal: p.id, Name: name} }

// Sharing says which requests may find a prefix that another one has left in the pool. A request
// always finds what its own agent has left with the same salt.
type Sharing int

const (
	ShareOwn  Sharing = iota // those of the same principal
	ShareNone                // none
	ShareAll                 // all of them: everybody can find out what others have sent
)

// identity returns the principal and the agent of a request, and the root at which it enters the
// prefix index. A salt only divides the memories of one principal: two principals that send the
// same salt share nothing, not even under ShareAll.
func (e *Engine) identity(r *Request) kv.Identity {
	id := PrincipalID(r.Principal)
	who := kv.Identity{Agent: kv.Agent{Principal: id, Name: r.Agent}, Salt: saltID(id, r.Salt)}
	switch {
	case e.cfg.Sharing == ShareNone && r.Agent == "":
		who.Root, who.Alone = kv.NewRoot("request", rand.Text()), true
	case e.cfg.Sharing == ShareNone:
		who.Root = kv.NewRoot("agent", id, r.Agent, r.Salt)
	case r.Salt != "":
		who.Root = kv.NewRoot("salt", id, r.Salt)
	case id != "" && e.cfg.Sharing == ShareOwn:
		who.Root = kv.NewRoot("principal", id)
	}
	return who
}

// Agents lists the principal's memories, ordered by agent.
func (p Principal) Agents() ([]Memory, error) {
	return p.engine.agents(func(a kv.Agent) bool { return a.Principal == p.id })
}

// DiskBytes returns what the files of the principal's memories take.
func (p Principal) DiskBytes() int64 {
	if p.engine.disk == nil {
		return 0
	}
	return p.engine.disk.store.Sizes()[p.id]
}

// Create makes an agent with an empty memory, which is on disk before Create returns, and so is that
// the agent is durable (see SetDurable). It fails with ErrExists if the agent has a memory.
func (p Principal) Create(agent string, durable bool) (Memory, error) {
	return p.engine.create(p.agent(agent), durable)
}

// Knows reports whether an agent has a memory. It waits for a step only where there is none on
// disk.
func (p Principal) Knows(agent string) (bool, error) { return p.engine.knows(p.agent(agent)) }

// Inspect returns what is known of one agent's memory, or fails with ErrNoMemory.
func (p Principal) Inspect(agent string) (Memory, error) { return p.engine.inspect(p.agent(agent)) }

// Tokens returns an agent's conversation as its last request left it, answer included, nil when the
// agent has no memory, or only one that was left with another salt. It brings no KV back into the
// pool: of a file it reads the tokens alone.
func (p Principal) Tokens(agent, salt string) ([]int32, error) {
	return p.engine.conversation(p.agent(agent), saltID(p.id, salt))
}

// Pin protects an agent's memory on disk from DiskBytes and TTL, across restarts too, and until
// Unpin or Forget: where a file is set aside, because it is damaged or of another model, the
// agent's next one is pinned. The pool may still evict its copy.
func (p Principal) Pin(agent string) error { return p.engine.pin(p.agent(agent), true) }

// Unpin undoes Pin.
func (p Principal) Unpin(agent string) error { return p.engine.pin(p.agent(agent), false) }

// SetDurable sets whether each request of an agent is durable, as if it had Request.Durable. The
// setting lasts across restarts and when the disk evicts the agent's memory; Forget ends it. When
// SetDurable returns, the setting and the present memory are on disk.
func (p Principal) SetDurable(agent string, durable bool) error {
	return p.engine.setDurable(p.agent(agent), durable)
}

// Durable reports whether each request of an agent is durable; see SetDurable. It does not wait for
// a step.
func (p Principal) Durable(agent string) bool {
	if d := p.engine.disk; d != nil && agent != "" {
		d.store.LookDurable(p.agent(agent))
	}
	return p.engine.isDurable(p.agent(agent))
}

// Forget deletes an agent's memory, wherever it is. If a request of the agent is running, it
// leaves a new memory.
func (p Principal) Forget(agent string) error { return p.engine.forget(p.agent(agent)) }

// Export writes an agent's memory, as its last finished request left it, as one file. Import takes
// it on any machine with the same model and block size, from the same principal. The file holds
// the tokens of the conversation: treat it like the conversation.
//
// The file of a principal with a name has a tag. Only an engine with the same Config.SealKeys
// accepts it or, without SealKeys, one with the same Config.Dir.
func (p Principal) Export(agent string, w io.Writer) error {
	return p.engine.export(p.agent(agent), p.id, w)
}

// ExportFor is Export for another principal. Only that principal can import the file. It need not
// exist yet.
func (p Principal) ExportFor(principal, agent string, w io.Writer) error {
	return p.engine.export(p.agent(agent), PrincipalID(principal), w)
}

// Import takes in a file that was exported for the principal, in place of its agent's present
// memory. It returns the new memory. All of the file is verified before anything changes. It fails
// with ErrOtherPrincipal if the file was exported for another principal, and with ErrForged if it
// was changed or made elsewhere.
func (p Principal) Import(r io.Reader) (Memory, error) { return p.engine.importFile(p.id, r) }

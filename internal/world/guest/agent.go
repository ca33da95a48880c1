package main

import "slices"

// What a client knows is not always certain: a call that was cut off may have had its effect or
// not.
type known int

const (
	maybe known = iota
	yes
	no
)

func knownBool(b bool) known {
	if b {
		return yes
	}
	return no
}

// A principal has a key, and agents.
type principal struct {
	name    string
	key     string
	keys    int // so far
	revoked bool
	agents  map[string]*agent
	order   []string // of their names
	sent    []conversation
}

// A conversation is the tokens that a request has and leaves at the end.
type conversation struct {
	asker
	tokens []int32
}

// An asker is what divides a principal's cache where it is divided.
type asker struct{ agent, salt string }

func newPrincipal(name string) *principal {
	return &principal{name: name, key: name + "'s 0", agents: map[string]*agent{}}
}

// secret is a word that every conversation of the principal has, and no other.
func (p *principal) secret() string { return "#" + p.name + "#" }

func (p *principal) agent(name string) *agent {
	a := p.agents[name]
	if a == nil {
		a = &agent{name: name, exists: no, pinned: no, durable: no}
		p.agents[name] = a
		p.order = append(p.order, name)
	}
	return a
}

// maxCached returns how many tokens of a prompt the server can have from what the principal itself
// has sent, without the requests from number own up to end.
func (p *principal) maxCached(own, end int, prompt []int32, shared bool) (longest int) {
	asked := p.sent[own].asker
	for i, c := range p.sent {
		if i >= own && i < end || c.salt != asked.salt ||
			!shared && (c.agent == "" || c.agent != asked.agent) {
			continue
		}
		n := 0
		for n < min(len(c.tokens), len(prompt)) && c.tokens[n] == prompt[n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

// An agent is what its client knows of it.
type agent struct {
	name     string
	clients  int
	exists   known
	pinned   known
	durable  known
	promised int // tokens of its conversation that the disk has for certain
	left     int // tokens that its last turn has left in the pool or on disk; 0: unknown
	// rotten says that its file may have rotted, which the server cannot know before it reads it. It
	// is so until a newer file has certainly taken its place.
	rotten    bool
	exported  []byte
	exportLen int
	replaced  int        // requests that delete the memory or import another, so far
	replacing int        // of them under way
	calls     []madeCall // of the tool, which it was answered with; the newest last
	hidden    *agent     // what was known when the disk failed to read; nil: it holds no more
}

// A madeCall is a call of the tool as the model wrote it.
type madeCall struct{ salt, text string }

func (a *agent) noteCall(m madeCall) {
	a.calls = append(slices.DeleteFunc(a.calls, func(o madeCall) bool { return o == m }), m)
}

// replace notes that a request begins which deletes the memory or imports another. The function
// that it returns notes its end.
func (a *agent) replace() (ended func()) {
	a.replaced++
	a.replacing++
	return func() { a.replacing-- }
}

// uncertain notes that a change may have come or not.
func (a *agent) uncertain() {
	a.exists, a.pinned, a.durable, a.promised, a.left = maybe, maybe, maybe, 0, 0
}

// promise notes that the disk has so many tokens of its conversation for certain, in a file that is
// newer than all rot.
func (a *agent) promise(tokens int) {
	a.promised, a.rotten = tokens, false
}

// found notes that the server knows of it. Where its file may have rotted, that is so until the
// server finds out.
func (a *agent) found() {
	if a.exists = yes; a.rotten {
		a.exists = maybe
	}
}

// evictable notes that the disk was full, so that a memory may be deleted that is not pinned.
func (a *agent) evictable() {
	if a.pinned != yes {
		a.unreadable()
	}
}

// show notes that all files can have been read again. One that the disk has failed to read is
// there, unless the agent has got another memory since.
func (a *agent) show() {
	if was := a.hidden; was != nil {
		a.exists, a.promised, a.hidden = was.exists, was.promised, nil
	}
}

// unreadable notes that a file of an agent may be set aside. That it is pinned or durable outlives
// the file.
func (a *agent) unreadable() {
	a.promised, a.left, a.hidden = 0, 0, nil
	if a.exists == yes {
		a.exists = maybe
	}
}

// rot notes that its file may have rotted.
func (a *agent) rot() {
	a.unreadable()
	a.rotten = true
}

// unseen notes that the disk has failed to read. A memory whose pin cannot be looked up counts as
// pinned.
func (a *agent) unseen() {
	was := a.hidden
	if was == nil {
		was = new(*a)
	}
	if a.unreadable(); a.pinned == no {
		a.pinned = maybe
	}
	a.hidden = was
}

// doubt has something happen to all agents.
func (w *world) doubt(f func(*agent)) {
	for _, name := range w.names {
		p := w.principals[name]
		for _, a := range p.order {
			f(p.agents[a])
		}
	}
}

// crash is what a loss of power leaves of what a client knows.
func (p *principal) crash() {
	for _, name := range p.order {
		for a := p.agents[name]; a != nil; a = a.hidden {
			if a.left = 0; a.promised == 0 && a.exists == yes {
				a.exists = maybe
			}
		}
	}
}

// restart is what an orderly end of a server leaves: all of it, where the disk has not failed.
func (p *principal) restart(clean, forgetful bool) {
	for _, name := range p.order {
		for a := p.agents[name]; a != nil; a = a.hidden {
			a.restart(clean, forgetful)
		}
	}
}

func (a *agent) restart(clean, forgetful bool) {
	if forgetful && a.pinned != yes || !clean {
		if a.promised == 0 && a.exists == yes {
			a.exists = maybe
		}
	} else if a.exists == yes && a.left > 0 {
		a.promise(a.left)
	} else if a.exists == yes && a.promised == 0 {
		// A full disk may have deleted its file. The end writes it again, if the pool still had
		// the memory and the disk has room, neither of which is known here.
		a.exists = maybe
	}
	a.left = 0
}

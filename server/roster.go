package server

import (
	"slices"
	"sync"

	"loadstone/engine"
)

// A roster is the list of the agents that were used last, as it was a moment ago. The engine
// answers only between two steps, so a goroutine waits for it and no request does.
type roster struct {
	mu         sync.Mutex
	refreshing bool
	list       []engine.Memory // the last used first
	known      int             // how many agents there are
	usage      []engine.Usage  // of each principal
}

// principals returns what each principal has, as it is known, and begins to refresh it.
func (r *roster) principals(e *engine.Engine) []engine.Usage {
	r.latest(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usage
}

const maxRoster = 50

// latest returns the list as it is known, and begins to refresh it for the next call.
func (r *roster) latest(e *engine.Engine) (list []engine.Memory, known int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refreshing {
		r.refreshing = true
		go r.refresh(e)
	}
	return r.list, r.known
}

func (r *roster) refresh(e *engine.Engine) {
	all, err := e.AllAgents()
	var usage []engine.Usage
	if err == nil {
		usage, err = e.Usage()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refreshing = false
	if err != nil {
		return // the engine has ended; the old list is good enough
	}
	r.usage = usage
	slices.SortStableFunc(all, func(a, b engine.Memory) int { return b.Used.Compare(a.Used) })
	r.list, r.known = slices.Clone(all[:min(len(all), maxRoster)]), len(all)
}

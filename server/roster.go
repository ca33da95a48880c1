package server

import (
	"slices"
	"sync"
	"time"

	"loadstone/engine"
)

// A roster is what is known of agents and principals as it was a moment ago.
type roster struct {
	agents latest[agentList]
	usage  latest[[]engine.Usage] // of each principal
}

// An agentList lists the agents that were used last, at most maxRoster, the last used first.
type agentList struct {
	list  []engine.Memory
	known int // how many agents there are
}

const maxRoster = 50

// lastUsed returns the agents that were used last.
func lastUsed(e *engine.Engine) (agentList, error) {
	all, err := e.AllAgents()
	slices.SortStableFunc(all, func(a, b engine.Memory) int { return b.Used.Compare(a.Used) })
	return agentList{slices.Clone(all[:min(len(all), maxRoster)]), len(all)}, err
}

// A latest is a value that only the engine knows, as it was a moment ago. The engine answers only
// between two steps, so a goroutine waits for it and no request does.
type latest[T any] struct {
	mu         sync.Mutex
	refreshing bool
	rest       time.Time // the value is not asked for before
	value      T
}

// A value is not asked for again for so many times as long as it took to ask for it, and no longer
// than maxRest: what takes the engine long, because there are many agents, takes a bounded part of
// its time, however often it is wanted.
const (
	restFor = 10
	maxRest = 5 * time.Second
)

// get returns the value as it is known, and begins to ask for it anew, for the next call. An error
// of ask says that the engine has ended; then the old value is good enough.
func (l *latest[T]) get(e *engine.Engine, ask func(*engine.Engine) (T, error)) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began := time.Now(); !l.refreshing && !began.Before(l.rest) {
		l.refreshing = true
		go func() {
			value, err := ask(e)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.refreshing, l.rest = false, time.Now().Add(min(restFor*time.Since(began), maxRest))
			if err == nil {
				l.value = value
			}
		}()
	}
	return l.value
}

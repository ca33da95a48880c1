package kv

// Names is a bounded set of agents' names, kept to tell an agent that was evicted from one that was
// never known. When it is full it forgets all of them, and the agents behind them count as new
// again: that costs one word in a report and is not worth a better structure.
type Names map[Agent]struct{}

// maxNames is how many names the set holds.
const maxNames = 1 << 16

// Add puts a name in.
func (n Names) Add(agent Agent) {
	if len(n) == maxNames {
		clear(n)
	}
	n[agent] = struct{}{}
}

// Remove takes a name out, if it is there.
func (n Names) Remove(agent Agent) { delete(n, agent) }

// Has reports whether a name is there.
func (n Names) Has(agent Agent) bool {
	_, ok := n[agent]
	return ok
}

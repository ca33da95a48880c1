package objects

import (
	"slices"
	"sync"
)

// names holds the chunks that are in the bucket as far as a System knows, and the epoch up to which
// it knows what collections have condemned. It forgets some when they are many: then a chunk is put
// once more under another name.
type names struct {
	limit int

	mu    sync.Mutex
	epoch int64
	all   map[[idBytes]byte]ref
	gone  []map[string]bool // what the last collections have condemned, the newest last
	lost  map[string]string // objects that were missing (None) or wrong, with their versions
}

func newNames(limit int) *names {
	return &names{limit: limit, all: make(map[[idBytes]byte]ref), lost: make(map[string]string)}
}

// now returns the epoch.
func (n *names) now() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.epoch
}

// find returns the name of a chunk, and false if it is not known to be there: then it is the name
// under which to put it.
func (n *names) find(id [idBytes]byte, size int) (r ref, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.all[id]; ok {
		return r, true
	}
	return ref{id, n.epoch, size}, false
}

// learn adds the chunks of a record that was read in an epoch. Those that a collection has
// condemned it leaves out, although the record names them: it may do so no longer, and the
// collection may not have looked at it yet. If a collection has been heard of since, none is added.
func (n *names) learn(rs refs, epoch int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.epoch != epoch {
		return
	}
	for _, r := range rs {
		object := r.object()
		if _, lost := n.lost[object]; !lost && !n.isCondemned(object) {
			n.set(r)
		}
	}
}

// add adds a chunk that was put.
func (n *names) add(r ref) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.lost, r.object())
	if r.epoch == n.epoch { // a later list may have it otherwise
		n.set(r)
	}
}

func (n *names) set(r ref) {
	if len(n.all) >= n.limit {
		for id := range n.all { // any
			delete(n.all, id)
			break
		}
	}
	n.all[r.id] = r
}

// lose notes that a chunk's object is missing, or is wrong and has a version.
func (n *names) lose(r ref, version string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost[r.object()] = version
	if n.all[r.id] == r {
		delete(n.all, r.id)
	}
}

// lostVersion returns the version that an object must have to be put: that of a wrong one, or None.
func (n *names) lostVersion(r ref) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost[r.object()]
}

func (n *names) isCondemned(object string) bool {
	return slices.ContainsFunc(n.gone, func(list map[string]bool) bool { return list[object] })
}

// condemn takes out what a collection has condemned, and goes on to its epoch. nil stands for
// anything.
func (n *names) condemn(epoch int64, condemned map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.epoch = epoch
	n.gone = append(n.gone[max(0, len(n.gone)-maxLists+1):], condemned)
	for id, r := range n.all {
		if condemned == nil || condemned[r.object()] {
			delete(n.all, id)
		}
	}
}

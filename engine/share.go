package engine

import (
	"cmp"
	"errors"
	"slices"

	"loadstone/engine/internal/kv"
)

// A Share bounds what one principal may take of an engine. A field that is 0 sets no bound.
type Share struct {
	// PoolBytes is the part of Config.KVBytes that its running requests and its idle memories may
	// have together: the same part of the blocks, and of the window slots. Its own idle memories
	// are evicted for its requests.
	PoolBytes int64
	// DiskBytes is how much its files may take. Its own files that were unused for longest are
	// deleted for its new ones, but for pinned ones.
	DiskBytes int64
	// InFlight is how many of its requests may wait or run.
	InFlight int
}

// SetShares replaces the list of principals that send requests, and their shares. If there are
// several, each leaves room for the others (see sched.admit). A principal that is not in the list
// has no bounds. Idle memory beyond a new, smaller share is evicted.
func (e *Engine) SetShares(shares map[string]Share) error {
	pool, disk, byID := map[string]kv.Limit{}, map[string]int64{}, map[string]Share{}
	for name, s := range shares {
		if s.PoolBytes < 0 || s.DiskBytes < 0 || s.InFlight < 0 {
			return errors.New("engine: a Share must not be negative")
		}
		id := PrincipalID(name)
		byID[id] = s
		if s.PoolBytes > 0 {
			pool[id] = e.partOfPool(s.PoolBytes)
		}
		if s.DiskBytes > 0 {
			disk[id] = s.DiskBytes
		}
	}
	e.mailbox.setShares(byID, pool)
	if e.disk != nil {
		e.disk.store.SetQuotas(disk)
	}
	return e.call(func() {
		e.sched.principals = len(shares)
		e.sched.store.SetLimits(pool)
	})
}

// partOfPool returns the same part of all blocks, and of all window slots, as bytes are of the
// pool, and not less than one of each.
func (e *Engine) partOfPool(bytes int64) (l kv.Limit) {
	part := min(float64(bytes)/float64(e.cfg.KVBytes), 1)
	l.Blocks = max(1, int(part*float64(e.layout.Blocks)))
	if n := e.layout.WindowSlots; n > 0 {
		l.Slots = max(1, int(part*float64(n)))
	}
	return l
}

// A Usage holds what a principal uses of an engine.
type Usage struct {
	Principal string // its PrincipalID
	InFlight  int    // requests that wait or run
	PoolBytes int64  // of blocks and slots that its requests and memories have, or may still take
	DiskBytes int64  // of its files
}

// Usage lists what each principal uses, ordered by id. It waits for a step.
func (e *Engine) Usage() ([]Usage, error) {
	all := map[string]Usage{}
	for id, n := range e.mailbox.usage() {
		all[id] = Usage{Principal: id, InFlight: n}
	}
	block := int64(e.layout.BlockTokens) * int64(e.layout.GlobalBytes)
	slot := int64(e.layout.BlockTokens) * int64(e.layout.SlidingBytes)
	err := e.call(func() {
		for _, h := range e.sched.store.Holdings() {
			u := all[h.Principal]
			u.Principal, u.PoolBytes = h.Principal, int64(h.Blocks)*block+int64(h.Slots)*slot
			all[h.Principal] = u
		}
	})
	if e.disk != nil {
		for id, bytes := range e.disk.store.Sizes() {
			u := all[id]
			u.Principal, u.DiskBytes = id, bytes
			all[id] = u
		}
	}
	list := make([]Usage, 0, len(all))
	for _, u := range all {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b Usage) int { return cmp.Compare(a.Principal, b.Principal) })
	return list, err
}

package kv

import (
	"container/list"
	"slices"
)

// An account counts the blocks of the pool that one principal has. A block belongs to the account
// of the sequence that took it until the block is free. With one root for all principals, others
// may use it too.
type account struct {
	principal string
	limit     int // blocks that it may have; 0: any number

	refs     refCounts // of its blocks; unused is not counted
	promised int       // to its sequences
	claims   int       // its sequences that run
	chains   list.List // of *Chain, the least recently used first
}

// running returns how many blocks the principal's sequences have or may still take.
func (a *account) running() int { return a.refs.running() + a.promised }

// total returns how many blocks are set aside for the principal, those of idle chains too.
func (a *account) total() int { return a.running() + a.refs.idle() }

// room returns how many more blocks could be promised to the principal's sequences, or pinned.
func (a *account) room() int {
	if a.limit == 0 {
		return int(^uint(0) >> 1)
	}
	return a.limit - a.running()
}

// accountOf returns a principal's account, which it opens if need be.
func (st *Store) accountOf(principal string) *account {
	a := st.accounts[principal]
	if a == nil {
		a = &account{principal: principal, limit: st.limits[principal]}
		st.accounts[principal] = a
		st.open = append(st.open, a)
	}
	return a
}

// close forgets an account in which nothing is left.
func (st *Store) close(a *account) {
	if a.claims > 0 || a.total() > 0 || a.chains.Len() > 0 {
		return
	}
	delete(st.accounts, a.principal)
	i := slices.Index(st.open, a)
	st.open = slices.Delete(st.open, i, i+1)
}

// SetLimits sets how many blocks each principal may have, in running requests and idle chains
// together; a principal that is not in limits may have any number. Blocks beyond a new limit are
// given up when the principal wants more.
func (st *Store) SetLimits(limits map[string]int) {
	st.limits = limits
	for _, a := range st.open {
		a.limit = limits[a.principal]
	}
}

// Running returns how many blocks a principal's sequences have or may still take.
func (st *Store) Running(principal string) int {
	if a := st.accounts[principal]; a != nil {
		return a.running()
	}
	return 0
}

// A Holding says what a principal has of the pool.
type Holding struct {
	Principal      string
	Running, Total int // blocks, as account has them
}

// Holdings appends what each principal has to dst, in no order.
func (st *Store) Holdings(dst []Holding) []Holding {
	for _, a := range st.open {
		dst = append(dst, Holding{a.principal, a.running(), a.total()})
	}
	return dst
}

// trim evicts idle chains of a principal until it is within its limit or has no idle chain left.
func (st *Store) trim(a *account) {
	for a.limit > 0 && a.total() > a.limit && st.evictFrom(a) {
	}
}

// largest returns the account from which eviction takes: the one with the most blocks among those
// that have idle chains. So a principal that floods the pool evicts its own memories before those
// of another, as long as it has more.
func (st *Store) largest() *account {
	var found *account
	for _, a := range st.open {
		if a.chains.Len() > 0 && (found == nil || a.total() > found.total()) {
			found = a
		}
	}
	return found
}

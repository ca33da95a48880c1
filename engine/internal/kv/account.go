package kv

import (
	"container/list"
	"slices"
)

// A Limit says how many blocks, and how many window slots, something may have. 0 is any number.
type Limit struct{ Blocks, Slots int }

func (l Limit) allows(blocks, slots int) bool {
	return (l.Blocks == 0 || blocks <= l.Blocks) && (l.Slots == 0 || slots <= l.Slots)
}

// An account counts the blocks and the window slots that one principal has. A block, or a slot,
// belongs to the account of the sequence or chain that took it until it is unused. With one root
// for all principals, others may use it too.
type account struct {
	principal string
	limit     Limit

	blocks       refCounts // its blocks; unused is not counted
	promised     int       // blocks, to its sequences
	slots        refCounts // its slots; unused is not counted
	slotsClaimed int       // slots that its sequences have or may still take, for each of them
	claims       int       // its sequences that run
	chains       list.List // of *Chain, the least recently used first
}

// running returns how many blocks the principal's sequences have or may still take.
func (a *account) running() int { return a.blocks.running() + a.promised }

// total returns how many blocks are set aside for the principal, those of idle chains too.
func (a *account) total() int { return a.running() + a.blocks.idle() }

// totalSlots returns the same of window slots.
func (a *account) totalSlots() int { return a.slotsClaimed + a.slots.idle() }

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
	if st.accounts[a.principal] != a || a.claims > 0 || a.total() > 0 || a.totalSlots() > 0 ||
		a.chains.Len() > 0 {
		return
	}
	delete(st.accounts, a.principal)
	i := slices.Index(st.open, a)
	st.open = slices.Delete(st.open, i, i+1)
}

// SetLimits sets what each principal may have, in running requests and idle chains together; a
// principal that is not in limits may have any number. Idle chains beyond a new limit are evicted.
func (st *Store) SetLimits(limits map[string]Limit) {
	st.limits = limits
	for _, a := range slices.Clone(st.open) {
		a.limit = limits[a.principal]
		st.trim(a)
	}
}

// A Holding says what a principal has of the pool, in running sequences and idle chains together.
type Holding struct {
	Principal     string
	Blocks, Slots int // taken, or promised to its sequences
}

// Holdings returns what each principal that has something has, in no order.
func (st *Store) Holdings() []Holding {
	all := make([]Holding, 0, len(st.open))
	for _, a := range st.open {
		all = append(all, Holding{a.principal, a.total(), a.totalSlots()})
	}
	return all
}

// trim evicts idle chains of a principal until it is within its limit or has no idle chain left.
func (st *Store) trim(a *account) {
	for !a.limit.allows(a.total(), a.totalSlots()) && st.evictFrom(a) {
	}
}

// largest returns the account from which eviction takes: the one that has the most of something
// among those that have idle chains. So a principal that floods the pool evicts its own memories
// before those of another, as long as it has more.
func (st *Store) largest(has func(*account) int) *account {
	var found *account
	for _, a := range st.open {
		if a.chains.Len() > 0 && (found == nil || has(a) > has(found)) {
			found = a
		}
	}
	return found
}

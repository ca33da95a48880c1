package snapshot

import (
	"container/list"
	"time"

	"loadstone/engine/internal/kv"
)

// A byUse has, by principal, the entries that quota and age may delete: those that are not pinned,
// in the order in which they were last used. So what goes next is found without a look at all
// others, of which there may be a hundred thousand.
type byUse map[string]*list.List // of *Entry, the one unused for longest first; none is empty

// add puts an entry in its place, which mostly is the last one.
func (u byUse) add(e *Entry) {
	if e.Pinned {
		return
	}
	principal := e.Header.Agent.Principal
	l := u[principal]
	if l == nil {
		l = list.New()
		u[principal] = l
	}
	before := l.Back()
	for before != nil && before.Value.(*Entry).Used.After(e.Used) {
		before = before.Prev()
	}
	if before == nil {
		e.place = l.PushFront(e)
	} else {
		e.place = l.InsertAfter(e, before)
	}
}

// remove takes an entry out, if it is there.
func (u byUse) remove(e *Entry) {
	if e.place == nil {
		return
	}
	principal := e.Header.Agent.Principal
	l := u[principal]
	l.Remove(e.place)
	if e.place = nil; l.Len() == 0 {
		delete(u, principal)
	}
}

// first returns the entry of a principal that was unused for longest, but not that of agent keep;
// nil if there is none.
func (u byUse) first(principal string, keep kv.Agent) *Entry {
	l := u[principal]
	if l == nil {
		return nil
	}
	at := l.Front()
	if at.Value.(*Entry).Header.Agent == keep {
		at = at.Next()
	}
	if at == nil {
		return nil
	}
	return at.Value.(*Entry)
}

// until returns the entries that were last used before a time, but not that of agent keep.
func (u byUse) until(t time.Time, keep kv.Agent) (all []*Entry) {
	for _, l := range u {
		for at := l.Front(); at != nil; at = at.Next() {
			e := at.Value.(*Entry)
			if !e.Used.Before(t) {
				break
			}
			if e.Header.Agent != keep {
				all = append(all, e)
			}
		}
	}
	return all
}

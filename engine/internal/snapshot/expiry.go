package snapshot

import (
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"loadstone/engine/internal/kv"
)

// age deletes the snapshots that have expired. A timer calls it, so that a conversation is gone in
// time even if no request comes.
func (s *Store) age() {
	s.change.Lock()
	defer s.change.Unlock()
	if !s.over {
		s.sweep(0, kv.Agent{})
		s.aging.Reset(s.untilExpiry())
	}
}

// untilExpiry returns how long it takes until the next snapshot expires.
func (s *Store) untilExpiry() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.ttl
	for _, e := range s.index {
		if !e.Pinned {
			next = min(next, s.ttl-time.Since(e.Used))
		}
	}
	return max(next, time.Second) // at most one look a second
}

func (s *Store) expired(e *Entry, now time.Time) bool {
	return s.ttl > 0 && !e.Pinned && now.Sub(e.Used) > s.ttl
}

// Evicted reports whether an agent had a snapshot that the quota or age deleted.
func (s *Store) Evicted(agent kv.Agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index[agent]; e != nil {
		return s.expired(e, time.Now())
	}
	return s.evicted.Has(agent)
}

// Crowded reports whether an agent had a snapshot that was deleted for lack of room alone. With a
// time to live none was: the snapshot might have expired since.
func (s *Store) Crowded(agent kv.Agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ttl == 0 && s.index[agent] == nil && s.crowded.Has(agent)
}

// hasRoom reports whether a file of so many bytes fits within the quotas, in place of the agent's
// file, and no other has to go for it.
func (s *Store) hasRoom(size int64, agent kv.Agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.index[agent]; old != nil {
		size -= old.Bytes
	}
	quota, bounded := s.quotas[agent.Principal]
	return s.bytes+size <= s.quota && (!bounded || s.sizes[agent.Principal]+size <= quota)
}

// sweep deletes the snapshots that have expired, and then others until room more bytes fit, in the
// order of next. It spares pinned ones and that of agent keep, whose file is about to be replaced:
// its bytes count as room. It reports whether the room is there.
func (s *Store) sweep(room int64, keep kv.Agent) bool {
	s.mu.Lock()
	now := time.Now()
	var old []*Entry
	for _, e := range s.index {
		switch {
		case e.Header.Agent == keep:
			room -= e.Bytes
		case s.expired(e, now):
			old = append(old, e)
		}
	}
	s.mu.Unlock()
	for _, e := range old {
		s.evict(e, false)
	}
	return s.evictUntil(keep, anyone, func() bool { return s.bytes+room <= s.quota })
}

// withinQuota deletes snapshots of an agent's principal, those unused for longest first, until a
// file of so many bytes fits into the principal's own quota, which it returns.
func (s *Store) withinQuota(size int64, agent kv.Agent) (quota int64, ok bool) {
	s.mu.Lock()
	quota, bounded := s.quotas[agent.Principal]
	if old := s.index[agent]; old != nil {
		size -= old.Bytes
	}
	s.mu.Unlock()
	if !bounded {
		return 0, true
	}
	own := func(principal string) bool { return principal == agent.Principal }
	return quota, s.evictUntil(agent, own, func() bool {
		return s.sizes[agent.Principal]+size <= quota
	})
}

func anyone(string) bool { return true }

// evictUntil evicts snapshots of the principals for which meant is true, in the order of next,
// until there is room, and reports whether there is. It spares that of agent keep. It calls room
// with mu held.
func (s *Store) evictUntil(keep kv.Agent, meant func(string) bool, room func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room() {
		return true
	}
	byUse := s.byUse(keep, meant)
	for !room() {
		e := next(byUse, s.sizes)
		if e == nil {
			return false
		}
		s.mu.Unlock()
		s.evict(e, true)
		s.mu.Lock()
	}
	return true
}

// byUse returns, for each principal for which meant is true, the snapshots that may be deleted:
// all but pinned ones and that of agent keep. The one unused for longest comes first. The caller
// holds mu.
func (s *Store) byUse(keep kv.Agent, meant func(string) bool) map[string][]*Entry {
	all := map[string][]*Entry{}
	for agent, e := range s.index {
		if agent != keep && !e.Pinned && meant(agent.Principal) {
			all[agent.Principal] = append(all[agent.Principal], e)
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b *Entry) int { return a.Used.Compare(b.Used) })
	}
	return all
}

// next takes out the snapshot to delete next: the one unused for longest, of the principal whose
// files take most. So a principal that floods the disk loses its own memories before those of
// another.
func next(byUse map[string][]*Entry, sizes map[string]int64) *Entry {
	largest, found := "", false
	for p := range byUse {
		if !found || sizes[p] > sizes[largest] || sizes[p] == sizes[largest] && p < largest {
			largest, found = p, true
		}
	}
	if !found {
		return nil
	}
	e := byUse[largest][0]
	if byUse[largest] = byUse[largest][1:]; len(byUse[largest]) == 0 {
		delete(byUse, largest)
	}
	return e
}

// makeRoom deletes files from a disk that is full: the quarantined ones, which are of no use, and
// then the least recently used snapshots that are not pinned, until so many bytes are free that
// were not. It spares that of agent keep. It reports whether there was anything to delete. The
// caller holds change.
func (s *Store) makeRoom(room int64, keep kv.Agent) (made bool) {
	for _, bad := range s.quarantined() {
		if s.sys.Remove(filepath.Join(s.dir, bad.Name())) == nil {
			room -= bad.Size()
			made = true
		}
	}
	s.mu.Lock()
	byUse, sizes := s.byUse(keep, anyone), maps.Clone(s.sizes)
	s.mu.Unlock()
	for room > 0 {
		e := next(byUse, sizes)
		if e == nil {
			break
		}
		sizes[e.Header.Agent.Principal] -= e.Bytes
		slog.Warn("the disk is full: the memory unused for longest is deleted",
			"file", FileName(e.Header.Agent), "bytes", e.Bytes)
		room -= e.Bytes
		s.evict(e, true)
		made = true
	}
	return made
}

// evict deletes a snapshot, because of its age or for lack of room, unless another store uses it.
func (s *Store) evict(e *Entry, crowded bool) {
	release, ok := s.mayEvict(e)
	if !ok {
		return
	}
	defer release()
	s.mu.Lock()
	s.evicted.Add(e.Header.Agent)
	if crowded {
		s.crowded.Add(e.Header.Agent)
	}
	s.forget(e)
	s.mu.Unlock()
	s.unlink(e.Header.Agent)
}

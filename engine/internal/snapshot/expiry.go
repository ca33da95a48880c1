package snapshot

import (
	"log/slog"
	"path/filepath"
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
	for principal := range s.byUse {
		next = min(next, s.ttl-time.Since(s.byUse.first(principal, kv.Agent{}).Used))
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
	if e := s.index[keep]; e != nil {
		room -= e.Bytes
	}
	var old []*Entry
	if s.ttl > 0 {
		old = s.byUse.until(time.Now().Add(-s.ttl), keep)
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
	var spared []*Entry
	defer func() { s.readmit(spared) }()
	for !room() {
		if s.evictNext(keep, meant, &spared) == nil {
			return false
		}
	}
	return true
}

// evictNext evicts the snapshot that next returns, and returns it. If another store uses it, it
// stays, and is spared: the next call evicts another one, until readmit was called. The caller
// holds mu.
func (s *Store) evictNext(keep kv.Agent, meant func(string) bool, spared *[]*Entry) *Entry {
	e := s.next(keep, meant)
	if e == nil {
		return nil
	}
	s.mu.Unlock()
	s.evict(e, true)
	s.mu.Lock()
	if s.index[e.Header.Agent] == e {
		s.byUse.remove(e)
		*spared = append(*spared, e)
	}
	return e
}

// readmit has snapshots that were spared be evicted again. The caller holds mu.
func (s *Store) readmit(spared []*Entry) {
	for _, e := range spared {
		if s.index[e.Header.Agent] == e {
			s.byUse.remove(e)
			s.byUse.add(e)
		}
	}
}

// next returns the snapshot to delete next: the one unused for longest, of the principal whose
// files take most among those for which meant is true. So a principal that floods the disk loses
// its own memories before those of another. Pinned ones and that of agent keep are spared. The
// caller holds mu.
func (s *Store) next(keep kv.Agent, meant func(string) bool) (found *Entry) {
	largest := ""
	for p := range s.byUse {
		if !meant(p) || found != nil &&
			(s.sizes[p] < s.sizes[largest] || s.sizes[p] == s.sizes[largest] && p > largest) {
			continue
		}
		if e := s.byUse.first(p, keep); e != nil {
			found, largest = e, p
		}
	}
	return found
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
	defer s.mu.Unlock()
	var spared []*Entry
	defer func() { s.readmit(spared) }()
	for room > 0 {
		e := s.evictNext(keep, anyone, &spared)
		if e == nil {
			break
		}
		if s.index[e.Header.Agent] == e { // it stays
			continue
		}
		slog.Warn("the disk is full: the memory unused for longest is deleted",
			"file", FileName(e.Header.Agent), "bytes", e.Bytes)
		room -= e.Bytes
		made = true
	}
	return made
}

// evict deletes a snapshot, because of its age or for lack of room, unless another store uses it.
func (s *Store) evict(e *Entry, crowded bool) {
	sys, release, ok := s.mayEvict(e)
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
	s.unlink(sys, e.Header.Agent)
}

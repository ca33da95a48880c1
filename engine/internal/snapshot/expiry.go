package snapshot

import (
	"log/slog"
	"os"
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

// sweep deletes the snapshots that have expired, and then the least recently used ones until room
// more bytes fit. It spares pinned ones and that of agent keep, whose file is about to be replaced:
// its bytes count as room. It reports whether the room is there.
func (s *Store) sweep(room int64, keep kv.Agent) bool {
	s.mu.Lock()
	now := time.Now()
	var old, byUse []*Entry
	for _, e := range s.index {
		switch {
		case e.Header.Agent == keep:
			room -= e.Bytes
		case s.expired(e, now):
			old = append(old, e)
		case !e.Pinned:
			byUse = append(byUse, e)
		}
	}
	sortByUse(byUse)
	total := s.bytes
	s.mu.Unlock()
	for _, e := range old {
		total -= e.Bytes
		s.evict(e)
	}
	for _, e := range byUse {
		if total+room <= s.quota {
			break
		}
		total -= e.Bytes
		s.evict(e)
	}
	return total+room <= s.quota
}

// makeRoom deletes files from a disk that is full: the quarantined ones, which are of no use, and
// then the least recently used snapshots that are not pinned, until so many bytes are free that
// were not. It spares that of agent keep. It reports whether there was anything to delete. The
// caller holds change.
func (s *Store) makeRoom(room int64, keep kv.Agent) (made bool) {
	bad, _ := filepath.Glob(filepath.Join(s.dir, "*.bad"))
	for _, f := range bad {
		if info, err := os.Lstat(f); err == nil && os.Remove(f) == nil {
			room -= info.Size()
			made = true
		}
	}
	s.mu.Lock()
	var byUse []*Entry
	for _, e := range s.index {
		if e.Header.Agent != keep && !e.Pinned {
			byUse = append(byUse, e)
		}
	}
	s.mu.Unlock()
	sortByUse(byUse)
	for _, e := range byUse {
		if room <= 0 {
			break
		}
		slog.Warn("the disk is full: the memory unused for longest is deleted",
			"file", FileName(e.Header.Agent), "bytes", e.Bytes)
		room -= e.Bytes
		s.evict(e)
		made = true
	}
	return made
}

func sortByUse(all []*Entry) {
	slices.SortFunc(all, func(a, b *Entry) int { return a.Used.Compare(b.Used) })
}

func (s *Store) evict(e *Entry) {
	s.mu.Lock()
	s.evicted.Add(e.Header.Agent)
	s.forget(e)
	s.mu.Unlock()
	s.unlink(e.Header.Agent)
}

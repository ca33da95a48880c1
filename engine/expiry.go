package engine

import (
	"slices"
	"time"
)

// age deletes what is too old, whether anybody comes or not: who sets a limit wants the conversation gone by then.
func (s *shelf) age() {
	s.change.Lock()
	defer s.change.Unlock()
	if !s.over {
		s.sweep(0, "")
		s.aging.Reset(s.young())
	}
}

// young is how long it takes until the next memory is too old.
func (s *shelf) young() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.ttl
	for _, e := range s.entries {
		if !e.pinned {
			next = min(next, s.ttl-time.Since(e.used))
		}
	}
	return max(next, time.Second) // no more than one look a second
}

func (s *shelf) expired(e *entry, now time.Time) bool {
	return s.ttl > 0 && !e.pinned && now.Sub(e.used) > s.ttl
}

// wasEvicted reports whether an agent had a memory that was deleted to make room or for its age.
func (s *shelf) wasEvicted(agent string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.gone[agent]
	if e := s.entries[agent]; e != nil {
		ok = s.expired(e, time.Now())
	}
	return ok
}

// sweep deletes what is too old, and then the longest unused until room more bytes fit. It spares the pinned, and keep,
// whose file is about to be replaced: its bytes count as room. It reports whether they fit.
func (s *shelf) sweep(room int64, keep string) bool {
	s.mu.Lock()
	now := time.Now()
	var old, byUse []*entry
	for _, e := range s.entries {
		switch {
		case e.label.agent == keep:
			room -= e.bytes
		case s.expired(e, now):
			old = append(old, e)
		case !e.pinned:
			byUse = append(byUse, e)
		}
	}
	slices.SortFunc(byUse, func(a, b *entry) int { return a.used.Compare(b.used) })
	total := s.bytes
	s.mu.Unlock()
	for _, e := range old {
		total -= e.bytes
		s.evict(e)
	}
	for _, e := range byUse {
		if total+room <= s.quota {
			break
		}
		total -= e.bytes
		s.evict(e)
	}
	return total+room <= s.quota
}

func (s *shelf) evict(e *entry) {
	s.mu.Lock()
	if len(s.gone) == maxEvicted {
		clear(s.gone)
	}
	s.gone[e.label.agent] = struct{}{}
	s.forget(e)
	s.mu.Unlock()
	s.unlink(e.label.agent)
}

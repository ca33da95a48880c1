package snapshot

import (
	"fmt"
	"path/filepath"
	"strings"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

const durableSuffix = ".durable"

// durablePath returns the file that marks the agent of a snapshot's file as durable.
func (s *Store) durablePath(name string) string {
	return filepath.Join(s.dir, strings.TrimSuffix(name, ".memory")+durableSuffix)
}

// Durable reports whether each answer to an agent waits until it is on disk.
func (s *Store) Durable(agent kv.Agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable[FileName(agent)]
}

// AnyDurable reports whether Durable is true of any agent.
func (s *Store) AnyDurable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.durable) > 0
}

// mark makes or removes an empty file, which is on disk, synced, before it returns. On a full disk
// it deletes nothing to make room.
func (s *Store) mark(sys files.System, path string, there bool) error {
	var err error
	if there {
		err = sys.Mark(path)
	} else {
		err = removeFile(sys, path)
	}
	if isFull(err) {
		return fmt.Errorf("%w: a mark of an agent does not fit: %w", ErrDiskFull, err)
	}
	if err != nil {
		return err
	}
	return sys.SyncDir(s.dir)
}

// SetDurable says whether each answer to an agent that has a snapshot waits until it is on disk.
// That itself is on disk, synced, before it returns.
func (s *Store) SetDurable(agent kv.Agent, durable bool) error {
	s.change.Lock()
	defer s.change.Unlock()
	if _, ok := s.Find(agent); !ok {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	return s.setDurable(agent, durable)
}

// setDurable is SetDurable of any agent. The caller holds change.
func (s *Store) setDurable(agent kv.Agent, durable bool) error {
	name := FileName(agent)
	path := s.durablePath(name)
	err := s.owning(agent, s.grant(agent), func(sys files.System) error {
		return s.mark(sys, path, durable)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.durable, name); durable {
		s.durable[name] = true
	}
	return nil
}

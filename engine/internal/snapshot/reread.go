package snapshot

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// The files that the disk failed to read at the start are read again after minReread, and then
// after twice the time before, up to maxReread: a disk that is slow to come back must not hide an
// agent's memory until the next start, for its next turn would take the file's place.
const (
	minReread = time.Second
	maxReread = time.Minute
)

// reread tries those files again, and does so later where it fails. A timer calls it.
func (s *Store) reread() {
	s.change.Lock()
	defer s.change.Unlock()
	if s.over {
		return
	}
	unread := s.unread
	s.unread = nil
	for _, path := range unread {
		if s.replaced(path) {
			continue
		}
		if e := s.scanFile(path); e != nil {
			s.mu.Lock()
			s.note(e)
			s.mu.Unlock()
		}
	}
	if len(s.unread) > 0 {
		s.rereadAfter = min(2*s.rereadAfter, maxReread)
		s.rereading.Reset(s.rereadAfter)
	}
}

// replaced reports whether a file that could not be read is gone, or is known as a newer memory of
// its agent. The caller holds change.
func (s *Store) replaced(path string) bool {
	if _, err := s.sys.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for agent := range s.index {
		if FileName(agent) == filepath.Base(path) {
			return true
		}
	}
	return false
}

package engine

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A shelf is the directory of memory files: the warm tier at rest. Its methods may be called from any goroutine.
//
//	NAME.memory       a memory; NAME is a hash of the agent's name, which may be anything
//	NAME.pin          empty: that memory is not to be deleted to make room or for its age
//	NAME.*.tmp        being written; what a crash left of them is removed at start
//	NAME.REASON.bad   quarantined: it could not be restored. The newest few are kept for whoever wants to know why
//	lock              held while an engine has the directory
//
// A file appears by rename, after its data are synced, and the directory is synced after that. So after a crash at any
// point a memory is the old one or the new one. A file's modification time is when it was last used.
type shelf struct {
	dir   string
	match label // what a file must have in common with this to be of use: fingerprint and shape
	quota int64
	ttl   time.Duration // 0: none

	// For tests: called before each change of the disk with its name. A panic in it is a crash.
	fault func(op string)

	change sync.Mutex // held by who changes files, for as long as the disk takes; taken before mu
	mu     sync.Mutex // held for a few instructions: the engine's goroutine looks in here

	entries map[string]*entry   // by agent
	bytes   int64               // of all files of entries
	gone    map[string]struct{} // agents whose memory was deleted to make room or for its age
	unlock  func()

	aging *time.Timer // runs age when the first memory is too old; nil without ttl; under change
	over  bool        // close was called; under change
}

// An entry is what is known of a file without opening it.
type entry struct {
	label  label
	bytes  int64
	used   time.Time
	pinned bool
}

const (
	maxBad    = 16      // quarantined files that are kept
	ioPortion = 1 << 20 // buffer of writes
)

// openShelf takes the directory, makes it if need be, clears up what a crash has left and reads every header.
func openShelf(dir string, match label, quota int64, ttl time.Duration) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &shelf{
		dir: dir, match: match, quota: quota, ttl: ttl, unlock: unlock,
		fault:   func(string) {},
		entries: make(map[string]*entry),
		gone:    make(map[string]struct{}),
	}
	if err := s.scan(); err != nil {
		unlock()
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	if ttl > 0 {
		s.change.Lock()
		s.aging = time.AfterFunc(s.young(), s.age)
		s.change.Unlock()
	}
	return s, nil
}

func (s *shelf) scan() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(s.dir, f.Name())
		switch filepath.Ext(path) {
		case ".tmp":
			if err := os.Remove(path); err != nil {
				return err
			}
		case ".memory":
			e, err := readEntry(path)
			if err == nil && fileName(e.label.agent) != f.Name() {
				err = corrupt("it is named for another agent")
			}
			if err != nil {
				slog.Warn("memory file set aside", "file", f.Name(), "reason", err)
				s.setAside(path, err)
				continue
			}
			_, err = os.Lstat(pinName(path))
			e.pinned = err == nil
			s.entries[e.label.agent] = e
			s.bytes += e.bytes
		}
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".pin"); ok {
			if _, err := os.Lstat(filepath.Join(s.dir, name+".memory")); errors.Is(err, fs.ErrNotExist) {
				os.Remove(filepath.Join(s.dir, f.Name())) // its memory is gone
			}
		}
	}
	s.trimBad()
	s.sweep(0, "")
	return nil
}

func readEntry(path string) (*entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l, header, err := readLabel(bufio.NewReader(f), info.Size())
	if err == nil && l.size(len(header)) != info.Size() {
		err = corrupt("%d bytes for %d tokens; it must be %d", info.Size(), l.tokens, l.size(len(header)))
	}
	if err != nil {
		return nil, err
	}
	return &entry{label: l, bytes: info.Size(), used: info.ModTime()}, nil
}

// fileName is the file of an agent, whose name is not to be trusted with paths.
func fileName(agent string) string {
	sum := sha256.Sum256([]byte(agent))
	return hex.EncodeToString(sum[:16]) + ".memory"
}

func pinName(path string) string { return strings.TrimSuffix(path, ".memory") + ".pin" }

func (s *shelf) path(agent string) string { return filepath.Join(s.dir, fileName(agent)) }

// find is what is known of an agent's file. One whose time is over is as good as deleted.
func (s *shelf) find(agent string) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[agent]
	if e == nil || s.expired(e, time.Now()) {
		return entry{}, false
	}
	return *e, true
}

// list is what is known of every file, in no order.
func (s *shelf) list() (all []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		all = append(all, *e)
	}
	return all
}

func (s *shelf) size() (files int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries), s.bytes
}

// forget takes an entry out of the books. The caller holds mu.
func (s *shelf) forget(e *entry) {
	s.bytes -= e.bytes
	delete(s.entries, e.label.agent)
}

// unlink deletes an agent's file.
func (s *shelf) unlink(agent string) {
	path := s.path(agent)
	s.fault("remove")
	os.Remove(path) // an error leaves a file that the next start finds again; nothing else can be done about it
	os.Remove(pinName(path))
}

// remove deletes what there is of an agent, on its owner's wish, and reports whether there was something.
func (s *shelf) remove(agent string) bool {
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	e := s.entries[agent]
	if e != nil {
		s.forget(e)
	}
	delete(s.gone, agent)
	s.mu.Unlock()
	if e == nil {
		return false
	}
	s.unlink(agent)
	return true
}

// pin protects a memory from quota and age, or no longer.
func (s *shelf) pin(agent string, pinned bool) error {
	s.change.Lock()
	defer s.change.Unlock()
	if _, ok := s.find(agent); !ok {
		return fmt.Errorf("agent %q: %w", agent, ErrNoMemory)
	}
	var err error
	if name := pinName(s.path(agent)); pinned {
		err = os.WriteFile(name, nil, 0o600)
	} else if err = os.Remove(name); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.entries[agent].pinned = pinned
	s.mu.Unlock()
	if s.aging != nil {
		s.aging.Reset(s.young())
	}
	return nil
}

// touch notes that a memory was of use.
func (s *shelf) touch(agent string) {
	now := time.Now()
	os.Chtimes(s.path(agent), now, now) // lost with it: one place in the order of eviction
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[agent]; e != nil {
		e.used = now
	}
}

func (s *shelf) close() {
	s.change.Lock()
	defer s.change.Unlock()
	s.over = true
	if s.aging != nil {
		s.aging.Stop()
	}
	s.unlock()
}

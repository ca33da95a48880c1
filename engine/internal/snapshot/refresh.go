package snapshot

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

// Refresh compares the index with the directory, where others write, too.
func (s *Store) Refresh() {
	if s.share == nil {
		return
	}
	s.change.Lock()
	defer s.change.Unlock()
	all, err := s.sys.Infos(s.dir)
	if err != nil {
		slog.Error("the directory of agents' memories cannot be read", "error", err)
		return
	}
	s.mu.Lock()
	indexed := make(map[string]Entry, len(s.index))
	for agent, e := range s.index {
		indexed[FileName(agent)] = *e
	}
	s.mu.Unlock()
	there := make(map[string]bool, len(all))
	for _, f := range all {
		there[f.Name()] = true
		if filepath.Ext(f.Name()) != ".memory" {
			continue
		}
		e, ok := indexed[f.Name()]
		if delete(indexed, f.Name()); ok && e.Bytes == f.Size() && !f.ModTime().After(e.Used) {
			continue
		}
		if e, err := s.readEntry(s.sys, filepath.Join(s.dir, f.Name())); err == nil {
			s.look(e.Header.Agent)
		}
	}
	for _, e := range indexed { // their files are gone
		s.look(e.Header.Agent)
	}
	s.dropLeases(all, there)
	s.sweep(0, kv.Agent{})
	s.forgetKnown()
}

// forgetKnown forgets what was known of the leases of agents that have no memory.
func (s *Store) forgetKnown() {
	sh := s.share
	s.mu.Lock()
	defer s.mu.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for agent := range sh.known {
		if s.index[agent] == nil && sh.holds[agent] == nil {
			delete(sh.known, agent)
		}
	}
}

// dropLeases removes the leases of agents that have had no memory for long.
func (s *Store) dropLeases(all []fs.FileInfo, there map[string]bool) {
	for _, f := range all {
		name, ok := strings.CutSuffix(f.Name(), leaseSuffix)
		if ok && time.Since(f.ModTime()) > leaseKept && !there[name+".memory"] {
			s.dropLease(name + ".memory")
		}
	}
}

func (s *Store) dropLease(name string) {
	sys, release, err := s.guard(name, true)
	if err != nil {
		return
	}
	defer release()
	path := s.leasePath(name)
	info, err := sys.Stat(path)
	if err != nil || time.Since(info.ModTime()) < leaseKept {
		return
	}
	l, err := s.readLease(sys, name)
	if err == nil && (!l.Held || l.Owner != s.share.id && !s.share.alive(l.Owner)) {
		sys.Remove(path)
	}
}

// look reads what there is of an agent into the index.
func (s *Store) look(agent kv.Agent) {
	for !s.tryLook(agent) {
	}
}

// tryLook is look, unless the index changes meanwhile: then it returns false.
func (s *Store) tryLook(agent kv.Agent) bool {
	s.mu.Lock()
	before := s.changes
	s.mu.Unlock()
	path, name := s.path(agent), FileName(agent)
	sys, err := s.view(name, true)
	if err != nil {
		slog.Warn("memory file left alone", "file", name, "reason", err)
		return true
	}
	e, err := s.readEntry(sys, path)
	if err == nil && e.Header.Agent != agent {
		err = corrupt("it is named for another agent")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("memory file left alone", "file", name, "reason", err)
	}
	_, unpinned := sys.Stat(pinName(path))
	_, notDurable := sys.Stat(s.durablePath(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != before {
		return false
	}
	if old := s.index[agent]; old != nil {
		s.forget(old)
	}
	switch {
	case err == nil:
		e.Pinned = !errors.Is(unpinned, fs.ErrNotExist)
		s.note(e)
		s.forgetGone(agent)
	case unpinned == nil:
		s.pins[name] = true
	case errors.Is(unpinned, fs.ErrNotExist):
		delete(s.pins, name)
	}
	if delete(s.durable, name); !errors.Is(notDurable, fs.ErrNotExist) {
		s.durable[name] = true
	}
	return true
}

// LookDurable brings the index up to date as to whether an agent is durable.
func (s *Store) LookDurable(agent kv.Agent) {
	if s.share == nil || s.fenced != nil && s.held(agent) {
		return
	}
	name := FileName(agent)
	_, err := s.sys.Stat(s.durablePath(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.durable[name] = true
	} else if errors.Is(err, fs.ErrNotExist) {
		delete(s.durable, name)
	}
}

// Look brings the index up to date for an agent that nobody holds here. If others may have written
// since this store had the agent last, Look calls changed.
func (s *Store) Look(agent kv.Agent, changed func()) {
	sh := s.share
	if sh == nil || agent.Anonymous() || s.held(agent) {
		return
	}
	l, err := s.readLease(s.sys, FileName(agent))
	sh.mu.Lock()
	known, ok := sh.known[agent]
	sh.mu.Unlock()
	if err == nil && ok && known.same(l) && !l.Held {
		return
	}
	s.look(agent)
	changed()
}

// mayEvict has no other store change an agent's files until release is called, if none is at work
// with the agent and its file has not been used since the index was told. Otherwise it brings the
// index up to date.
func (s *Store) mayEvict(e *Entry) (sys files.System, release func(), ok bool) {
	if s.share == nil {
		return s.sys, func() {}, true
	}
	agent := e.Header.Agent
	sys, release, err := s.guard(FileName(agent), true)
	if err != nil {
		return nil, nil, false
	}
	info, err := sys.Stat(s.path(agent))
	if err != nil || info.ModTime().After(e.Used) || info.Size() != e.Bytes {
		s.look(agent)
	} else if l, err := s.readLease(sys, FileName(agent)); err == nil && !s.elsewhere(l) {
		return sys, release, true
	}
	release()
	return nil, nil, false
}

// elsewhere reports whether a lease is held by another store that is alive.
func (s *Store) elsewhere(l lease) bool {
	return l.Held && l.Owner != s.share.id && s.share.alive(l.Owner)
}

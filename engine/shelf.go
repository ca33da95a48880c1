package engine

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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

// save writes an image, in place of what there was of its agent.
func (s *shelf) save(img *image) error {
	return s.install(img.label, func(w io.Writer) error {
		if img.stale.Load() { // dropped while it waited for others to be done with the shelf
			return errSuperseded
		}
		return img.write(w)
	})
}

// create writes a memory without tokens for an agent that has none, or fails with ErrExists.
func (s *shelf) create(agent string, l label) error {
	l.agent, l.tokens, l.created = agent, 0, time.Now()
	l.saved = l.created
	img := image{label: l}
	return s.install(l, func(w io.Writer) error {
		if _, ok := s.find(agent); ok { // of two who create the same, the second waited for the shelf
			return fmt.Errorf("agent %q: %w", agent, ErrExists)
		}
		return img.write(w)
	})
}

// copyIn takes in a memory file from elsewhere. Nothing of it is believed: it is written block by block as it is
// verified, and appears only when all of it is sound and ready, which is called then, agrees.
func (s *shelf) copyIn(r io.Reader, ready func(agent string) error) (label, error) {
	l, header, err := readLabel(r, s.quota)
	if err != nil {
		return l, err
	}
	if err := s.fits(&l); err != nil {
		return l, err
	}
	p, err := readPreface(r, l, header)
	if err != nil {
		return l, err
	}
	return l, s.install(l, func(w io.Writer) error {
		if _, err := w.Write(p.raw); err != nil {
			return err
		}
		buf := make([]byte, max(1, l.blockBytes(0), l.blockBytes(l.from()), l.blockBytes(l.blocks())))
		for i := range p.sums {
			b := buf[:l.blockBytes(i)]
			if err := p.readBlock(r, i, b); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		if n, _ := r.Read(buf[:1]); n > 0 {
			return corrupt("it goes on after its last block")
		}
		return ready(l.agent)
	})
}

// fits says why a memory cannot be restored by this engine's model.
func (s *shelf) fits(l *label) error {
	switch {
	case l.fingerprint != s.match.fingerprint:
		return fmt.Errorf("%w: the memory was made by model %q, this one is %q", ErrOtherModel, l.fingerprint, s.match.fingerprint)
	case l.shape != s.match.shape:
		return fmt.Errorf("%w: the memory has blocks of %d tokens of %d bytes and a window of %d tokens of %d; this engine's has %d of %d and %d of %d",
			ErrOtherModel, l.blockTokens, l.tokenBytes, l.window, l.localBytes, s.match.blockTokens, s.match.tokenBytes, s.match.window, s.match.localBytes)
	}
	return nil
}

// install makes the agent's file what fill writes, or leaves all as it was.
func (s *shelf) install(l label, fill func(io.Writer) error) (err error) {
	if len(l.agent) > maxAgent || l.agent == "" {
		return fmt.Errorf("an agent's name of %d bytes cannot be saved; it must have 1 to %d", len(l.agent), maxAgent)
	}
	s.change.Lock()
	defer s.change.Unlock()
	size := l.size(len(l.encode()))
	if !s.sweep(size, l.agent) {
		return fmt.Errorf("%w for a memory of %d bytes within the quota of %d; raise it, or delete or unpin others", ErrNoRoom, size, s.quota)
	}
	path := s.path(l.agent)
	s.fault("create")
	f, err := os.CreateTemp(s.dir, strings.TrimSuffix(fileName(l.agent), "memory")+"*.tmp") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(faulty{f, s.fault}, ioPortion)
	if err := errors.Join(fill(w), w.Flush(), s.sync(f), f.Close()); err != nil {
		return err
	}
	s.fault("rename")
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	s.mu.Lock()
	e := &entry{label: l, bytes: size, used: time.Now()}
	if old := s.entries[l.agent]; old != nil {
		e.pinned = old.pinned
		s.forget(old)
	}
	s.entries[l.agent] = e
	s.bytes += size
	delete(s.gone, l.agent)
	s.mu.Unlock()
	s.fault("sync directory")
	return syncDir(s.dir)
}

func (s *shelf) sync(f *os.File) error {
	s.fault("sync")
	return f.Sync()
}

// faulty is a file whose writes a test can stop.
type faulty struct {
	*os.File
	fault func(string)
}

func (f faulty) Write(b []byte) (int, error) {
	f.fault("write")
	return f.File.Write(b)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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

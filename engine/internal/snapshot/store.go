package snapshot

import (
	"bufio"
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/seal"
)

// A Store is a directory of snapshots, at most one for each agent. Its methods may be called from
// any goroutine.
//
//	NAME.memory       a snapshot; NAME is made of hashes of the agent, whose name may be anything
//	NAME.pin          empty: neither the quota nor age may delete that snapshot. It outlives one that
//	                  is set aside: the agent's next snapshot is pinned
//	NAME.durable      empty: each answer to that agent waits until it is on disk. It outlives the
//	                  snapshot, unless the agent's owner deletes that
//	NAME.*.tmp        is being written; a start removes what a crash has left of them
//	NAME.REASON.bad   quarantined: it could not be restored. The newest few are kept for inspection
//	lock              held while an engine uses the directory alone, or joins those that share it
//	members, locks    folders of those that share it, and NAME.lease; see share
//	export.key        what exports are tagged with, where files are not sealed
//
// A file appears by rename, after its data are synced, and the directory is synced after that. So
// after a crash at any point a memory is the old one or the new one. A file's modification time
// says when it was last used.
type Store struct {
	sys   files.System
	dir   string
	match Header // a snapshot is of use if its fingerprint and shape equal these
	quota int64  // bytes
	ttl   time.Duration
	keys  []*seal.Key // none: files are not sealed

	change mutex      // serializes changes of files, for as long as the disk takes; taken before mu
	mu     sync.Mutex // held for a few instructions: the engine's goroutine looks things up here

	share  *share       // nil: no other store uses the directory
	fenced files.Fenced // sys, where it has fences in place of locks; nil: it has not

	index   map[kv.Agent]*Entry // by agent
	changes uint64              // of index
	byUse   byUse               // those of index that may be deleted
	durable map[string]bool     // names of files whose agents are durable
	pins    map[string]bool     // names of files that are not in index and have a pin
	bytes   int64               // of all files in index
	sizes   map[string]int64    // the same by principal
	quotas  map[string]int64    // by principal; none: only quota counts
	evicted kv.Names            // agents whose snapshot the quota, a full disk or age deleted
	crowded kv.Names            // those for whose snapshot there was no room
	aside   map[string]string   // names of files that were set aside, and why; see Unusable
	unlock  func()

	unread      []string    // paths of files that the disk failed to read; under change
	rereading   *time.Timer // calls reread; nil: all were read
	rereadAfter time.Duration

	aging *time.Timer // calls age when the first snapshot expires; nil without ttl; under change
	over  bool        // Close was called; under change
}

// A mutex is one for long waits: unlike those for a sync.Mutex, testing/synctest takes them for
// waits.
type mutex chan struct{}

func (m mutex) Lock()   { m <- struct{}{} }
func (m mutex) Unlock() { <-m }

// An Entry is what the index knows of a file without opening it.
type Entry struct {
	Header Header
	Bytes  int64 // of the file
	Used   time.Time
	Pinned bool

	place *list.Element // in Store.byUse; nil: it is not there
}

const (
	maxBad    = 16      // quarantined files that are kept
	maxAside  = 1 << 16 // names of them that are known; beyond, all are forgotten
	ioPortion = 1 << 20 // bytes of the buffer for writing
)

// OpenStore takes the directory, which it makes if need be, clears up what a crash has left and
// reads every header. Snapshots are of use if their fingerprint and shape equal those of match.
// quota is in bytes; ttl 0 keeps snapshots for ever.
//
// With keys, files are sealed with the first of them and may be sealed with any. Those that are not
// sealed, because they are older than the keys, are sealed before OpenStore returns. It fails where
// there are sealed files and none has one of the keys.
func OpenStore(
	sys files.System, dir string, match Header, quota int64, ttl time.Duration, keys ...*seal.Key,
) (*Store, error) {
	s := newStore(sys, dir, match, quota, ttl, keys)
	if s.fenced != nil {
		return nil, fmt.Errorf("memories in a bucket are for servers that share it: %w",
			errors.ErrUnsupported)
	}
	if err := files.MakeDir(sys, dir); err != nil {
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	unlock, err := sys.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, files.ErrLocked) {
		return nil, fmt.Errorf("directory of agents' memories %s is in use by another server; "+
			"give each its own: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	s.unlock = unlock
	if err := cmp.Or(s.alone(), s.begin()); err != nil {
		unlock()
		return nil, err
	}
	return s, nil
}

func newStore(
	sys files.System, dir string, match Header, quota int64, ttl time.Duration, keys []*seal.Key,
) *Store {
	fenced, _ := sys.(files.Fenced)
	return &Store{
		sys: sys, fenced: fenced, dir: dir, match: match, quota: quota, ttl: ttl, keys: keys,
		change:  make(mutex, 1),
		index:   make(map[kv.Agent]*Entry),
		byUse:   make(byUse),
		durable: make(map[string]bool),
		pins:    make(map[string]bool),
		evicted: make(kv.Names),
		crowded: make(kv.Names),
		aside:   make(map[string]string),
		sizes:   make(map[string]int64),
	}
}

// begin fills the index and has memories expire.
func (s *Store) begin() error {
	if err := s.scan(); err != nil {
		return fmt.Errorf("directory of agents' memories: %w", err)
	}
	s.change.Lock()
	defer s.change.Unlock()
	if s.ttl > 0 {
		s.aging = time.AfterFunc(s.untilExpiry(), s.age)
	}
	if len(s.unread) > 0 {
		s.rereadAfter = minReread
		s.rereading = time.AfterFunc(minReread, s.reread)
	}
	return nil
}

// scan fills the index from the directory.
func (s *Store) scan() error {
	all, err := s.sys.Infos(s.dir)
	if err != nil {
		return err
	}
	read := s.examineAll(all)
	if err := s.checkKeys(read); err != nil {
		return err
	}
	found := make([]*Entry, 0, len(read))
	for i, f := range all {
		path := filepath.Join(s.dir, f.Name())
		switch filepath.Ext(path) {
		case ".tmp":
			if s.share != nil && time.Since(f.ModTime()) < leaseKept {
				continue // another store may be writing it
			}
			if err := removeFile(s.sys, path); err != nil {
				return err
			}
		case ".memory":
			e := read[i].entry
			if e == nil && !errors.Is(read[i].key, seal.ErrOtherKey) {
				e = s.scanFile(path)
			}
			if e != nil {
				found = append(found, e)
			}
		case durableSuffix:
			s.durable[strings.TrimSuffix(f.Name(), durableSuffix)+".memory"] = true
		}
	}
	slices.SortFunc(found, func(a, b *Entry) int { return a.Used.Compare(b.Used) }) // as in byUse
	s.mu.Lock()
	for _, f := range all {
		if name, ok := strings.CutSuffix(f.Name(), ".pin"); ok {
			s.pins[name+".memory"] = true
		}
	}
	for _, e := range found {
		s.note(e)
	}
	s.mu.Unlock()
	s.trimBad()
	s.sweep(0, kv.Agent{})
	return nil
}

// An examined file was read at a start.
type examined struct {
	entry *Entry // what the index is to know of it; nil: scanFile has to look at it
	ours  bool   // it is sealed with a key of the store
	key   error  // why it is not known which key it is sealed with
}

const (
	readers   = 8   // goroutines that read files: more than processors, since a disk has some wait
	aloneUpTo = 256 // and one does where there are no more than so many
	askers    = 16  // goroutines that read objects, each of which takes a while to answer and no work
)

// examineAll reads the headers of all memories in a directory, each in its place in all.
func (s *Store) examineAll(all []fs.FileInfo) []examined {
	read := make([]examined, len(all))
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
			if filepath.Ext(all[i].Name()) == ".memory" {
				read[i] = s.examine(filepath.Join(s.dir, all[i].Name()))
			}
		}
	}
	more := min(readers-1, len(all)/aloneUpTo)
	if s.fenced != nil {
		more = min(askers-1, len(all))
	}
	var others sync.WaitGroup
	for range more {
		others.Go(work)
	}
	work()
	others.Wait()
	return read
}

// examine reads the header of a file, and changes nothing.
func (s *Store) examine(path string) (x examined) {
	sys, err := s.view(filepath.Base(path), true)
	if err != nil {
		x.key = err
		return x
	}
	f, err := sys.Open(path)
	if err != nil {
		return x
	}
	defer f.Close()
	if s.fenced != nil { // it was opened with the keys that there are, or with none
		x.ours = len(s.keys) > 0
	} else {
		x.ours, x.key = s.isOurs(f, path)
	}
	p, _, err := s.opened(f, path)
	if err != nil || x.ours != (len(s.keys) > 0) {
		return x
	}
	e, err := p.entry()
	if err == nil && FileName(e.Header.Agent) == filepath.Base(path) {
		lookPinned(sys, e, path)
		x.entry = e
	}
	return x
}

// lookPinned notes whether a memory is pinned. One whose pin the disk fails to look up may be.
func lookPinned(sys files.System, e *Entry, path string) {
	_, err := sys.Stat(pinName(path))
	e.Pinned = !errors.Is(err, fs.ErrNotExist)
}

// scanFile returns what the index is to know of a file, which it sets aside if that is of no use.
// One that the disk fails to read stays as it is, to be read again, unless a newer memory takes its
// place before. One that another key has sealed stays so too, and is not read again, since the keys
// stay the same.
func (s *Store) scanFile(path string) *Entry {
	sys, release, err := s.guard(filepath.Base(path), true)
	if err != nil {
		slog.Warn("memory file left alone", "file", filepath.Base(path), "reason", err)
		s.unread = append(s.unread, path)
		return nil
	}
	defer release()
	e, err := s.sealedEntry(sys, path)
	if errors.Is(err, fs.ErrNotExist) { // another store has just deleted it
		return nil
	}
	if err == nil && FileName(e.Header.Agent) != filepath.Base(path) {
		err = corrupt("it is named for another agent")
	}
	if err != nil && !useless(err) {
		slog.Warn("memory file left alone", "file", filepath.Base(path), "reason", err)
		if !errors.Is(err, seal.ErrOtherKey) {
			s.unread = append(s.unread, path)
		}
		return nil
	}
	if err != nil {
		slog.Warn("memory file set aside", "file", filepath.Base(path), "reason", err)
		s.setAside(sys, path, err)
		return nil
	}
	lookPinned(sys, e, path)
	return e
}

// note puts an entry into the index. The caller holds mu.
func (s *Store) note(e *Entry) {
	if len(s.pins) > 0 {
		delete(s.pins, FileName(e.Header.Agent))
	}
	s.index[e.Header.Agent] = e
	s.changes++
	s.byUse.add(e)
	s.bytes += e.Bytes
	s.sizes[e.Header.Agent.Principal] += e.Bytes
}

// SetQuotas says how many bytes the files of each principal may take; a principal that is not in
// quotas has no quota of its own.
func (s *Store) SetQuotas(quotas map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quotas = quotas
}

// Sizes returns how many bytes the files of each principal take.
func (s *Store) Sizes() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sizes)
}

// sealedEntry is readEntry of a file that may be older than the store's key.
func (s *Store) sealedEntry(sys files.System, path string) (*Entry, error) {
	if len(s.fileKeys()) > 0 {
		if err := s.sealPlain(path); err != nil {
			return nil, err
		}
	}
	return s.readEntry(sys, path)
}

func (s *Store) readEntry(sys files.System, path string) (*Entry, error) {
	p, err := s.openPlain(sys, path)
	if err != nil {
		return nil, err
	}
	defer p.f.Close()
	return p.entry()
}

// entry reads the header of a file.
func (p *plainFile) entry() (*Entry, error) {
	info, err := p.f.Stat()
	if err != nil {
		return nil, err
	}
	h, header, err := readHeader(bufio.NewReader(p.r), p.size)
	if err == nil && (h.fileBytes(len(header)) != p.size || h.Tagged) {
		err = corrupt("%d bytes for %d tokens; it must be %d",
			p.size, h.Tokens, h.fileBytes(len(header)))
	}
	if err != nil {
		return nil, err
	}
	return &Entry{Header: h, Bytes: info.Size(), Used: info.ModTime()}, nil
}

// FileName returns the name of an agent's file. It is made of hashes, because an agent's name is
// not to be trusted with paths. Files of one principal begin alike.
func FileName(agent kv.Agent) string {
	if agent.Principal == "" {
		sum := sha256.Sum256([]byte(agent.Name))
		return hex.EncodeToString(sum[:16]) + ".memory"
	}
	whose, sum := kv.Digest(agent.Principal), kv.Digest(agent.Principal, agent.Name)
	return hex.EncodeToString(whose[:8]) + "-" + hex.EncodeToString(sum[:16]) + ".memory"
}

func pinName(path string) string { return strings.TrimSuffix(path, ".memory") + ".pin" }

func (s *Store) path(agent kv.Agent) string { return filepath.Join(s.dir, FileName(agent)) }

// Find returns what is known of an agent's file. It does not find one that has expired, although
// that may not be deleted yet.
func (s *Store) Find(agent kv.Agent) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index[agent]
	if e == nil || s.expired(e, time.Now()) {
		return Entry{}, false
	}
	return *e, true
}

// listed is how many entries List looks at while it keeps others, the engine's goroutine among
// them, from the index.
const listed = 1000

// List returns what is known of the files of the agents that are wanted, in no order. What changes
// meanwhile may be there or not.
func (s *Store) List(wanted func(kv.Agent) bool) (all []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for agent, e := range s.index {
		if wanted(agent) {
			all = append(all, *e)
		}
		if n++; n%listed == 0 {
			s.mu.Unlock()
			s.mu.Lock()
		}
	}
	return all
}

// Pinned reports whether neither the quota nor age may delete an agent's snapshot, or its next one
// where the last was set aside.
func (s *Store) Pinned(agent kv.Agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index[agent]; e != nil {
		return e.Pinned
	}
	return len(s.pins) > 0 && s.pins[FileName(agent)]
}

// Size returns how many snapshots there are and how many bytes their files take.
func (s *Store) Size() (files int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.index), s.bytes
}

// forget takes an entry out of the index, and leaves its pin. The caller holds mu.
func (s *Store) forget(e *Entry) {
	s.bytes -= e.Bytes
	s.changes++
	delete(s.index, e.Header.Agent)
	if s.byUse.remove(e); e.Pinned {
		s.pins[FileName(e.Header.Agent)] = true
	}
	principal := e.Header.Agent.Principal
	if s.sizes[principal] -= e.Bytes; s.sizes[principal] == 0 {
		delete(s.sizes, principal)
	}
}

// unlink deletes an agent's file.
func (s *Store) unlink(sys files.System, agent kv.Agent) {
	path := s.path(agent)
	sys.Remove(path) // an error leaves a file that the next start finds; nothing else can be done
	sys.Remove(pinName(path))
}

// Remove deletes an agent's snapshot because its owner wants that, and reports whether there was
// one. Once it returns without an error, a loss of power does not bring the snapshot back.
//
// It has at call take, which takes the snapshot out of the index, so that the caller can have that
// happen at one moment with what it changes itself. An error of at ends it.
func (s *Store) Remove(agent kv.Agent, at func(take func()) error) (found bool, err error) {
	s.change.Lock()
	defer s.change.Unlock()
	err = s.owning(agent, s.grant(agent), func(sys files.System) error {
		found, err = s.remove(sys, agent, at)
		return err
	})
	return found, err
}

func (s *Store) remove(sys files.System, agent kv.Agent, at func(take func()) error) (
	found bool, err error,
) {
	var e *Entry
	marked, name := false, FileName(agent)
	err = at(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e = s.index[agent]; e != nil {
			s.forget(e)
		}
		marked = s.durable[name] || s.pins[name]
		s.forgetGone(agent)
	})
	if err != nil {
		return false, err
	}
	path := s.path(agent)
	err = sys.Remove(path) // a file that could not be read at the start is not in the index
	if errors.Is(err, fs.ErrNotExist) {
		if e == nil && !marked {
			return false, nil
		}
	} else if err != nil {
		if e != nil {
			s.mu.Lock()
			s.note(e)
			s.mu.Unlock()
		}
		return true, fmt.Errorf("agent %q: its memory was not deleted: %w", agent.Name, err)
	}
	err = errors.Join(removeFile(sys, pinName(path)), removeFile(sys, s.durablePath(name)))
	if err == nil {
		s.mu.Lock()
		delete(s.durable, name)
		delete(s.pins, name)
		s.mu.Unlock()
		err = sys.SyncDir(s.dir)
	}
	if err != nil {
		return true, fmt.Errorf("agent %q: its memory may be back after a loss of power: %w",
			agent.Name, err)
	}
	return true, nil
}

// removeFile removes a file that may be missing.
func removeFile(sys files.System, path string) error {
	if err := sys.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Pin protects a snapshot from quota and age, or stops doing so.
func (s *Store) Pin(agent kv.Agent, pinned bool) error {
	s.change.Lock()
	defer s.change.Unlock()
	if _, ok := s.Find(agent); !ok {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	err := s.owning(agent, s.grant(agent), func(sys files.System) error {
		return s.mark(sys, pinName(s.path(agent)), pinned)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	if e := s.index[agent]; e != nil {
		s.byUse.remove(e)
		e.Pinned = pinned
		s.byUse.add(e)
	}
	s.mu.Unlock()
	if s.aging != nil {
		s.aging.Reset(s.untilExpiry())
	}
	return nil
}

// Touch notes that a snapshot was of use.
func (s *Store) Touch(agent kv.Agent) {
	now := time.Now()
	s.sys.Touch(s.path(agent), now) // an error costs one place in the order of eviction
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index[agent]; e != nil {
		s.byUse.remove(e)
		e.Used = now
		s.byUse.add(e)
	}
}

// Close gives the directory back. The files stay.
func (s *Store) Close() {
	s.change.Lock()
	s.over = true
	for _, t := range []*time.Timer{s.aging, s.rereading} {
		if t != nil {
			t.Stop()
		}
	}
	s.change.Unlock()
	if s.share != nil {
		s.withdraw()
		return
	}
	s.unlock()
}

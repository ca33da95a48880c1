// Package filestest has file systems for tests: one in memory that loses power (Sim), and one
// around another that fails (Tap).
package filestest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/internal/files"
)

// ErrPower is what every call returns after the power has gone.
var ErrPower = errors.New("the power is gone")

// A Sim is a file system in memory that knows what would survive if the power went now. Its model
// is the least that POSIX promises, with a rename that is atomic:
//
//   - What was written to a file since it was last synced may be there, be missing, or be there in
//     part, each write for itself. Where a later write is there and an earlier one is not, there
//     are zeros.
//   - What was made, renamed and removed in a directory since that was last synced may have
//     happened or not, each change for itself. A name may survive without the data.
//   - A sync that fails has lost what it should have written: a later one that succeeds does not
//     bring it back, as on Linux.
type Sim struct {
	mu    sync.Mutex
	root  *node
	boots int // how often the power has come back; what was opened before is dead
	names int // files made, for their names
}

// A node is a file or a directory.
type node struct {
	dir      bool
	modified time.Time

	data   []byte  // of a file
	stable []byte  // the part of data that is synced
	writes []write // since then, in order

	entries map[string]*node // of a directory
	synced  map[string]*node
	changes []change // since then, in order
	locked  bool
}

// A write is one that is not synced.
type write struct {
	at   int
	data []byte
	lost bool // by a sync that failed
}

// A change of a directory: name stands for node (nil: for nothing), and from no longer does.
type change struct {
	name, from string
	node       *node
}

// NewSim returns an empty file system.
func NewSim() *Sim { return &Sim{root: newDir()} }

func newDir() *node {
	return &node{dir: true, entries: map[string]*node{}, synced: map[string]*node{}}
}

// System returns the file system as a process sees it that starts now. All calls fail after the
// power has gone.
func (s *Sim) System() files.System {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &mount{s, s.boots}
}

// Crash has the power go and come back. What was not synced survives as rng decides; nil has
// nothing of it survive.
func (s *Sim) Crash(rng *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boots++
	s.root.reboot(rng)
}

// Survivors decides for [Sim.Crash] what survives the loss of power with a number: with 0 nothing
// that was not synced.
func Survivors(seed uint64) *rand.Rand {
	if seed == 0 {
		return nil
	}
	return rand.New(rand.NewPCG(seed, 0))
}

// reboot leaves of a node what survives.
func (n *node) reboot(rng *rand.Rand) {
	if !n.dir {
		n.data = survivors(n.stable, n.writes, rng)
		n.stable, n.writes = slices.Clone(n.data), nil
		return
	}
	for _, c := range n.changes {
		if rng == nil || rng.IntN(2) == 0 {
			continue
		}
		c.apply(n.synced)
	}
	n.changes, n.locked = nil, false
	n.entries = make(map[string]*node, len(n.synced))
	// In the order of the names, so that the same seed gives the same survivors.
	for _, name := range sortedNames(n.synced) {
		child := n.synced[name]
		n.entries[name] = child
		child.locked = false
		child.reboot(rng)
	}
}

func (c change) apply(entries map[string]*node) {
	delete(entries, c.from)
	if delete(entries, c.name); c.node != nil {
		entries[c.name] = c.node
	}
}

// survivors returns the content of a file of which stable is synced.
func survivors(stable []byte, writes []write, rng *rand.Rand) []byte {
	data := slices.Clone(stable)
	if rng == nil {
		return data
	}
	for _, w := range writes {
		part := w.data
		switch rng.IntN(3) {
		case 0:
			continue
		case 1:
			part = part[:rng.IntN(len(part)+1)]
		}
		data = overwrite(data, w.at, part)
	}
	return data
}

// overwrite returns data with b at an offset, with zeros between if need be.
func overwrite(data []byte, at int, b []byte) []byte {
	if end := at + len(b); end > len(data) {
		data = append(data, make([]byte, end-len(data))...)
	}
	copy(data[at:], b)
	return data
}

func sortedNames(entries map[string]*node) []string {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Names returns the names in a directory, in order.
func (s *Sim) Names(dir string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(dir)
	if err != nil {
		return nil
	}
	return sortedNames(n.entries)
}

// Flip changes a bit of a file, as a disk that rots does. It reports whether there is one.
func (s *Sim) Flip(path string, bit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(path)
	if err != nil || len(n.data) == 0 {
		return false
	}
	at := bit / 8 % len(n.data)
	n.data[at] ^= 1 << (bit % 8)
	n.stable, n.writes = slices.Clone(n.data), nil
	return true
}

// find returns what a path stands for. The caller holds mu.
func (s *Sim) find(path string) (*node, error) {
	n := s.root
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(path)), "/") {
		if part == "" || part == "." {
			continue
		}
		next := n.entries[part]
		if next == nil {
			return nil, &fs.PathError{Op: "find", Path: path, Err: fs.ErrNotExist}
		}
		n = next
	}
	return n, nil
}

// A mount is a Sim between two losses of power.
type mount struct {
	*Sim
	boot int
}

// enter takes the lock and returns the node of a path, or an error if the power is gone or there is
// none.
func (m *mount) enter(path string) (n *node, leave func(), err error) {
	m.mu.Lock()
	if m.boot != m.boots {
		m.mu.Unlock()
		return nil, nil, ErrPower
	}
	if n, err = m.find(path); err != nil {
		m.mu.Unlock()
		return nil, nil, err
	}
	return n, m.mu.Unlock, nil
}

// change makes a change of the directory that has the path.
func (m *mount) change(path, from string, made *node) error {
	dir, leave, err := m.enter(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer leave()
	dir.make(change{filepath.Base(path), from, made})
	return nil
}

func (n *node) make(c change) {
	c.apply(n.entries)
	n.changes = append(n.changes, c)
}

func (m *mount) MkdirAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.boot != m.boots {
		return ErrPower
	}
	n := m.root
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(path)), "/") {
		if part == "" || part == "." {
			continue
		}
		if n.entries[part] == nil {
			n.make(change{name: part, node: newDir()})
		}
		n = n.entries[part]
	}
	return nil
}

func (m *mount) Infos(dir string) ([]fs.FileInfo, error) {
	n, leave, err := m.enter(dir)
	if err != nil {
		return nil, err
	}
	defer leave()
	var infos []fs.FileInfo
	for _, name := range sortedNames(n.entries) {
		infos = append(infos, n.entries[name].info(name))
	}
	return infos, nil
}

func (m *mount) Stat(path string) (fs.FileInfo, error) {
	n, leave, err := m.enter(path)
	if err != nil {
		return nil, err
	}
	defer leave()
	return n.info(filepath.Base(path)), nil
}

func (m *mount) Open(path string) (files.File, error) {
	n, leave, err := m.enter(path)
	if err != nil {
		return nil, err
	}
	defer leave()
	return &handle{mount: m, node: n, name: path}, nil
}

func (m *mount) Create(dir, pattern string) (files.File, error) {
	m.mu.Lock()
	m.names++
	path := filepath.Join(dir, strings.Replace(pattern, "*", fmt.Sprint(m.names), 1))
	m.mu.Unlock()
	n := &node{modified: time.Now()}
	if err := m.change(path, "", n); err != nil {
		return nil, err
	}
	return &handle{mount: m, node: n, name: path}, nil
}

func (m *mount) Mark(path string) error {
	if _, err := m.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.change(path, "", &node{modified: time.Now()})
}

func (m *mount) Rename(from, to string) error {
	n, leave, err := m.enter(from)
	if err != nil {
		return err
	}
	leave()
	return m.change(to, filepath.Base(from), n)
}

func (m *mount) Remove(path string) error {
	_, leave, err := m.enter(path)
	if err != nil {
		return err
	}
	leave()
	return m.change(path, "", nil)
}

func (m *mount) Touch(path string, at time.Time) error {
	n, leave, err := m.enter(path)
	if err != nil {
		return err
	}
	defer leave()
	n.modified = at
	return nil
}

func (m *mount) SyncDir(dir string) error {
	n, leave, err := m.enter(dir)
	if err != nil {
		return err
	}
	defer leave()
	for _, c := range n.changes {
		c.apply(n.synced)
	}
	n.changes = nil
	return nil
}

func (m *mount) Lock(path string) (unlock func(), err error) {
	if err := m.Mark(path); err != nil {
		return nil, err
	}
	n, leave, err := m.enter(path)
	if err != nil {
		return nil, err
	}
	defer leave()
	if n.locked {
		return nil, files.ErrLocked
	}
	n.locked = true
	return func() {
		if n, leave, err := m.enter(path); err == nil {
			n.locked = false
			leave()
		}
	}, nil
}

// A handle is an open file of a Sim.
type handle struct {
	*mount
	node   *node
	name   string
	at     int
	closed bool
}

// alive takes the lock, or returns an error if the file is no longer open.
func (h *handle) alive() error {
	h.mu.Lock()
	switch {
	case h.boot != h.boots:
		h.mu.Unlock()
		return ErrPower
	case h.closed:
		h.mu.Unlock()
		return fs.ErrClosed
	}
	return nil
}

func (h *handle) Name() string { return h.name }

func (h *handle) Read(b []byte) (int, error) {
	n, err := h.ReadAt(b, int64(h.at))
	if h.at += n; n > 0 {
		err = nil
	}
	return n, err
}

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	if err := h.alive(); err != nil {
		return 0, err
	}
	defer h.mu.Unlock()
	if at >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.node.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Seek(offset int64, whence int) (int64, error) {
	if err := h.alive(); err != nil {
		return 0, err
	}
	defer h.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += int64(h.at)
	case io.SeekEnd:
		offset += int64(len(h.node.data))
	}
	h.at = int(offset)
	return offset, nil
}

func (h *handle) Write(b []byte) (int, error) {
	if err := h.alive(); err != nil {
		return 0, err
	}
	defer h.mu.Unlock()
	n := h.node
	n.data = overwrite(n.data, h.at, b)
	n.writes = append(n.writes, write{at: h.at, data: slices.Clone(b)})
	n.modified = time.Now()
	h.at += len(b)
	return len(b), nil
}

func (h *handle) Sync() error {
	if err := h.alive(); err != nil {
		return err
	}
	defer h.mu.Unlock()
	n := h.node
	var lost []write
	for _, w := range n.writes {
		if w.lost {
			lost = append(lost, w)
			continue
		}
		n.stable = overwrite(n.stable, w.at, w.data)
	}
	n.writes = lost
	return nil
}

// loseWrites is a sync that fails.
func (h *handle) loseWrites() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.node.writes {
		h.node.writes[i].lost = true
	}
}

func (h *handle) Close() error {
	if err := h.alive(); err != nil {
		return err
	}
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

func (h *handle) Stat() (fs.FileInfo, error) {
	if err := h.alive(); err != nil {
		return nil, err
	}
	defer h.mu.Unlock()
	return h.node.info(filepath.Base(h.name)), nil
}

func (h *handle) Is(path string) bool {
	n, leave, err := h.enter(path)
	if err != nil {
		return false
	}
	defer leave()
	return n == h.node
}

// info is what a node was when it was asked.
type info struct {
	name     string
	size     int64
	modified time.Time
	dir      bool
}

func (n *node) info(name string) fs.FileInfo {
	return info{name, int64(len(n.data)), n.modified, n.dir}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

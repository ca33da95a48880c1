package objects

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"

	"loadstone/internal/files"
	"loadstone/internal/seal"
)

// A file is open for reading. It stays as it was when it was opened, for as long as its chunks are
// there: some minutes at least after another one has its name.
type file struct {
	sys   *System
	path  string
	info  fs.FileInfo
	entry *entry // nil: of a lock
	head  []byte
	ends  []int64 // of each chunk, in the file
	at    int64
	last  int // the chunk that was read last

	mu      sync.Mutex
	fetches map[int]*fetched
}

// A fetched is a chunk that is being fetched, or was.
type fetched struct {
	done    chan struct{}
	content []byte
	err     error
}

// ahead is how many chunks are fetched before they are read.
const ahead = 4

func (s *System) openIn(r *record, p place) (files.File, error) {
	i, err := s.statIn(r, p)
	if err != nil {
		return nil, err
	}
	e := r.Files[p.end]
	f := &file{sys: s, path: p.path, info: i, entry: e, last: -1, fetches: make(map[int]*fetched)}
	if f.head, err = expand(e); err != nil {
		return nil, err
	}
	at := int64(len(f.head))
	for _, ref := range e.Refs {
		at += int64(ref.size)
		f.ends = append(f.ends, at)
	}
	if at != e.Size {
		return nil, fmt.Errorf("%w: %s has parts of %d bytes, and should have %d", seal.ErrBroken,
			p.path, at, e.Size)
	}
	return f, nil
}

// expand returns the head of a file.
func expand(e *entry) ([]byte, error) {
	if e.HeadSize < 0 || e.HeadSize > maxHead {
		return nil, fmt.Errorf("%w: a head of %d bytes", seal.ErrBroken, e.HeadSize)
	}
	head := make([]byte, e.HeadSize)
	_, err := io.ReadFull(flate.NewReader(bytes.NewReader(e.Head)), head)
	if err != nil && e.HeadSize > 0 {
		return nil, fmt.Errorf("%w: head: %w", seal.ErrBroken, err)
	}
	return head, nil
}

func (f *file) Name() string               { return f.path }
func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Sync() error                { return nil }
func (f *file) Close() error               { return nil }
func (f *file) Write([]byte) (int, error)  { return 0, fs.ErrPermission }

func (f *file) Read(b []byte) (int, error) {
	n, err := f.read(b, f.at, true)
	f.at += int64(n)
	return n, err
}

func (f *file) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = f.read(b[n:], at+int64(n), false)
		n += m
	}
	return n, err
}

// read reads some bytes. In a row, it has further chunks fetched meanwhile.
func (f *file) read(b []byte, at int64, inRow bool) (int, error) {
	if at < int64(len(f.head)) {
		return copy(b, f.head[at:]), nil
	}
	i := sort.Search(len(f.ends), func(i int) bool { return f.ends[i] > at })
	if i == len(f.ends) {
		return 0, io.EOF
	}
	further := 0
	if inRow && i > 0 && (i == f.last || i == f.last+1) {
		further = ahead
	}
	f.last = i
	content, err := f.chunk(i, further)
	if err != nil {
		return 0, err
	}
	if len(content) != f.entry.Refs[i].size {
		return 0, fmt.Errorf("%w: it has %d bytes", ErrLost, len(content))
	}
	return copy(b, content[at-f.ends[i]+int64(len(content)):]), nil
}

// chunk returns chunk i, and begins to fetch some further ones.
func (f *file) chunk(i, further int) ([]byte, error) {
	f.mu.Lock()
	for old := range f.fetches {
		if old < i {
			delete(f.fetches, old)
		}
	}
	for j := i; j <= min(i+further, len(f.ends)-1); j++ {
		if f.fetches[j] == nil {
			f.fetches[j] = f.begin(f.entry.Refs[j])
		}
	}
	got := f.fetches[i]
	f.mu.Unlock()
	<-got.done
	return got.content, got.err
}

func (f *file) begin(r ref) *fetched {
	got := &fetched{done: make(chan struct{})}
	go func() {
		defer close(got.done)
		got.content, got.err = f.sys.fetch(f.entry, r)
	}()
	return got
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.info.Size()
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	f.at = offset
	return offset, nil
}

// Is reports whether a path names this file at present, not one that was written since.
func (f *file) Is(path string) bool {
	p, err := find(path)
	if err != nil || p.record == "" || f.entry == nil {
		return false
	}
	r, err := f.sys.load(p.record)
	if err != nil {
		return false
	}
	e := r.record.Files[p.end]
	return e != nil && e.ID == f.entry.ID
}

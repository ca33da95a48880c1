package objects

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"loadstone/internal/files"
)

// A draft is a file that is being written. It is in RAM and, as far as it is cut into chunks, in
// the bucket; others see it when it gets its name.
type draft struct {
	sys     *System
	path    string
	group   string
	chunker *chunker

	head    []byte // what goes into the record, once headEnds
	headEnd bool
	rest    []byte // written after the head and not in a chunk yet; before, of the head
	size    int64
	refs    refs
	named   map[[idBytes]byte]ref // the same
	done    *entry

	work  sync.WaitGroup
	slots chan struct{} // one for each upload that may be under way

	mu  sync.Mutex
	err error // of an upload

	modified  time.Time // under sys.mu: by Touch; zero: when it is done
	taken     refs      // under sys.mu: the chunks that it will name
	condemned bool      // under sys.mu: a collection may remove one of them
}

// groupOf returns the group of a file: the part of its name before the first hyphen, "" if it has
// none. Files have chunks in common with those of their group only.
func groupOf(path string) string {
	group, _, ok := strings.Cut(filepath.Base(path), "-")
	if !ok {
		return ""
	}
	return group
}

// Create begins a file; pattern is its name with something in place of its *. It costs no object.
func (s *System) Create(dir, pattern string) (files.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	path := filepath.Join(dir, strings.Replace(pattern, "*", fmt.Sprint(s.made), 1))
	if _, err := find(path); err != nil {
		return nil, err
	}
	d := &draft{
		sys: s, path: path, group: groupOf(path), chunker: s.chunkers[0],
		named: make(map[[idBytes]byte]ref),
		slots: make(chan struct{}, atOnce),
	}
	s.drafts[path] = d
	return d, nil
}

// dropDraft forgets a file that is being written, and reports whether there is one.
func (s *System) dropDraft(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.drafts[path]
	delete(s.drafts, path)
	return ok
}

func (d *draft) Name() string { return d.path }

func (d *draft) Write(b []byte) (int, error) {
	if d.done != nil {
		return 0, fs.ErrClosed
	}
	n := len(b)
	for len(b) > 0 {
		limit := maxChunk
		if !d.headEnd {
			limit = maxHead
		}
		took := min(len(b), limit-len(d.rest))
		d.rest = append(d.rest, b[:took]...)
		b = b[took:]
		d.size += int64(took)
		if len(d.rest) == limit {
			d.headEnd = true // what is larger has no head
			d.chunk()
		}
	}
	return n, d.failed()
}

// Cut says that other files may have the same content from here on: a chunk begins. What comes
// before the first cut is kept where the file's name is.
func (d *draft) Cut() {
	if !d.headEnd {
		d.head, d.rest, d.headEnd = d.rest, nil, true
		return
	}
	d.chunk()
}

// chunk makes a chunk of what was written since the last one, and begins to put it.
func (d *draft) chunk() {
	content := d.rest
	if d.rest = nil; len(content) == 0 {
		return
	}
	id := d.chunker.id(d.group, content)
	r, ok := d.named[id]
	if !ok {
		var known bool
		r, known = d.sys.name(d, id, len(content))
		d.named[id] = r
		if !known {
			d.slots <- struct{}{}
			d.work.Go(func() {
				defer func() { <-d.slots }()
				if err := d.sys.upload(d.chunker, d.group, r, content); err != nil {
					d.mu.Lock()
					d.err = cmp.Or(d.err, err)
					d.mu.Unlock()
				}
			})
		}
	}
	d.refs = append(d.refs, r)
}

func (d *draft) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Sync waits until all chunks are in the bucket.
func (d *draft) Sync() error {
	_, err := d.finish()
	return err
}

// finish makes the entry of the file.
func (d *draft) finish() (*entry, error) {
	if d.done != nil {
		return d.done, d.failed()
	}
	if d.headEnd {
		d.chunk()
	} else {
		d.head = d.rest
	}
	d.work.Wait()
	e := &entry{ID: rand.Text(), Size: d.size, Group: d.group, Sealed: d.chunker.keyID(),
		HeadSize: len(d.head), Head: compress(d.head), Refs: d.refs}
	d.sys.mu.Lock()
	at := d.modified
	d.sys.mu.Unlock()
	if at.IsZero() {
		at = time.Now()
	}
	e.Modified = at.UnixNano()
	d.done = e
	if err := d.failed(); err != nil || len(d.refs) == 0 {
		return e, err
	}
	// After the lease was taken, without which nobody writes; see Collect.
	return e, d.sys.catchUp()
}

// Close does nothing: Remove ends a file that gets no name.
func (d *draft) Close() error { return nil }

func (d *draft) Stat() (fs.FileInfo, error) {
	return info{filepath.Base(d.path), d.size, time.Now()}, nil
}

func (d *draft) Is(string) bool { return false }

var errWriteOnly = errors.New("the file is being written")

func (d *draft) Read([]byte) (int, error)          { return 0, errWriteOnly }
func (d *draft) ReadAt([]byte, int64) (int, error) { return 0, errWriteOnly }
func (d *draft) Seek(int64, int) (int64, error)    { return 0, errWriteOnly }

func compress(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err) // only another level could fail
	}
	w.Write(b) // a buffer takes all
	w.Close()
	return out.Bytes()
}

// name returns the name of a chunk for a draft; see names.find.
func (s *System) name(d *draft, id [idBytes]byte, size int) (r ref, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known = s.known.find(id, size)
	d.taken = append(d.taken, r)
	return r, known
}

// ErrCollected says that a file may not get its name because a collection may have removed one of
// its chunks meanwhile. Written again, it gets others.
var ErrCollected = errors.New("a chunk was about to be removed; the file must be written again")

// checkNames returns an error unless a draft's chunks may be named in a record that a collection
// has marked in an epoch.
func (s *System) checkNames(d *draft, epoch int64) error {
	if epoch > s.known.now() {
		if err := s.catchUp(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.condemned {
		return ErrCollected
	}
	return nil
}

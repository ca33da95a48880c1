package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/seal"
)

// A System is a file system in a bucket, with one directory, Root. See the documentation of the
// package.
type System struct {
	bucket   Bucket
	keys     []*seal.Key // what is written is sealed with the first; none: it is not
	fence    string
	term     time.Duration
	reach    *reach
	chunkers []*chunker // one for each key; where there is none, one without a key

	mu       sync.Mutex
	drafts   map[string]*draft    // by path
	made     int                  // drafts, for their names
	touched  map[string]time.Time // by path of a file; not in its record yet
	own      map[string]*read     // records as this System has written them, by name
	listed   map[string]*summary  // of records, by name
	sights   map[string]sight     // of locks, by path
	locks    map[string]*lock     // that this System holds, by path
	suspects map[string]time.Time // chunks that nothing named, since when; see Collect

	chunks *cache
	known  *names
	epochs chan struct{} // full while a goroutine reads what collections have condemned
}

// Root is the path of the only directory; others are in it.
const Root = "memories"

// Limits of what a System keeps in RAM.
const (
	maxOwn   = 1 << 10 // records
	maxKnown = 1 << 18 // names of chunks
)

// Options of a System.
type Options struct {
	// Keys seal what is written, with the first of them, and open what was sealed with any. None:
	// nothing is sealed.
	Keys []*seal.Key
	// Fence is how the names of files end that fences are; see Begin.
	Fence string
	// Term is how long a lock lasts that is not renewed by Touch. No operation is waited for longer
	// than a third of it.
	Term time.Duration
	// Cache is how many bytes of chunks are kept in RAM, so that what many files have in common is
	// fetched once.
	Cache int64
}

// New returns the file system in a bucket.
func New(b Bucket, o Options) *System {
	return &System{
		bucket:   b,
		keys:     o.Keys,
		fence:    o.Fence,
		term:     o.Term,
		reach:    &reach{limit: o.Term / 3},
		chunkers: newChunkers(o.Keys),
		drafts:   make(map[string]*draft),
		touched:  make(map[string]time.Time),
		own:      make(map[string]*read),
		listed:   make(map[string]*summary),
		sights:   make(map[string]sight),
		locks:    make(map[string]*lock),
		suspects: make(map[string]time.Time),
		chunks:   newCache(o.Cache),
		known:    newNames(maxKnown),
		epochs:   make(chan struct{}, 1),
	}
}

// A place is what a path stands for.
type place struct {
	path   string
	record string // the record's object; "": the path is of a lock
	end    string // what follows the record's name in the file's: memory of ann.memory
	object string // of a lock
}

const (
	recordsDir = "records/"
	locksDir   = "locks/"
	chunksDir  = "chunks/"
)

// find returns what a path stands for. A name with a dot is a file's, one without is a lock's.
func find(path string) (place, error) {
	rel, err := filepath.Rel(Root, path)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return place{}, &fs.PathError{Op: "find", Path: path, Err: fs.ErrInvalid}
	}
	rel = filepath.ToSlash(rel)
	name, end, ok := strings.Cut(rel, ".")
	if !ok {
		return place{path: path, object: locksDir + rel}, nil
	}
	if strings.Contains(rel, "/") {
		return place{}, &fs.PathError{Op: "find", Path: path, Err: fs.ErrInvalid}
	}
	return place{path: path, record: recordsDir + name, end: end}, nil
}

// MkdirAll does nothing: an object's name needs no directory.
func (s *System) MkdirAll(string) error { return nil }

// SyncDir does nothing: what was put is durable.
func (s *System) SyncDir(string) error { return nil }

// Infos lists the files in Root, or the locks in a directory below it.
func (s *System) Infos(dir string) ([]fs.FileInfo, error) {
	if rel, err := filepath.Rel(Root, dir); err != nil || rel != "." {
		return s.lockInfos(dir)
	}
	all, err := s.summaries()
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for _, sum := range all {
		for _, f := range sum.files {
			f.modified = s.lastTouch(filepath.Join(Root, f.name), f.modified)
			infos = append(infos, f)
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return infos, nil
}

// lastTouch returns when a file was last modified or touched.
func (s *System) lastTouch(path string, modified time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.touched[path]; at.After(modified) {
		return at
	}
	return modified
}

func (s *System) Stat(path string) (fs.FileInfo, error) {
	p, err := find(path)
	if err != nil {
		return nil, err
	}
	if p.record == "" {
		return s.lockInfo(p)
	}
	r, err := s.load(p.record)
	if err != nil {
		return nil, err
	}
	return s.statIn(r.record, p)
}

func (s *System) statIn(r *record, p place) (fs.FileInfo, error) {
	e, ok := r.Files[p.end]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: p.path, Err: fs.ErrNotExist}
	}
	return info{filepath.Base(p.path), e.Size, s.lastTouch(p.path, e.modified())}, nil
}

func (s *System) Open(path string) (files.File, error) {
	p, err := find(path)
	if err != nil {
		return nil, err
	}
	if p.record == "" {
		i, err := s.lockInfo(p)
		if err != nil {
			return nil, err
		}
		return &file{sys: s, path: path, info: i}, nil
	}
	r, err := s.load(p.record)
	if err != nil {
		return nil, err
	}
	return s.openIn(r.record, p)
}

// Mark makes an empty file if there is none of this name.
func (s *System) Mark(path string) error { return s.outside(path, s.mark) }

func (s *System) mark(t *transaction, p place) error {
	if _, ok := t.read.record.Files[p.end]; ok {
		return nil
	}
	e := entry{ID: rand.Text(), Modified: time.Now().UnixNano()}
	return t.commit(change{sets: map[string]*entry{p.end: &e}})
}

// Remove removes a file, a lock's object or a file that is being written.
func (s *System) Remove(path string) error {
	if s.dropDraft(path) {
		return nil
	}
	p, err := find(path)
	if err == nil && p.record == "" {
		return s.removeLock(p)
	}
	return s.outside(path, s.remove)
}

func (s *System) remove(t *transaction, p place) error {
	if _, ok := t.read.record.Files[p.end]; !ok {
		return &fs.PathError{Op: "remove", Path: p.path, Err: fs.ErrNotExist}
	}
	return t.commit(change{sets: map[string]*entry{p.end: nil}})
}

// Rename gives a file another name of the same record, or gives a file that was written its name.
func (s *System) Rename(from, to string) error {
	return s.outside(to, func(t *transaction, p place) error { return s.rename(t, from, p) })
}

func (s *System) rename(t *transaction, from string, to place) error {
	s.mu.Lock()
	d := s.drafts[from]
	s.mu.Unlock()
	if d != nil {
		e, err := d.finish()
		if err != nil {
			return err
		}
		if len(e.Refs) > 0 && t.fence == "" {
			return &fs.PathError{Op: "rename", Path: to.path,
				Err: errors.New("a file with chunks gets its name behind a fence only")}
		}
		err = t.commit(change{sets: map[string]*entry{to.end: e}, names: d})
		if err == nil {
			s.dropDraft(from)
		}
		return err
	}
	p, err := find(from)
	if err != nil {
		return err
	}
	if p.record != to.record {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrInvalid}
	}
	e, ok := t.read.record.Files[p.end]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	moved := *e
	return t.commit(change{sets: map[string]*entry{p.end: nil, to.end: &moved}})
}

// Touch renews a lock that this System holds. The time of a file it only notes, and writes with the
// next change of the file's record: it costs no object.
func (s *System) Touch(path string, at time.Time) error {
	p, err := find(path)
	if err != nil {
		return err
	}
	if p.record == "" {
		return s.renew(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drafts[path]; d != nil {
		d.modified = at
		return nil
	}
	s.touched[path] = at
	return nil
}

// outside carries out a change that is not in a transaction.
func (s *System) outside(path string, f func(*transaction, place) error) error {
	p, err := find(path)
	if err != nil {
		return err
	}
	if p.record == "" {
		return &fs.PathError{Op: "change", Path: path, Err: fs.ErrInvalid}
	}
	t, err := s.begin(p.record, "", true)
	if err != nil {
		return err
	}
	return f(t, p)
}

// info is what a file was when it was asked.
type info struct {
	name     string
	size     int64
	modified time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o600 }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

// Keep returns what an object of a bucket holds that all who share the bucket need to have alike,
// such as a salt. The first one to ask puts it there.
func Keep(ctx context.Context, b Bucket, name string, fresh []byte) ([]byte, error) {
	_, err := b.Put(ctx, name, fresh, None)
	if err == nil {
		return fresh, nil
	}
	data, _, getErr := b.Get(ctx, name) // another one was first, or the answer was lost
	if getErr != nil {
		return nil, fmt.Errorf("object %s: %w", name, errors.Join(err, getErr))
	}
	return data, nil
}

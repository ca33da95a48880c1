package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"loadstone/internal/files"
)

// A transaction changes the files of a record, as long as one of them, the fence, stays as it was.
// It is for one goroutine.
type transaction struct {
	*System
	name  string // of the record
	fence string // the end of the fence's name; "": there is none

	read    *read
	fenceID string // of the fence's entry; "": there is none
}

// Begin reads the files of Root whose names begin with name and a dot, all as they are at one
// moment, and returns the file system for changes of them. See files.Fenced.
func (s *System) Begin(dir, name, fence string, latest bool) (files.System, error) {
	p, err := find(filepath.Join(dir, fence))
	if err != nil {
		return nil, err
	}
	if p.record != recordsDir+name {
		return nil, &fs.PathError{Op: "begin", Path: p.path, Err: fs.ErrInvalid}
	}
	return s.begin(p.record, p.end, latest)
}

// begin takes a record as this System has last written it, if it has and it need not be the latest:
// if another one has changed it since, the first change finds that out.
func (s *System) begin(name, fence string, latest bool) (*transaction, error) {
	s.mu.Lock()
	r := s.own[name]
	s.mu.Unlock()
	if r == nil || latest {
		var err error
		if r, err = s.load(name); err != nil {
			return nil, err
		}
		if r.broken != nil {
			slog.Warn("what cannot be read will be replaced", "error", r.broken)
		}
	}
	t := &transaction{System: s, name: name, fence: fence, read: r}
	t.fenceID = t.fenceOf(r.record)
	return t, nil
}

func (t *transaction) fenceOf(r *record) string {
	if e := r.Files[t.fence]; t.fence != "" && e != nil {
		return e.ID
	}
	return ""
}

// A change replaces entries of a record.
type change struct {
	sets  map[string]*entry // nil: removed
	names *draft            // whose chunks it names; nil: none that the record does not name yet
}

// in reports whether a record has the change.
func (c *change) in(r *record) bool {
	for end, e := range c.sets {
		there := r.Files[end]
		if (e == nil) != (there == nil) || e != nil && e.ID != there.ID {
			return false
		}
	}
	return true
}

// commit makes a change, by a put on the condition that the record is as it was read. If it is not,
// because somebody else has changed it, or because an earlier try was done and its answer lost, it
// is read again: what is there may be the change itself, or may still allow it.
func (t *transaction) commit(c change) error {
	for try := 0; ; try++ {
		if err := t.allows(&c); err != nil {
			return err
		}
		next := t.read.record.with(c.sets)
		t.touchAll(next)
		version, err := t.put(next)
		if err == nil {
			t.done(&read{record: next, version: version})
			return nil
		}
		t.forgetOwn(t.name)
		if !errors.Is(err, ErrChanged) || try == tries {
			return err
		}
		if t.read, err = t.load(t.name); err != nil {
			return err
		}
		if c.in(t.read.record) {
			t.done(t.read)
			return nil
		}
	}
}

// allows returns an error unless a change may still be made.
func (t *transaction) allows(c *change) error {
	if t.fenceOf(t.read.record) != t.fenceID {
		return fmt.Errorf("%s: %w", strings.TrimPrefix(t.name, recordsDir), files.ErrFenced)
	}
	if c.names == nil {
		return nil
	}
	return t.checkNames(c.names, t.read.record.Epoch)
}

// done notes what the record is now.
func (t *transaction) done(r *read) {
	t.read, t.fenceID = r, t.fenceOf(r.record)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.own) >= maxOwn {
		for name := range t.own { // any
			delete(t.own, name)
			break
		}
	}
	if delete(t.own, t.name); r.version != None {
		t.own[t.name] = r
	}
}

func (s *System) forgetOwn(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, name)
}

// put writes a record in place of the one that was read, or removes it with its last file.
func (t *transaction) put(next *record) (version string, err error) {
	if len(next.Files) == 0 {
		err = t.reach.do(func(ctx context.Context) error {
			return t.bucket.Delete(ctx, t.name, t.read.version)
		})
		return None, err
	}
	data, err := t.encode(t.name, next)
	if err != nil {
		return None, err
	}
	if len(data) > MaxObject {
		return None, fmt.Errorf("object %s would have %d bytes and may have %d", t.name, len(data),
			MaxObject)
	}
	err = t.reach.do(func(ctx context.Context) (err error) {
		version, err = t.bucket.Put(ctx, t.name, data, t.read.version)
		return err
	})
	return version, err
}

// touchAll writes the times that were noted for a record's files into it.
func (t *transaction) touchAll(r *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.touched) == 0 {
		return
	}
	files := maps.Clone(r.Files)
	for end, e := range files {
		path := filepath.Join(Root, strings.TrimPrefix(t.name, recordsDir)+"."+end)
		if at, ok := t.touched[path]; ok {
			delete(t.touched, path)
			if at.After(e.modified()) {
				later := *e
				later.Modified = at.UnixNano()
				files[end] = &later
			}
		}
	}
	r.Files = files
}

func (t *transaction) at(path string) (place, error) {
	p, err := find(path)
	if err == nil && p.record != t.name {
		err = &fs.PathError{Op: "change", Path: path, Err: fs.ErrInvalid}
	}
	return p, err
}

func (t *transaction) Stat(path string) (fs.FileInfo, error) {
	p, err := t.at(path)
	if err != nil {
		return nil, err
	}
	return t.statIn(t.read.record, p)
}

func (t *transaction) Open(path string) (files.File, error) {
	p, err := t.at(path)
	if err != nil {
		return nil, err
	}
	return t.openIn(t.read.record, p)
}

func (t *transaction) Mark(path string) error {
	p, err := t.at(path)
	if err != nil {
		return err
	}
	return t.mark(t, p)
}

func (t *transaction) Remove(path string) error {
	if t.dropDraft(path) {
		return nil
	}
	p, err := t.at(path)
	if err != nil {
		return err
	}
	return t.remove(t, p)
}

func (t *transaction) Rename(from, to string) error {
	p, err := t.at(to)
	if err != nil {
		return err
	}
	return t.rename(t, from, p)
}

// Touch is the System's.
func (t *transaction) Touch(path string, at time.Time) error { return t.System.Touch(path, at) }

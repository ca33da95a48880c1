package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"loadstone/internal/files"
)

// A lock is an object that its holder puts again and again (Touch). Who sees that it has not
// changed for a term, by a clock of its own, takes it over. So a lock only says whether somebody is
// there; what may be written rests on fences.
type lock struct {
	holder  string
	n       int64 // how often it was put
	version string
}

// lockText is what a lock's object holds.
type lockText struct {
	Holder string `json:"holder"`
	N      int64  `json:"n"`
}

// A sight is when a lock was first seen with a version.
type sight struct {
	version string
	at      time.Time
}

// Lock takes a lock that nobody holds, or that its holder has not renewed for a term.
func (s *System) Lock(path string) (unlock func(), err error) {
	p, err := find(path)
	if err != nil || p.object == "" {
		return nil, &fs.PathError{Op: "lock", Path: path, Err: fs.ErrInvalid}
	}
	was, err := s.takeable(p)
	if err != nil {
		return nil, err
	}
	l := &lock{holder: rand.Text()}
	if err := s.putLock(p, l, was); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.locks[path] = l
	s.mu.Unlock()
	return func() { s.unlock(p, l) }, nil
}

// takeable returns the version over which a lock may be taken.
func (s *System) takeable(p place) (was string, err error) {
	var held lockText
	version, err := s.getJSON(p.object, &held)
	if errors.Is(err, fs.ErrNotExist) {
		return None, nil
	}
	if err != nil {
		return None, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.sights[p.path]
	if seen.version != version {
		s.sights[p.path] = sight{version, time.Now()}
		return None, files.ErrLocked
	}
	if s.locks[p.path] != nil || time.Since(seen.at) < s.term {
		return None, files.ErrLocked
	}
	return version, nil
}

// putLock puts a lock's object once more.
func (s *System) putLock(p place, l *lock, was string) error {
	text := lockText{l.holder, l.n + 1}
	version, err := s.putJSON(p.object, text, was)
	if errors.Is(err, ErrChanged) { // by another one, or by this one and the answer was lost
		var now lockText
		if version, err = s.getJSON(p.object, &now); err == nil && now != text {
			err = fmt.Errorf("object %s: %w", p.object, files.ErrLocked)
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.n, l.version = text.N, version
	return nil
}

// renew shows that the holder of a lock is there. A lock that was taken from it, because it had not
// shown that for a term, it takes again if it is free.
func (s *System) renew(p place) error {
	s.mu.Lock()
	l := s.locks[p.path]
	was := None
	if l != nil {
		was = l.version
	}
	s.mu.Unlock()
	if l == nil {
		return &fs.PathError{Op: "touch", Path: p.path, Err: fs.ErrNotExist}
	}
	err := s.putLock(p, l, was)
	if err == nil {
		return nil
	}
	var now lockText
	version, getErr := s.getJSON(p.object, &now)
	switch {
	case errors.Is(getErr, fs.ErrNotExist):
		return s.putLock(p, l, None)
	case getErr == nil && now.Holder == l.holder: // an earlier put was done, and its answer lost
		s.mu.Lock()
		l.n = now.N
		s.mu.Unlock()
		return s.putLock(p, l, version)
	}
	return err
}

func (s *System) unlock(p place, l *lock) {
	s.mu.Lock()
	if s.locks[p.path] == l {
		delete(s.locks, p.path)
	}
	delete(s.sights, p.path)
	version := l.version
	s.mu.Unlock()
	// What stays is taken for a holder that has ended.
	s.reach.do(func(ctx context.Context) error { return s.bucket.Delete(ctx, p.object, version) })
}

// removeLock removes a lock's object.
func (s *System) removeLock(p place) error {
	return s.reach.do(func(ctx context.Context) error {
		_, version, err := s.bucket.Get(ctx, p.object)
		if err != nil {
			return err
		}
		return s.bucket.Delete(ctx, p.object, version)
	})
}

// stamp returns a time that stands for the version of a lock's object: whether two are equal is all
// that it says.
func stamp(version string) time.Time { return time.Unix(0, int64(nameHash(version)>>1)) }

func (s *System) lockInfo(p place) (fs.FileInfo, error) {
	var held lockText
	version, err := s.getJSON(p.object, &held)
	if err != nil {
		return nil, err
	}
	return info{filepath.Base(p.path), 0, stamp(version)}, nil
}

// lockInfos lists the locks in a directory.
func (s *System) lockInfos(dir string) (infos []fs.FileInfo, err error) {
	p, err := find(dir)
	if err != nil {
		return nil, err
	}
	all, err := s.list(p.object + "/")
	for _, o := range all {
		infos = append(infos, info{strings.TrimPrefix(o.Name, p.object+"/"), 0, stamp(o.Version)})
	}
	return infos, err
}

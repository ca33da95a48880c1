// Package files is the part of a file system that stores of this server use: agents' memories and
// responses. A store is given a System, so that a test can give it one that fails at a certain
// call, or that loses what was not synced when the power goes (see filestest).
package files

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A System is a file system. Its methods may be called from many goroutines at once.
type System interface {
	// MkdirAll makes a directory, mode 0700, and those above it that are missing.
	MkdirAll(dir string) error
	// Infos returns what is in a directory, in the order of the names.
	Infos(dir string) ([]fs.FileInfo, error)
	// Stat returns what a name stands for. It does not follow symbolic links.
	Stat(path string) (fs.FileInfo, error)
	// Open opens a file for reading.
	Open(path string) (File, error)
	// Create makes a file, mode 0600, with a new name: pattern with something in place of its *.
	Create(dir, pattern string) (File, error)
	// Mark makes an empty file, mode 0600, if there is none of this name.
	Mark(path string) error
	// Rename gives a file another name in the same directory, in place of a file that has it.
	Rename(from, to string) error
	Remove(path string) error
	// Touch sets the time at which a file was last modified.
	Touch(path string, at time.Time) error
	// SyncDir has what was made, renamed and removed in a directory survive a loss of power.
	SyncDir(dir string) error
	// Lock makes a file, and fails with ErrLocked if another process, or this one, holds its lock.
	Lock(path string) (unlock func(), err error)
}

// ErrLocked says that a lock is held.
var ErrLocked = errors.New("it is locked")

// A File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Writer
	io.Closer
	// Name returns the path by which the file was opened or made.
	Name() string
	Stat() (fs.FileInfo, error)
	// Sync has what was written survive a loss of power.
	Sync() error
	// Is reports whether a path names this file at present.
	Is(path string) bool
}

// OS is the file system of the operating system.
type OS struct{}

func (OS) MkdirAll(dir string) error                { return os.MkdirAll(dir, 0o700) }
func (OS) Stat(path string) (fs.FileInfo, error)    { return os.Lstat(path) }
func (OS) Open(path string) (File, error)           { return file(os.Open(path)) }
func (OS) Create(dir, pattern string) (File, error) { return file(os.CreateTemp(dir, pattern)) }
func (OS) Rename(from, to string) error             { return os.Rename(from, to) }
func (OS) Remove(path string) error                 { return os.Remove(path) }
func (OS) Touch(path string, at time.Time) error    { return os.Chtimes(path, at, at) }

// Infos leaves out what is removed while it reads.
func (OS) Infos(dir string) (infos []fs.FileInfo, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			infos = append(infos, info)
		}
	}
	return infos, err
}

func (OS) Mark(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type osFile struct{ *os.File }

func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Is(path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// MakeDir makes a directory, and those above it that are missing. Their names are on disk when it
// returns, so that what is in them can be said to be: of those that were there, too, because the
// start that made them may have ended before it synced them. Only that a directory cannot be synced
// at all, because the file system has no such thing or it is not ours to read, is no error.
func MakeDir(sys System, dir string) error {
	if err := sys.MkdirAll(dir); err != nil {
		return err
	}
	for dir = filepath.Clean(dir); ; {
		above := filepath.Dir(dir)
		if above == dir {
			return nil
		}
		dir = above
		if err := SyncDir(sys, dir); err != nil {
			return err
		}
	}
}

// SyncDir syncs a directory. That it cannot be synced at all is no error; see MakeDir.
func SyncDir(sys System, dir string) error {
	err := sys.SyncDir(dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// ReadFile reads a whole file.
func ReadFile(sys System, path string) ([]byte, error) {
	f, err := sys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Replace makes a file of what fill writes and gives it a name, in place of a file that has it.
// pattern is the name of the file while it is written (see Create). The file's data are synced
// before it gets its name, so that after a loss of power a file of that name is the old one or the
// new one. It is the new one for certain once SyncDir has returned. An error leaves all as it was.
func Replace(sys System, path, pattern string, fill func(File) error) error {
	// The first error counts: a full disk says the same to both.
	return ReplaceUnsynced(sys, path, pattern, func(f File) error { return cmp.Or(fill(f), f.Sync()) })
}

// ReplaceUnsynced is Replace without the sync: after a loss of power a file of that name may be
// there without its data. It is for what may be lost.
func ReplaceUnsynced(sys System, path, pattern string, fill func(File) error) (err error) {
	f, err := sys.Create(filepath.Dir(path), pattern)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			sys.Remove(f.Name()) // what cannot be removed is for the next start to find
		}
	}()
	if err := cmp.Or(fill(f), f.Close()); err != nil {
		return err
	}
	return sys.Rename(f.Name(), path)
}

// A Fenced is a file system without locks that hold for a moment, such as one on objects. In place
// of such a lock, a change is made on the condition that nobody has made a certain other one
// meanwhile.
type Fenced interface {
	System
	// Begin returns the file system for changes of the files in a directory whose names begin with
	// name and a dot, for one goroutine. It has all of them as they were at one moment, which is now
	// if latest, and else may be when this System has changed one last. It makes a change only if the
	// file fence, one of them, is as it was then, or as its changes have left it; otherwise it makes
	// none and fails with ErrFenced.
	Begin(dir, name, fence string, latest bool) (System, error)
	// Collect frees what no file needs any more, and returns how many objects that were. held reports
	// whether somebody may be writing behind a fence with a content.
	Collect(held func(fence []byte) bool) (int, error)
}

// ErrFenced says that somebody else has changed the fence.
var ErrFenced = errors.New("it was changed meanwhile")

package filestest

import (
	"io"
	"io/fs"
	"time"

	"loadstone/internal/files"
)

// A Tap is a file system that a test can listen to and have fail.
type Tap struct {
	files.System
	// Before is called before each call with what it does and to which path. An error that it
	// returns is the call's, which then does nothing, with two exceptions: of a write that fails
	// with io.ErrShortWrite half is done, and a sync of a Sim's file that fails loses the data.
	// nil lets all calls through.
	Before func(Op, string) error
}

// An Op says what a call does.
type Op string

// The calls of a file system and of its files.
const (
	Mkdir   Op = "mkdir"
	Infos   Op = "infos"
	Stat    Op = "stat"
	Open    Op = "open"
	Create  Op = "create"
	Mark    Op = "mark"
	Rename  Op = "rename"
	Remove  Op = "remove"
	Touch   Op = "touch"
	SyncDir Op = "sync directory"
	Lock    Op = "lock"
	Read    Op = "read"
	Write   Op = "write"
	Sync    Op = "sync"
	Close   Op = "close"
)

// Changes reports whether a call changes what is on disk.
func (o Op) Changes() bool {
	switch o {
	case Infos, Stat, Open, Read, Close, Lock:
		return false
	}
	return true
}

func (t *Tap) before(op Op, path string) error {
	if t.Before == nil {
		return nil
	}
	return t.Before(op, path)
}

func (t *Tap) MkdirAll(dir string) error {
	if err := t.before(Mkdir, dir); err != nil {
		return err
	}
	return t.System.MkdirAll(dir)
}

func (t *Tap) Infos(dir string) ([]fs.FileInfo, error) {
	if err := t.before(Infos, dir); err != nil {
		return nil, err
	}
	return t.System.Infos(dir)
}

func (t *Tap) Stat(path string) (fs.FileInfo, error) {
	if err := t.before(Stat, path); err != nil {
		return nil, err
	}
	return t.System.Stat(path)
}

func (t *Tap) Open(path string) (files.File, error) {
	if err := t.before(Open, path); err != nil {
		return nil, err
	}
	return t.file(t.System.Open(path))
}

func (t *Tap) Create(dir, pattern string) (files.File, error) {
	if err := t.before(Create, dir); err != nil {
		return nil, err
	}
	return t.file(t.System.Create(dir, pattern))
}

func (t *Tap) Mark(path string) error {
	if err := t.before(Mark, path); err != nil {
		return err
	}
	return t.System.Mark(path)
}

func (t *Tap) Rename(from, to string) error {
	if err := t.before(Rename, to); err != nil {
		return err
	}
	return t.System.Rename(from, to)
}

func (t *Tap) Remove(path string) error {
	if err := t.before(Remove, path); err != nil {
		return err
	}
	return t.System.Remove(path)
}

func (t *Tap) Touch(path string, at time.Time) error {
	if err := t.before(Touch, path); err != nil {
		return err
	}
	return t.System.Touch(path, at)
}

func (t *Tap) SyncDir(dir string) error {
	if err := t.before(SyncDir, dir); err != nil {
		return err
	}
	return t.System.SyncDir(dir)
}

func (t *Tap) Lock(path string) (func(), error) {
	if err := t.before(Lock, path); err != nil {
		return nil, err
	}
	return t.System.Lock(path)
}

func (t *Tap) file(f files.File, err error) (files.File, error) {
	if err != nil {
		return nil, err
	}
	return &tapped{f, t}, nil
}

// A tapped file is one of a Tap.
type tapped struct {
	files.File
	tap *Tap
}

func (f *tapped) Read(b []byte) (int, error) {
	if err := f.tap.before(Read, f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f *tapped) ReadAt(b []byte, at int64) (int, error) {
	if err := f.tap.before(Read, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

func (f *tapped) Write(b []byte) (int, error) {
	switch err := f.tap.before(Write, f.Name()); err {
	case nil:
		return f.File.Write(b)
	case io.ErrShortWrite:
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	default:
		return 0, err
	}
}

func (f *tapped) Sync() error {
	if err := f.tap.before(Sync, f.Name()); err != nil {
		if h, ok := f.File.(*handle); ok {
			h.loseWrites()
		}
		return err
	}
	return f.File.Sync()
}

// Close always closes the file, whatever it returns.
func (f *tapped) Close() error {
	err := f.tap.before(Close, f.Name())
	if failed := f.File.Close(); err == nil {
		err = failed
	}
	return err
}

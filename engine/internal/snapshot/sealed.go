package snapshot

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"loadstone/internal/files"
	"loadstone/internal/seal"
)

// A plainFile reads the plain content of a file, whether the file is sealed or not.
type plainFile struct {
	f    files.File
	r    io.ReadSeeker
	size int64 // of what it holds

	inRow bool // it is fetched ahead for one that reads it in a row
}

// another returns a reader of the same content with a place of its own.
func (p *plainFile) another() (io.ReadSeeker, bool) {
	if r, ok := p.r.(*seal.Reader); ok {
		return r.Another(), true
	}
	if p.inRow {
		return nil, false
	}
	return io.NewSectionReader(p.f, 0, p.size), true
}

// fileKeys returns the keys with which the store seals its files. A bucket's System seals what it
// puts by itself: sealed as files, what memories have in common would differ.
func (s *Store) fileKeys() []*seal.Key {
	if s.fenced != nil {
		return nil
	}
	return s.keys
}

// openPlain opens a file. If the store has keys, the file must be sealed with one of them and
// under its own name.
func (s *Store) openPlain(sys files.System, path string) (*plainFile, error) {
	p, sealed, err := s.openAny(sys, path)
	if err == nil && !sealed && len(s.fileKeys()) > 0 {
		p.f.Close()
		return nil, corrupt("it is not sealed")
	}
	return p, err
}

// openAny opens a file, sealed or not.
func (s *Store) openAny(sys files.System, path string) (p *plainFile, sealed bool, err error) {
	f, err := sys.Open(path)
	if err != nil {
		if errors.Is(err, seal.ErrBroken) {
			err = unread("record", err)
		}
		return nil, false, err
	}
	if p, sealed, err = s.opened(f, path); err != nil {
		f.Close()
	}
	return p, sealed, err
}

// opened is openAny of a file that is open.
func (s *Store) opened(f files.File, path string) (p *plainFile, sealed bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	r, sealed, err := seal.Open(f, info.Size(), filepath.Base(path), s.fileKeys())
	if err != nil {
		return nil, sealed, unread("seal", err)
	}
	if !sealed {
		return &plainFile{f: f, r: f, size: info.Size(), inRow: s.fenced != nil}, false, nil
	}
	return &plainFile{f: f, r: r, size: r.Size()}, true, nil
}

// isOurs reports whether a file is sealed with a key of the store. The error is of a file that may
// be sealed with another one, or whose key cannot be found out.
func (s *Store) isOurs(f files.File, path string) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	k, _, err := seal.KeyOf(f, info.Size(), filepath.Base(path), s.keys)
	return k != nil, err
}

// sizeOf returns the size on disk of a file that holds so many bytes.
func (s *Store) sizeOf(plain int64) int64 {
	if len(s.fileKeys()) == 0 {
		return plain
	}
	return seal.Size(plain)
}

// sealing returns a function that writes what fill writes; if the store has keys, sealed under a
// file's name.
func (s *Store) sealing(name string, fill func(io.Writer) error) func(io.Writer) error {
	keys := s.fileKeys()
	if len(keys) == 0 {
		return fill
	}
	return func(w io.Writer) error {
		sealed, err := keys[0].NewWriter(w, name)
		if err != nil {
			return err
		}
		if err := fill(sealed); err != nil {
			return err
		}
		return sealed.Close()
	}
}

// checkKeys returns an error if there are sealed files and none of them is sealed with a key of
// the store: then the key is wrong, and the files are not damaged. Files of another key beside
// others are left alone, for a start with that key.
func (s *Store) checkKeys(read []examined) error {
	ours, others := false, 0
	var why error
	for _, x := range read {
		ours = ours || x.ours
		if errors.Is(x.key, seal.ErrOtherKey) {
			others, why = others+1, x.key
		}
	}
	switch {
	case others == 0:
		return nil
	case ours:
		slog.Warn("memories that another key has sealed are left alone, each until its agent has a "+
			"new one; give that key too to have them", "memories", others, "reason", why)
		return nil
	}
	given := "no key is given"
	if len(s.keys) > 0 {
		given = "the key given has the id " + s.keys[0].ID()
	}
	return fmt.Errorf("no sealed memory of %d can be opened: %w; %s. Give the key that has sealed "+
		"them, or move their files elsewhere to begin without", others, why, given)
}

// sealPlain seals a file that is older than the store's key.
func (s *Store) sealPlain(path string) error {
	p, sealed, err := s.openAny(s.sys, path)
	if err != nil || sealed {
		return err
	}
	defer p.f.Close()
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	copyAll := s.sealing(filepath.Base(path), func(w io.Writer) error {
		_, err := io.Copy(w, p.r)
		return err
	})
	err = files.Replace(s.sys, path, "seal.*.tmp", func(f files.File) error {
		w := bufio.NewWriterSize(f, int(min(s.sizeOf(p.size), ioPortion)))
		if err := cmp.Or(copyAll(w), w.Flush()); err != nil {
			return err
		}
		return s.sys.Touch(f.Name(), info.ModTime())
	})
	if err != nil {
		return err
	}
	slog.Info("a memory that was not sealed is sealed now", "file", filepath.Base(path))
	return nil
}

package snapshot

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

// A File is an open snapshot file whose preamble is verified.
type File struct {
	*preamble
	file *plainFile
	r    *bufio.Reader
	next int // the chunk that r is at
}

// Open opens an agent's file for a restore. It sets the file aside if that is of no use. The
// caller closes it. The error is fs.ErrNotExist where there is no file, or ErrOtherModel, or else
// says what is wrong with it.
func (s *Store) Open(agent kv.Agent) (*File, error) {
	m, err := s.open(agent, s.fits)
	if m == nil {
		return nil, err
	}
	if err != nil {
		s.Quarantine(m, agent, err)
		m.Close()
		return nil, err
	}
	return m, nil
}

// open opens an agent's file and reads its preamble, if its header fits. Where there is a file and
// it is of no use, it is returned with the error.
func (s *Store) open(agent kv.Agent, fits func(*Header) error) (*File, error) {
	p, err := s.openPlain(s.sys, s.path(agent))
	if errors.Is(err, ErrCorrupt) {
		f, openErr := s.sys.Open(s.path(agent))
		if openErr != nil {
			return nil, openErr
		}
		return &File{file: &plainFile{f: f}}, err
	}
	if err != nil {
		return nil, err
	}
	m := &File{file: p, r: bufio.NewReaderSize(p.r, 1<<16)}
	return m, m.readPreamble(agent, fits)
}

// Tokens returns an agent's conversation as its file has it, or nil where the file is of no use,
// for one with this salt: the restore that wants it will say why.
func (s *Store) Tokens(agent kv.Agent, salt string) []int32 {
	if x, ok := s.Find(agent); !ok || x.Header.Salt != salt {
		return nil
	}
	m, err := s.open(agent, s.fits)
	if m != nil {
		defer m.Close()
	}
	if err != nil {
		return nil
	}
	return m.preamble.tokens
}

func (m *File) readPreamble(agent kv.Agent, fits func(*Header) error) error {
	h, header, err := readHeader(m.r, m.file.size)
	switch {
	case err != nil:
		return err
	case h.Agent != agent:
		return corrupt("it is another agent's")
	case h.fileBytes(len(header)) != m.file.size || h.Tagged:
		return corrupt("it has %d bytes", m.file.size)
	}
	if err := fits(&h); err != nil {
		return err
	}
	m.preamble, err = readPreamble(m.r, h, header)
	return err
}

// Header says what the file holds.
func (m *File) Header() *Header { return &m.header }

// Tokens returns the tokens whose KV the file holds.
func (m *File) Tokens() []int32 { return m.tokens[:m.header.Tokens] }

// Chunk reads and verifies chunk i into dst, which is large enough, and returns the part it filled.
func (m *File) Chunk(i int, dst []byte) ([]byte, error) {
	if i != m.next {
		at := int64(len(m.raw)) + m.header.offset(i)
		if _, err := m.file.r.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		m.r.Reset(m.file.r)
	}
	m.next = i + 1
	dst = dst[:m.header.ChunkBytes(i)]
	return dst, m.readChunk(m.r, i, dst)
}

// Another returns the same open file for another goroutine, which may read chunks beside this one.
// It is valid until the file is closed, and is not closed itself. There is none in a bucket, whose
// files are fetched ahead for one that reads in a row.
func (m *File) Another() (*File, bool) {
	r, ok := m.file.another()
	if !ok {
		return nil, false
	}
	p := &plainFile{f: m.file.f, r: r, size: m.file.size}
	return &File{preamble: m.preamble, file: p, r: bufio.NewReaderSize(r, 1<<16), next: -1}, true
}

// Close closes the file.
func (m *File) Close() error { return m.file.f.Close() }

// Quarantine sets a file aside that was opened for an agent, if why says that it is of no use,
// unless the agent has another one by now. Each reader of a file must call it with the error of
// its reading. A pin stays, for the agent's next file: its owner has not unpinned it.
func (s *Store) Quarantine(m *File, agent kv.Agent, why error) {
	if !useless(why) {
		return
	}
	slog.Warn("agent's memory is unusable and set aside",
		"file", FileName(agent), "reason", why)
	s.change.Lock()
	defer s.change.Unlock()
	path := s.path(agent)
	sys, release, err := s.guard(FileName(agent), true)
	if err != nil {
		return
	}
	defer release()
	if !m.file.f.Is(path) {
		return
	}
	s.mu.Lock()
	if e := s.index[agent]; e != nil {
		s.forget(e)
	}
	s.mu.Unlock()
	s.setAside(sys, path, why)
	s.trimBad()
}

func (s *Store) setAside(sys files.System, path string, why error) {
	sys.Rename(path, strings.TrimSuffix(path, "memory")+Reason(why)+".bad")
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.aside) == maxAside {
		clear(s.aside)
	}
	s.aside[filepath.Base(path)] = Reason(why)
}

// Unusable returns why an agent's file was set aside since the store was opened, as Reason says it;
// "" where none was, or there has been another one since.
func (s *Store) Unusable(agent kv.Agent) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.aside) == 0 { // the usual case, asked for every new agent
		return ""
	}
	return s.aside[FileName(agent)]
}

// forgetGone forgets why an agent has no file. The caller holds mu.
func (s *Store) forgetGone(agent kv.Agent) {
	s.evicted.Remove(agent)
	s.crowded.Remove(agent)
	delete(s.aside, FileName(agent))
}

// quarantined returns the quarantined files, the oldest first.
func (s *Store) quarantined() []fs.FileInfo {
	infos, _ := s.sys.Infos(s.dir)
	infos = slices.DeleteFunc(infos, func(i fs.FileInfo) bool {
		return filepath.Ext(i.Name()) != ".bad"
	})
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	return infos
}

// trimBad deletes all but the newest quarantined files.
func (s *Store) trimBad() {
	bad := s.quarantined()
	for _, f := range bad[:max(0, len(bad)-maxBad)] {
		s.sys.Remove(filepath.Join(s.dir, f.Name()))
	}
}

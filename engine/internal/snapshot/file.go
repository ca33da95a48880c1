package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"loadstone/engine/internal/kv"
)

// A File is an open snapshot file whose preamble is verified.
type File struct {
	*preamble
	f    *os.File
	r    *bufio.Reader
	next int // the chunk that r is at
}

// Open opens an agent's file for a restore. It sets the file aside if that is of no use. The
// caller closes it. The error is fs.ErrNotExist where there is no file, or ErrOtherModel, or else
// says what is wrong with it.
func (s *Store) Open(agent kv.Agent) (*File, error) {
	f, err := os.Open(s.path(agent))
	if err != nil {
		return nil, err
	}
	m := &File{f: f, r: bufio.NewReaderSize(f, 1<<16)}
	if err := m.readPreamble(s, agent); err != nil {
		s.Quarantine(m, agent, err)
		f.Close()
		return nil, err
	}
	return m, nil
}

// Tokens returns an agent's conversation as its file has it, or nil where the file is of no use, for
// one with this salt: the restore that wants it will say why.
func (s *Store) Tokens(agent kv.Agent, salt string) []int32 {
	if x, ok := s.Find(agent); !ok || x.Header.Salt != salt {
		return nil
	}
	f, err := os.Open(s.path(agent))
	if err != nil {
		return nil
	}
	defer f.Close()
	m := &File{f: f, r: bufio.NewReaderSize(f, 1<<16)}
	if m.readPreamble(s, agent) != nil {
		return nil
	}
	return m.preamble.tokens
}

func (m *File) readPreamble(s *Store, agent kv.Agent) error {
	info, err := m.f.Stat()
	if err != nil {
		return err
	}
	h, header, err := readHeader(m.r, info.Size())
	switch {
	case err != nil:
		return err
	case h.Agent != agent:
		return corrupt("it is another agent's")
	case h.fileBytes(len(header)) != info.Size():
		return corrupt("it has %d bytes", info.Size())
	}
	if err := s.fits(&h); err != nil {
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
		if _, err := m.f.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		m.r.Reset(m.f)
	}
	m.next = i + 1
	dst = dst[:m.header.ChunkBytes(i)]
	return dst, m.readChunk(m.r, i, dst)
}

// Close closes the file.
func (m *File) Close() error { return m.f.Close() }

// Export copies an agent's file to w.
func (s *Store) Export(agent kv.Agent, w io.Writer) error {
	f, err := os.Open(s.path(agent))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
		}
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Quarantine sets a file aside that was opened for an agent, unless the agent has another one by
// now.
func (s *Store) Quarantine(m *File, agent kv.Agent, why error) {
	slog.Warn("agent's memory is unusable and set aside",
		"file", FileName(agent), "reason", why)
	s.change.Lock()
	defer s.change.Unlock()
	path := s.path(agent)
	bad, err := m.f.Stat()
	if err != nil {
		return
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(bad, now) {
		return
	}
	s.mu.Lock()
	if e := s.index[agent]; e != nil {
		s.forget(e)
	}
	s.mu.Unlock()
	s.setAside(path, why)
	os.Remove(pinName(path))
	s.trimBad()
}

func (s *Store) setAside(path string, why error) {
	s.Fault("quarantine")
	os.Rename(path, strings.TrimSuffix(path, "memory")+Reason(why)+".bad")
}

// trimBad deletes all but the newest quarantined files.
func (s *Store) trimBad() {
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.bad"))
	if len(files) <= maxBad {
		return
	}
	age := func(path string) int64 {
		info, err := os.Lstat(path)
		if err != nil {
			return math.MinInt64
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(files, func(a, b string) int { return int(max(-1, min(1, age(a)-age(b)))) })
	for _, f := range files[:len(files)-maxBad] {
		os.Remove(f)
	}
}

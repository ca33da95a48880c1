package engine

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
)

// A memoryFile is an open file whose preface is sound.
type memoryFile struct {
	*preface
	f    *os.File
	r    *bufio.Reader
	next int // the block that r is at
}

// open opens an agent's file for a restore, and sets it aside if it is of no use. The caller closes it.
func (s *shelf) open(agent string) (*memoryFile, error) {
	f, err := os.Open(s.path(agent))
	if err != nil {
		return nil, err
	}
	m := &memoryFile{f: f, r: bufio.NewReaderSize(f, 1<<16)}
	if err := m.readPreface(s, agent); err != nil {
		s.quarantine(m, agent, err)
		f.Close()
		return nil, err
	}
	return m, nil
}

// tokens are an agent's conversation as its file has it, nil where that is of no use: whoever wants to restore from it
// will say why.
func (s *shelf) tokens(agent string) []int32 {
	if _, ok := s.find(agent); !ok {
		return nil
	}
	f, err := os.Open(s.path(agent))
	if err != nil {
		return nil
	}
	defer f.Close()
	m := &memoryFile{f: f, r: bufio.NewReaderSize(f, 1<<16)}
	if m.readPreface(s, agent) != nil {
		return nil
	}
	return m.preface.tokens
}

func (m *memoryFile) readPreface(s *shelf, agent string) error {
	info, err := m.f.Stat()
	if err != nil {
		return err
	}
	l, header, err := readLabel(m.r, info.Size())
	switch {
	case err != nil:
		return err
	case l.agent != agent:
		return corrupt("it is another agent's")
	case l.size(len(header)) != info.Size():
		return corrupt("it has %d bytes", info.Size())
	}
	if err := s.fits(&l); err != nil {
		return err
	}
	m.preface, err = readPreface(m.r, l, header)
	return err
}

// seek goes to block i.
func (m *memoryFile) seek(i int) error {
	at := int64(len(m.raw)) + m.label.at(i)
	if _, err := m.f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	m.r.Reset(m.f)
	m.next = i
	return nil
}

// block reads the next block into dst.
func (m *memoryFile) block(dst []byte) error {
	m.next++
	return m.readBlock(m.r, m.next-1, dst)
}

// copyOut copies an agent's file to w.
func (s *shelf) copyOut(agent string, w io.Writer) error {
	f, err := os.Open(s.path(agent))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("agent %q: %w", agent, ErrNoMemory)
		}
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// quarantine sets a file aside that was opened for an agent, unless the agent has another one by now.
func (s *shelf) quarantine(m *memoryFile, agent string, why error) {
	slog.Warn("agent's memory is of no use and set aside", "file", fileName(agent), "reason", why)
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
	if e := s.entries[agent]; e != nil {
		s.forget(e)
	}
	s.mu.Unlock()
	s.setAside(path, why)
	os.Remove(pinName(path))
	s.trimBad()
}

func (s *shelf) setAside(path string, why error) {
	reason := ErrCorrupt
	if errors.Is(why, ErrOtherModel) {
		reason = ErrOtherModel
	}
	s.fault("quarantine")
	os.Rename(path, strings.TrimSuffix(path, "memory")+reason.Error()+".bad")
}

// trimBad deletes all but the newest quarantined files.
func (s *shelf) trimBad() {
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

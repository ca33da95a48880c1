package engine

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// save writes an image, in place of what there was of its agent.
func (s *shelf) save(img *image) error {
	return s.install(img.label, func(w io.Writer) error {
		if img.stale.Load() { // dropped while it waited for others to be done with the shelf
			return errSuperseded
		}
		return img.write(w)
	})
}

// create writes a memory without tokens for an agent that has none, or fails with ErrExists.
func (s *shelf) create(agent string, l label) error {
	l.agent, l.tokens, l.created = agent, 0, time.Now()
	l.saved = l.created
	img := image{label: l}
	return s.install(l, func(w io.Writer) error {
		if _, ok := s.find(agent); ok { // of two who create the same, the second waited for the shelf
			return fmt.Errorf("agent %q: %w", agent, ErrExists)
		}
		return img.write(w)
	})
}

// copyIn takes in a memory file from elsewhere. Nothing of it is believed: it is written block by block as it is
// verified, and appears only when all of it is sound and ready, which is called then, agrees.
func (s *shelf) copyIn(r io.Reader, ready func(agent string) error) (label, error) {
	l, header, err := readLabel(r, s.quota)
	if err != nil {
		return l, err
	}
	if err := s.fits(&l); err != nil {
		return l, err
	}
	p, err := readPreface(r, l, header)
	if err != nil {
		return l, err
	}
	return l, s.install(l, func(w io.Writer) error {
		if _, err := w.Write(p.raw); err != nil {
			return err
		}
		buf := make([]byte, max(1, l.blockBytes(0), l.blockBytes(l.from()), l.blockBytes(l.blocks())))
		for i := range p.sums {
			b := buf[:l.blockBytes(i)]
			if err := p.readBlock(r, i, b); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		if n, _ := r.Read(buf[:1]); n > 0 {
			return corrupt("it goes on after its last block")
		}
		return ready(l.agent)
	})
}

// fits says why a memory cannot be restored by this engine's model.
func (s *shelf) fits(l *label) error {
	switch {
	case l.fingerprint != s.match.fingerprint:
		return fmt.Errorf("%w: the memory was made by model %q, this one is %q", ErrOtherModel, l.fingerprint, s.match.fingerprint)
	case l.shape != s.match.shape:
		return fmt.Errorf("%w: the memory has blocks of %d tokens of %d bytes and a window of %d tokens of %d; this engine's has %d of %d and %d of %d",
			ErrOtherModel, l.blockTokens, l.tokenBytes, l.window, l.localBytes, s.match.blockTokens, s.match.tokenBytes, s.match.window, s.match.localBytes)
	}
	return nil
}

// install makes the agent's file what fill writes, or leaves all as it was.
func (s *shelf) install(l label, fill func(io.Writer) error) (err error) {
	if len(l.agent) > maxAgent || l.agent == "" {
		return fmt.Errorf("an agent's name of %d bytes cannot be saved; it must have 1 to %d", len(l.agent), maxAgent)
	}
	s.change.Lock()
	defer s.change.Unlock()
	size := l.size(len(l.encode()))
	if !s.sweep(size, l.agent) {
		return fmt.Errorf("%w for a memory of %d bytes within the quota of %d; raise it, or delete or unpin others", ErrNoRoom, size, s.quota)
	}
	path := s.path(l.agent)
	s.fault("create")
	f, err := os.CreateTemp(s.dir, strings.TrimSuffix(fileName(l.agent), "memory")+"*.tmp") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(faulty{f, s.fault}, ioPortion)
	if err := cmp.Or(fill(w), w.Flush(), s.sync(f), f.Close()); err != nil { // the first: a full disk has the same to say to each
		return err
	}
	s.fault("rename")
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	s.mu.Lock()
	e := &entry{label: l, bytes: size, used: time.Now()}
	if old := s.entries[l.agent]; old != nil {
		e.pinned = old.pinned
		s.forget(old)
	}
	s.entries[l.agent] = e
	s.bytes += size
	delete(s.gone, l.agent)
	s.mu.Unlock()
	s.fault("sync directory")
	return syncDir(s.dir)
}

func (s *shelf) sync(f *os.File) error {
	s.fault("sync")
	return f.Sync()
}

// faulty is a file whose writes a test can stop.
type faulty struct {
	*os.File
	fault func(string)
}

func (f faulty) Write(b []byte) (int, error) {
	f.fault("write")
	return f.File.Write(b)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

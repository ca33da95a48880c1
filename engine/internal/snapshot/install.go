package snapshot

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

// save writes a complete snapshot in place of the one that the agent had.
func (s *Store) save(snap *Snapshot) error {
	room := makesRoom
	if snap.Spare {
		room = takesRoom
	}
	s.change.Lock()
	defer s.change.Unlock()
	return s.install(snap.header, snap.grant, room, atOnce, func(w io.Writer) error {
		if snap.stale.Load() { // dropped while it waited for other changes of the store
			return ErrSuperseded
		}
		return snap.write(w)
	})
}

// Create writes a memory without tokens for an agent that has none, or fails with ErrExists. The
// agent is durable from then on if that is wanted, even if something deletes the memory at once.
func (s *Store) Create(agent kv.Agent, durable bool) error {
	s.change.Lock()
	defer s.change.Unlock()
	if _, ok := s.Find(agent); ok { // of two calls at once, the second has waited for the first
		return fmt.Errorf("agent %q: %w", agent.Name, ErrExists)
	}
	h := s.match
	h.Agent, h.Tokens, h.Created = agent, 0, time.Now()
	h.Saved = h.Created
	empty := Snapshot{header: h}
	err := s.install(h, s.grant(agent), makesRoom, atOnce, empty.write)
	if err != nil || !durable {
		return err
	}
	return s.setDurable(agent, true)
}

// atOnce is for an installation that nothing else has to happen with.
func atOnce(take func() error) error { return take() }

// fits returns an error that says why a snapshot cannot be restored here, nil if it can.
func (s *Store) fits(h *Header) error {
	want := &s.match
	switch {
	case h.Fingerprint != want.Fingerprint:
		return fmt.Errorf("%w: the memory was made by model %q, this one is %q",
			ErrOtherModel, h.Fingerprint, want.Fingerprint)
	case h.Shape != want.Shape:
		return fmt.Errorf("%w: the memory has blocks of %d tokens of %d bytes and a window of %d "+
			"tokens of %d; this engine's has %d of %d and %d of %d", ErrOtherModel,
			h.BlockTokens, h.GlobalBytes, h.Window, h.SlidingBytes,
			want.BlockTokens, want.GlobalBytes, want.Window, want.SlidingBytes)
	}
	return nil
}

var errAgentName = errors.New("an agent's name is too long to be saved, or empty")

// maxRounds is how often room is made on a full disk for one file. If it is full even then,
// somebody else takes the room, and more deleted memories would not help.
const maxRounds = 3

// A rooming says what an installation does when the disk has no room for its file.
type rooming int

const (
	makesRoom     rooming = iota // it deletes others, and fills the file again
	makesRoomOnce                // the same, but the file cannot be filled again
	takesRoom                    // it fails
)

// install makes a file of what fill writes, in place of the agent's file, or leaves all as it was.
// Beyond the quota and on a disk that is full, others go if need be, in the order of next. at calls
// take, which puts the file in place. grant is the lease that the agent must have then, if others
// use the directory. The caller holds change.
func (s *Store) install(h Header, grant lease, room rooming, at func(take func() error) error,
	fill func(io.Writer) error) error {
	if n := len(h.Agent.Name); n > maxAgent || n == 0 {
		return fmt.Errorf("%w: it has %d bytes and must have 1 to %d", errAgentName, n, maxAgent)
	}
	size := s.sizeOf(h.fileBytes(len(h.encode())))
	fill = s.sealing(FileName(h.Agent), fill)
	if room == takesRoom && !s.hasRoom(size, h.Agent) {
		return fmt.Errorf("%w for a memory of %d bytes beside the others", ErrNoRoom, size)
	}
	if most, ok := s.withinQuota(size, h.Agent); !ok {
		return fmt.Errorf("%w for a memory of %d bytes within this principal's share of %d; delete "+
			"or unpin others", ErrNoRoom, size, most)
	}
	if !s.sweep(size, h.Agent) {
		return fmt.Errorf("%w for a memory of %d bytes within the quota of %d; raise it, or "+
			"delete or unpin others", ErrNoRoom, size, s.quota)
	}
	for round := 1; ; round++ {
		err := s.writeFile(h, size, grant, at, fill)
		if !isFull(err) {
			return err
		}
		if round > maxRounds || room == takesRoom || !s.makeRoom(size, h.Agent) ||
			room == makesRoomOnce {
			return fmt.Errorf("%w: a memory of %d bytes does not fit: %w", ErrDiskFull, size, err)
		}
	}
}

// writeFile makes the file, whose size is known, and puts it into the index. The caller holds
// change.
func (s *Store) writeFile(h Header, size int64, grant lease, at func(take func() error) error,
	fill func(io.Writer) error) error {
	pattern := strings.TrimSuffix(FileName(h.Agent), "memory") + "*.tmp"
	sys := placing{s.sys, func(rename func(files.System) error) error {
		return s.owning(h.Agent, grant, func(sys files.System) error {
			return at(func() error {
				if err := rename(sys); err != nil {
					return err
				}
				s.take(h, size)
				return nil
			})
		})
	}}
	err := files.Replace(sys, s.path(h.Agent), pattern, func(f files.File) error {
		if s.fenced != nil {
			return fill(f) // whose pieces are kept apart
		}
		w := bufio.NewWriterSize(f, int(min(size, ioPortion)))
		return cmp.Or(fill(w), w.Flush())
	})
	if err != nil {
		return err
	}
	return s.sys.SyncDir(s.dir)
}

// placing is a System whose files are given their names by place.
type placing struct {
	files.System
	place func(rename func(files.System) error) error
}

func (p placing) Rename(from, to string) error {
	return p.place(func(sys files.System) error { return sys.Rename(from, to) })
}

// take puts the file of an agent that has just got its name into the index. It is pinned as the one
// before was, though that is not in the index, because it was set aside or could not be read.
func (s *Store) take(h Header, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.index[h.Agent]; old != nil {
		s.forget(old)
	}
	pinned := s.pins[FileName(h.Agent)]
	s.note(&Entry{Header: h, Bytes: size, Used: time.Now(), Pinned: pinned})
	s.forgetGone(h.Agent)
}

package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

// A lease says which store may write an agent's memory. It is held from an agent's request until
// that request's turn is on disk, so the file is the newest memory whenever nobody holds the lease.
// Every taking has another generation, a larger one. The file of the lease stays when it is given
// back: it says whether anybody else has had the agent since.
type lease struct {
	Owner      string `json:"owner"` // the id of the store that has it, or had it last
	Generation int64  `json:"generation"`
	Held       bool   `json:"held"`
}

const leaseSuffix = ".lease"

// same reports whether two leases are of the same taking.
func (l lease) same(m lease) bool { return l.Owner == m.Owner && l.Generation == m.Generation }

// A hold is a lease that this store has, or was refused, and how many use it.
type hold struct {
	n      int
	ready  chan struct{} // closed when grant is there
	grant  lease         // zero: another store had the lease
	lost   bool          // another store has, or had, the lease: the next user tries to get one again
	ending bool
	gone   chan struct{} // closed when the lease is given back
}

// leasePath returns the file of the lease of the memory that has a name.
func (s *Store) leasePath(name string) string {
	return filepath.Join(s.dir, strings.TrimSuffix(name, ".memory")+leaseSuffix)
}

// readLease returns a memory's lease, the zero lease if there is none, or one that makes no sense.
func (s *Store) readLease(name string) (l lease, err error) {
	text, err := files.ReadFile(s.sys, s.leasePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return lease{}, nil
	}
	if err == nil && json.Unmarshal(text, &l) != nil {
		l = lease{}
	}
	return l, err
}

// writeLease writes a memory's lease. It need not survive a loss of power, which ends the stores as
// well. The caller guards the memory.
func (s *Store) writeLease(name string, l lease) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	path := s.leasePath(name)
	return files.ReplaceUnsynced(s.sys, path, filepath.Base(path)+".*.tmp", func(f files.File) error {
		_, err := f.Write(text)
		return err
	})
}

// enter adds a user to an agent's hold. It returns the channel that is closed when the hold has its
// lease, or that it will not have one; first says that the caller has to get it.
func (sh *share) enter(agent kv.Agent) (h *hold, ready chan struct{}, first bool) {
	for {
		sh.mu.Lock()
		h = sh.holds[agent]
		if h == nil || !h.ending {
			break
		}
		gone := h.gone
		sh.mu.Unlock()
		<-gone
	}
	defer sh.mu.Unlock()
	if h == nil {
		h = &hold{gone: make(chan struct{}), lost: true}
		sh.holds[agent] = h
	}
	h.n++
	if first = h.lost; first {
		h.lost, h.ready = false, make(chan struct{})
	}
	return h, h.ready, first
}

// Hold makes this store the one that writes an agent's memory, until Release was called as often
// as Hold and Retain. If another store has the agent's lease, Hold waits until that has saved what
// it has, for a third of a lease's term at most, or until ctx is done. It returns ErrTaken then:
// the memory can be read as it is on disk, and nothing that comes of it is written. Release must be
// called in any case.
//
// If others may have written since this store had the agent last, the index has what they wrote, and
// Hold calls changed before it returns here or anywhere.
func (s *Store) Hold(ctx context.Context, agent kv.Agent, changed func()) error {
	if s.share == nil || agent.Anonymous() {
		return nil
	}
	sh := s.share
	h, ready, first := sh.enter(agent)
	if first {
		grant := s.acquire(ctx, agent, changed)
		sh.mu.Lock()
		h.grant, h.lost = grant, grant == lease{}
		sh.mu.Unlock()
		close(ready)
	}
	<-ready
	if s.grant(agent) == (lease{}) {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrTaken)
	}
	return nil
}

// acquire takes an agent's lease. It returns the zero lease if another store has it.
func (s *Store) acquire(ctx context.Context, agent kv.Agent, changed func()) lease {
	sh := s.share
	ctx, cancel := context.WithTimeout(ctx, sh.term/3)
	defer cancel()
	grant, before, err := s.takeLease(ctx, agent)
	if err != nil {
		slog.Warn("an agent's memory is another server's at present; its turn here will not be saved",
			"file", FileName(agent), "reason", err)
	}
	sh.mu.Lock()
	known, ok := sh.known[agent]
	if grant == (lease{}) {
		delete(sh.known, agent)
	} else {
		sh.known[agent] = grant
	}
	sh.mu.Unlock()
	if !ok || grant == (lease{}) || !known.same(before) {
		s.look(agent)
		changed()
	}
	return grant
}

// takeLease waits for an agent's lease and takes it. It returns the lease that was there before.
func (s *Store) takeLease(ctx context.Context, agent kv.Agent) (grant, before lease, err error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		grant, before, err = s.tryLease(agent)
		if err != nil || grant != (lease{}) {
			return grant, before, err
		}
		select {
		case <-ctx.Done():
			return lease{}, before, fmt.Errorf("%w: %w", ErrTaken, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// tryLease takes an agent's lease if no other store has it.
func (s *Store) tryLease(agent kv.Agent) (grant, before lease, err error) {
	name := FileName(agent)
	release, err := s.guard(name)
	if err != nil {
		return lease{}, lease{}, err
	}
	defer release()
	if before, err = s.readLease(name); err != nil || s.elsewhere(before) {
		return lease{}, before, err
	}
	sh := s.share
	sh.mu.Lock()
	sh.last = max(sh.last, before.Generation) + 1
	grant = lease{Owner: sh.id, Generation: sh.last, Held: true}
	closed := sh.closed
	sh.mu.Unlock()
	if closed {
		return lease{}, before, ErrTaken
	}
	if err := s.writeLease(name, grant); err != nil {
		return lease{}, before, err
	}
	return grant, before, nil
}

// Retain is Hold for one who knows that somebody holds the agent. It reports whether that was so;
// if not, Release must not be called for it.
func (s *Store) Retain(agent kv.Agent) bool {
	if s.share == nil {
		return false
	}
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	h := s.share.holds[agent]
	if h == nil || h.ending {
		return false
	}
	h.n++
	return true
}

// Release undoes a Hold or a Retain. The last one gives the lease back, in a while.
func (s *Store) Release(agent kv.Agent) {
	sh := s.share
	if sh == nil || agent.Anonymous() {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h := sh.holds[agent]
	if h.n--; h.n > 0 || sh.closed {
		return
	}
	sh.work.Go(func() {
		select {
		case <-time.After(linger):
		case <-sh.end:
		}
		s.yield(agent, h)
	})
}

// Held reports whether anybody holds an agent here.
func (s *Store) Held(agent kv.Agent) bool {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	return s.share.holds[agent] != nil
}

// yield gives a lease back that nobody uses any more. If that fails, attend tries again.
func (s *Store) yield(agent kv.Agent, h *hold) {
	sh := s.share
	sh.mu.Lock()
	if h.n > 0 || h.ending || sh.holds[agent] != h {
		sh.mu.Unlock()
		return
	}
	h.ending = true
	sh.mu.Unlock()
	err := s.giveBack(FileName(agent), h.grant)
	if err != nil {
		slog.Error("an agent's lease was not given back; it will be tried again", "error", err)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	gone := h.gone
	if h.ending, h.gone = false, make(chan struct{}); err == nil {
		delete(sh.holds, agent)
	}
	close(gone)
}

// giveBack notes in the directory that a lease is not held, if this store still has it.
func (s *Store) giveBack(name string, grant lease) error {
	if grant == (lease{}) {
		return nil
	}
	release, err := s.guard(name)
	if err != nil {
		return err
	}
	defer release()
	if now, err := s.readLease(name); err != nil || now != grant {
		return err
	}
	grant.Held = false
	return s.writeLease(name, grant)
}

// yieldRest gives the leases back that could not be given back before.
func (s *Store) yieldRest() {
	s.share.mu.Lock()
	rest := maps.Clone(s.share.holds)
	s.share.mu.Unlock()
	for agent, h := range rest {
		s.yield(agent, h)
	}
}

// grant returns the lease under which an agent's memory may be written here.
func (s *Store) grant(agent kv.Agent) lease {
	if s.share == nil {
		return lease{}
	}
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	if h := s.share.holds[agent]; h != nil {
		return h.grant
	}
	return lease{}
}

// lose notes that another store has had the lease that this one was granted.
func (sh *share) lose(agent kv.Agent, grant lease) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h := sh.holds[agent]; h != nil && h.grant == grant {
		h.lost = true
	}
}

// owning calls f, which changes an agent's files, if the store still has the lease that it was
// granted. No other store changes them meanwhile.
func (s *Store) owning(agent kv.Agent, grant lease, f func() error) error {
	if s.share == nil {
		return f()
	}
	if grant == (lease{}) {
		return fmt.Errorf("%w: this server was not granted its lease", ErrTaken)
	}
	name := FileName(agent)
	release, err := s.guard(name)
	if err != nil {
		return err
	}
	defer release()
	now, err := s.readLease(name)
	if err != nil {
		return err
	}
	if now != grant {
		s.share.lose(agent, grant)
		return fmt.Errorf("%w: its lease has generation %d, and this server had generation %d",
			ErrTaken, now.Generation, grant.Generation)
	}
	return f()
}

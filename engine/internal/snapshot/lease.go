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

// Fence is how the names of leases end, which are the fences of a bucket's System.
const Fence = "lease"

const leaseSuffix = "." + Fence

// untaken is what a hold has in place of a lease when the file system failed: requests go on, and
// the lease is taken before anything is written; see settle.
var untaken = lease{Generation: -1}

// same reports whether two leases are of the same taking.
func (l lease) same(m lease) bool { return l.Owner == m.Owner && l.Generation == m.Generation }

// A hold is a lease that this store has, or was refused, and how many use it.
type hold struct {
	n      int           // how many use it
	ready  chan struct{} // closed when grant is there
	grant  lease         // zero: another store had the lease; untaken: the file system failed
	ours   lease         // grant, if no other store has had the agent since the index was right
	lost   bool          // another store has, or had, the lease: the next user tries to get one again
	ending bool          // it is being given back
	gone   chan struct{} // closed when the lease is given back
}

// leasePath returns the file of the lease of the memory that has a name.
func (s *Store) leasePath(name string) string {
	return filepath.Join(s.dir, strings.TrimSuffix(name, ".memory")+leaseSuffix)
}

// readLease returns a memory's lease, the zero lease if there is none, or one that makes no sense.
func (s *Store) readLease(sys files.System, name string) (l lease, err error) {
	text, err := files.ReadFile(sys, s.leasePath(name))
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
func (s *Store) writeLease(sys files.System, name string, l lease) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	path := s.leasePath(name)
	return files.ReplaceUnsynced(sys, path, filepath.Base(path)+".*.tmp", func(f files.File) error {
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
// If others may have written since this store had the agent last, the index has what they wrote,
// and Hold calls changed before it returns here or anywhere.
func (s *Store) Hold(ctx context.Context, agent kv.Agent, changed func()) error {
	if s.share == nil || agent.Anonymous() {
		return nil
	}
	sh := s.share
	h, ready, first := sh.enter(agent)
	if first {
		grant, unchanged := s.acquire(ctx, agent, changed)
		sh.mu.Lock()
		if unchanged {
			h.ours = grant
		}
		h.grant, h.lost = grant, grant == lease{} || grant == untaken
		sh.mu.Unlock()
		close(ready)
	}
	<-ready
	if s.grant(agent) == (lease{}) {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrTaken)
	}
	return nil
}

// acquire takes an agent's lease. It returns the zero lease if another store has it, and untaken if
// the files cannot be reached.
func (s *Store) acquire(ctx context.Context, agent kv.Agent, changed func()) (
	grant lease, unchanged bool,
) {
	sh := s.share
	ctx, cancel := context.WithTimeout(ctx, sh.term/3)
	defer cancel()
	grant, before, err := s.takeLease(ctx, agent)
	if err != nil && !errors.Is(err, ErrTaken) && !errors.Is(err, files.ErrLocked) {
		slog.Warn("an agent's lease cannot be taken; its turn will be saved once it can", "file",
			FileName(agent), "reason", err)
		return untaken, false
	}
	if err != nil {
		slog.Warn("an agent's memory is another server's at present; its turn here will not be saved",
			"file", FileName(agent), "reason", err)
	}
	sh.mu.Lock()
	_, ok := sh.known[agent]
	unchanged = sh.unchanged(agent, before)
	if grant == (lease{}) {
		delete(sh.known, agent)
	} else {
		sh.known[agent] = grant
	}
	sh.mu.Unlock()
	if !ok || grant == (lease{}) || !unchanged {
		s.look(agent)
		changed()
	}
	return grant, unchanged
}

// unchanged reports whether no other store has had an agent whose lease is now, since this one's
// index was right: the lease is as it was then, or as this store has taken it without hearing so.
// The caller holds mu.
func (sh *share) unchanged(agent kv.Agent, now lease) bool {
	known, c := sh.known[agent], sh.claims[FileName(agent)]
	return known.same(now) || now == c.grant && known.same(c.before)
}

// A claim is a lease that was written with an error: it may be there, or come to be.
type claim struct {
	grant, before lease
	at            time.Time
}

// claimsKept is how long a claim is looked after that nobody holds.
const claimsKept = time.Minute

// takeLease waits for an agent's lease and takes it. It returns the lease that was there before.
func (s *Store) takeLease(ctx context.Context, agent kv.Agent) (grant, before lease, err error) {
	longest := 50 * time.Millisecond
	if s.fenced != nil {
		longest *= 4 // each look is a request
	}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, longest) {
		grant, before, err = s.tryLease(agent)
		if errors.Is(err, files.ErrFenced) { // another one was faster
			err = nil
		}
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
	sys, release, err := s.guard(name, false)
	if err != nil {
		return lease{}, lease{}, err
	}
	defer release()
	if before, err = s.readLease(sys, name); err != nil || s.elsewhere(before) {
		return lease{}, before, err
	}
	grant, err = s.putLease(sys, name, before)
	return grant, before, err
}

// putLease takes the lease of the memory that has a name. The caller guards the memory.
func (s *Store) putLease(sys files.System, name string, before lease) (grant lease, err error) {
	sh := s.share
	sh.mu.Lock()
	sh.last = max(sh.last, before.Generation) + 1
	grant = lease{Owner: sh.id, Generation: sh.last, Held: true}
	closed := sh.closed
	sh.mu.Unlock()
	if closed {
		return lease{}, ErrTaken
	}
	err = s.writeLease(sys, name, grant)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err != nil {
		t := claim{grant, before, time.Now()}
		if last := sh.claims[name]; last.grant == before && before != (lease{}) {
			t.before = last.before
		}
		sh.claims[name] = t
		return lease{}, err
	}
	return grant, nil
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

// held reports whether anybody holds an agent here.
func (s *Store) held(agent kv.Agent) bool {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	return s.share.holds[agent] != nil
}

// yield gives a lease back that nobody uses any more. If that fails, yieldRest tries again.
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
	sh := s.share
	sh.mu.Lock()
	if grant == untaken {
		grant = sh.claims[name].grant
	}
	sh.mu.Unlock()
	if grant == (lease{}) {
		return nil
	}
	sys, release, err := s.guard(name, false)
	if err != nil {
		return err
	}
	defer release()
	if now, err := s.readLease(sys, name); err != nil || now != grant {
		return err
	}
	grant.Held = false
	if err := s.writeLease(sys, name, grant); !errors.Is(err, files.ErrFenced) {
		return err
	}
	return nil // another store has it
}

// yieldRest gives the leases back that could not be given back before.
func (s *Store) yieldRest() {
	s.share.mu.Lock()
	rest := maps.Clone(s.share.holds)
	s.share.mu.Unlock()
	for agent, h := range rest {
		s.yield(agent, h)
	}
	s.yieldClaims(rest)
}

// yieldClaims gives leases back that were taken without hearing so, and that nobody holds.
func (s *Store) yieldClaims(holds map[kv.Agent]*hold) {
	sh := s.share
	sh.mu.Lock()
	claims := maps.Clone(sh.claims)
	sh.mu.Unlock()
	for agent := range holds {
		delete(claims, FileName(agent))
	}
	for name, t := range claims {
		err := s.giveBack(name, t.grant)
		sh.mu.Lock()
		if err == nil && sh.claims[name] == t && time.Since(t.at) > claimsKept {
			delete(sh.claims, name)
		}
		sh.mu.Unlock()
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
func (s *Store) owning(agent kv.Agent, grant lease, f func(files.System) error) error {
	if s.share == nil {
		return f(s.sys)
	}
	if grant == (lease{}) {
		return fmt.Errorf("%w: this server was not granted its lease", ErrTaken)
	}
	name := FileName(agent)
	sys, release, err := s.guard(name, false)
	if err != nil {
		return err
	}
	defer release()
	now, err := s.readLease(sys, name)
	if err != nil {
		return err
	}
	if grant == untaken {
		if grant, now, err = s.settle(sys, agent, now); err != nil {
			return err
		}
	}
	if now != grant {
		s.share.lose(agent, grant)
		return fmt.Errorf("%w: its lease has generation %d, and this server had generation %d",
			ErrTaken, now.Generation, grant.Generation)
	}
	if err = f(sys); errors.Is(err, files.ErrFenced) {
		s.share.lose(agent, grant)
		return fmt.Errorf("%w: its lease has changed: %w", ErrTaken, err)
	}
	return err
}

// settle takes the lease that an agent's request would have taken if the file system had not
// failed, if no other store has had the agent since this one had it last. The caller guards the
// memory, whose lease is now. It returns the lease that this store has, and the one that is there.
func (s *Store) settle(sys files.System, agent kv.Agent, now lease) (
	grant, there lease, err error,
) {
	sh := s.share
	sh.mu.Lock()
	h, unchanged := sh.holds[agent], sh.unchanged(agent, now)
	var has, ours lease
	if h != nil {
		has, ours = h.grant, h.ours
	}
	sh.mu.Unlock()
	switch {
	case has != (lease{}) && has == ours:
		return has, now, nil // it was settled
	case has != untaken || !unchanged:
		return lease{}, now,
			fmt.Errorf("%w: it went on while this one could not reach the files", ErrTaken)
	}
	if grant, err = s.putLease(sys, FileName(agent), now); err != nil {
		return lease{}, now, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h.grant == untaken { // else a request has taken a later one meanwhile
		h.grant, h.ours, h.lost, sh.known[agent] = grant, grant, false, grant
	}
	return grant, grant, nil
}

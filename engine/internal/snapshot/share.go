package snapshot

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/seal"
)

// A share is what a Store knows of the others that use its directory at the same time, in other
// processes or on other machines that mount it.
//
//	members/ID   locked by the store ID for as long as it uses the directory, and touched every
//	             third of a lease's term
//	locks/NN     locked for the moment in which a store changes the files of an agent, or its lease
//	NAME.lease   which store may write NAME.memory; see lease
//
// In a bucket (files.Fenced) there are no locks of agents' files: a change is made on the condition
// that the lease has not changed. What follows is for a directory.
//
// That two stores never write one memory rests on the locks alone, and on no clock: who writes
// holds the agent's lock while it compares the lease with the one that it was given and renames the
// file. A store that was stopped in its middle, or has lost its lease in another way, finds another
// lease there and writes nothing. So the locks must hold between all machines that mount the
// directory: NFS 4 and NFS 3 with lockd do that, mounts with nolock or local_lock do not. Where a
// machine is cut off for longer than the file server keeps its locks, just between the comparison
// and the rename, that rename may still come and put an older memory in the place of a newer one.
//
// Clocks only decide how long a store that hangs is waited for, and each store uses its own: it
// looks whether the time of the other's file has changed, not what time it is.
type share struct {
	sys   files.System
	dir   string
	id    string // of this store, another one at each start; it begins with the model's
	term  time.Duration
	leave func() // unlocks the member's file
	end   chan struct{}
	work  sync.WaitGroup

	mu     sync.Mutex
	others map[string]sight
	holds  map[kv.Agent]*hold
	known  map[kv.Agent]lease // under which the index was right
	claims map[string]claim   // by name
	last   int64              // the largest generation that this store has given a lease
	closed bool
}

// A sight is when a member was last seen to have touched its file.
type sight struct{ touched, at time.Time }

const (
	membersDir = "members"
	locksDir   = "locks"

	joinWait     = 5 * time.Second       // for a store that is about to join, or is alone
	guardWait    = 10 * time.Second      // for a lock that is held for a moment
	refreshEvery = time.Minute           // the index is compared with the directory
	collectEvery = 15 * time.Minute      // what no memory needs any more is looked for in a bucket
	leaseKept    = time.Hour             // a lease without a memory, and files half written
	linger       = 50 * time.Millisecond // a lease is kept so long after its last use
)

// OpenShared is OpenStore for a directory that other stores use as well, all of them opened so and
// for the same model. Before a memory is written, and before it is read if it is to be the newest,
// Hold must have been called. term is how long a store that hangs keeps its leases; one whose
// process has ended loses them at once. Quotas are those of the whole directory: of what others
// have written a store learns within a minute.
func OpenShared(sys files.System, dir string, match Header, quota int64, ttl, term time.Duration,
	keys ...*seal.Key,
) (*Store, error) {
	s := newStore(sys, dir, match, quota, ttl, keys)
	if err := files.MakeDir(sys, dir); err != nil {
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	join := s.join
	if s.fenced != nil {
		join = s.joinFenced
	}
	if err := join(term); err != nil {
		return nil, fmt.Errorf("directory of agents' memories %s: %w", dir, err)
	}
	if err := s.begin(); err != nil {
		s.share.leave()
		return nil, err
	}
	s.share.work.Go(s.beat)
	s.share.work.Go(s.maintain)
	return s, nil
}

// Shared reports whether other stores may use the directory.
func (s *Store) Shared() bool { return s.share != nil }

// modelID stands for the model and the layout of its KV in the ids of members.
func modelID(h *Header) string {
	sum := kv.Digest(h.Fingerprint, fmt.Sprint(h.Shape))
	return hex.EncodeToString(sum[:4])
}

func (s *Store) newShare(term time.Duration) *share {
	return &share{
		sys: s.sys, dir: s.dir, id: modelID(&s.match) + "-" + rand.Text(), term: term,
		end:    make(chan struct{}),
		others: make(map[string]sight),
		holds:  make(map[kv.Agent]*hold),
		known:  make(map[kv.Agent]lease),
		claims: make(map[string]claim),
	}
}

// ofModel returns an error if one of the members has another model.
func (sh *share) ofModel(members []string) error {
	for _, id := range members {
		if id[:min(len(id), 8)] != sh.id[:8] {
			return fmt.Errorf("it is in use by a server with another model, or another layout of "+
				"its KV; give each model its own: %w", files.ErrLocked)
		}
	}
	return nil
}

// joinFenced is join where locks do not end with their process. Of two that join at the same time
// with other models, at least one sees the other. One that was killed is waited for.
func (s *Store) joinFenced(term time.Duration) (err error) {
	sh := s.newShare(term)
	if sh.leave, err = s.sys.Lock(sh.member(sh.id)); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(term / 6) {
		var ids []string
		if ids, err = s.members(); err == nil {
			err = sh.ofModel(ids)
		}
		if !errors.Is(err, files.ErrLocked) || time.Since(began) > term*3/2 {
			break
		}
		s.sys.Touch(sh.member(sh.id), time.Now()) // an error shows at the next one
	}
	if err != nil {
		sh.leave()
		return err
	}
	s.share = sh
	return nil
}

// join makes the store a member of those that use the directory.
func (s *Store) join(term time.Duration) error {
	sh := s.newShare(term)
	for _, sub := range []string{membersDir, locksDir} {
		if err := s.sys.MkdirAll(filepath.Join(s.dir, sub)); err != nil {
			return err
		}
	}
	unlock, err := await(s.sys, filepath.Join(s.dir, "lock"), joinWait)
	if errors.Is(err, files.ErrLocked) {
		return fmt.Errorf("it is in use by a server that does not share it: %w", err)
	}
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.members()
	if err != nil {
		return err
	}
	if err := sh.ofModel(all); err != nil {
		return err
	}
	if sh.leave, err = s.sys.Lock(sh.member(sh.id)); err != nil {
		return err
	}
	s.share = sh
	return nil
}

// members returns the ids of the stores that share the directory, and clears up after those that
// have ended. The caller has the directory's lock, so that none is about to join.
func (s *Store) members() (ids []string, err error) {
	dir := filepath.Join(s.dir, membersDir)
	infos, err := s.sys.Infos(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range infos {
		path := filepath.Join(dir, f.Name())
		unlock, err := s.sys.Lock(path)
		if err != nil {
			ids = append(ids, f.Name())
			continue
		}
		s.sys.Remove(path)
		unlock()
	}
	return ids, err
}

func (sh *share) member(id string) string { return filepath.Join(sh.dir, membersDir, id) }

// await locks a file as soon as it is free.
func await(sys files.System, path string, longest time.Duration) (unlock func(), err error) {
	began := time.Now()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		unlock, err := sys.Lock(path)
		if !errors.Is(err, files.ErrLocked) || time.Since(began) > longest {
			return unlock, err
		}
		time.Sleep(wait)
	}
}

// guard has no other store change the files of the agent whose memory has a name, or the agent's
// lease, until release is called.
//
// Changes are made on sys: where it has fences, nobody is kept from anything, and a change fails if
// another store has changed the lease since. The files are as they are now if latest, and else may
// be as this store has left them.
func (s *Store) guard(name string, latest bool) (sys files.System, release func(), err error) {
	if s.fenced != nil {
		sys, err = s.view(name, latest)
		return sys, func() {}, err
	}
	if s.share == nil {
		return s.sys, func() {}, nil
	}
	sum := kv.Digest(name)
	release, err = await(s.sys, filepath.Join(s.dir, locksDir, hex.EncodeToString(sum[:1])), guardWait)
	if err != nil {
		return nil, nil, fmt.Errorf("lock of an agent's files: %w", err)
	}
	return s.sys, release, nil
}

// view returns a file system in which the files of the agent whose memory has a name are as they
// were at one moment, where there is such a thing.
func (s *Store) view(name string, latest bool) (files.System, error) {
	if s.fenced == nil {
		return s.sys, nil
	}
	return s.fenced.Begin(s.dir, strings.TrimSuffix(name, ".memory"), filepath.Base(s.leasePath(name)),
		latest)
}

// alone returns an error if stores use the directory that share it, and removes what such stores
// have left. The caller has the directory's lock.
func (s *Store) alone() error {
	ids, err := s.members()
	if err != nil {
		return fmt.Errorf("directory of agents' memories: %w", err)
	}
	if len(ids) > 0 {
		return fmt.Errorf("directory of agents' memories %s is in use by %d servers that share it; "+
			"share it too, or give this one its own: %w", s.dir, len(ids), files.ErrLocked)
	}
	return nil
}

// withdraw gives all leases back and ends the membership.
func (s *Store) withdraw() {
	sh := s.share
	sh.mu.Lock()
	sh.closed = true
	sh.mu.Unlock()
	close(sh.end)
	sh.work.Wait()
	sh.mu.Lock()
	holds := maps.Clone(sh.holds)
	sh.mu.Unlock()
	for agent, h := range holds {
		if err := s.giveBack(FileName(agent), h.grant); err != nil {
			slog.Warn("an agent's lease was not given back; it ends with this process", "error", err)
		}
	}
	s.sys.Remove(sh.member(sh.id))
	sh.leave()
}

// beat shows the others that this store is there, and watches them, until the store is closed.
func (s *Store) beat() {
	sh := s.share
	tick := time.NewTicker(sh.term / 3)
	defer tick.Stop()
	for {
		if err := s.sys.Touch(sh.member(sh.id), time.Now()); err != nil {
			slog.Error("this server cannot show the others that share its memories that it is there",
				"error", err)
		}
		infos, _ := s.sys.Infos(filepath.Join(s.dir, membersDir))
		for _, f := range infos {
			sh.seen(f.Name(), f.ModTime())
		}
		select {
		case <-tick.C:
		case <-sh.end:
			return
		}
	}
}

// maintain does what may take long: it gives back what could not be given back, keeps the index up
// to date and has a bucket cleared, until the store is closed.
func (s *Store) maintain() {
	sh := s.share
	tick := time.NewTicker(sh.term / 3)
	defer tick.Stop()
	refreshed, collected := time.Now(), time.Now()
	for {
		s.yieldRest()
		if time.Since(refreshed) >= refreshEvery {
			s.Refresh()
			refreshed = time.Now()
		}
		if s.fenced != nil && time.Since(collected) >= collectEvery {
			s.collect()
			collected = time.Now()
		}
		select {
		case <-tick.C:
		case <-sh.end:
			return
		}
	}
}

// collect frees what no memory needs any more. It is kept where a lease is held, behind which
// somebody may be writing.
func (s *Store) collect() {
	n, err := s.fenced.Collect(func(text []byte) bool {
		var l lease
		return json.Unmarshal(text, &l) != nil || l.Held
	})
	if err != nil {
		slog.Warn("what no memory needs any more stays in the bucket for now", "error", err)
	} else if n > 0 {
		slog.Info("what no memory needed any more is removed from the bucket", "chunks", n)
	}
}

// seen notes when a member has touched its file, and reports whether it has done so within the
// term.
func (sh *share) seen(id string, touched time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := time.Now()
	if last, ok := sh.others[id]; ok && last.touched.Equal(touched) {
		return now.Sub(last.at) < sh.term
	}
	sh.others[id] = sight{touched, now}
	return true
}

// alive reports whether a member has its leases still: its process has not ended, and it does not
// hang.
func (sh *share) alive(id string) bool {
	if id == sh.id {
		return true
	}
	path := sh.member(id)
	f, err := sh.sys.Open(path) // of a file that is just opened, NFS knows the time
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		return true // it is not known that it has ended
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return true
	}
	if unlock, err := sh.sys.Lock(path); err == nil {
		unlock()
		return false
	}
	return sh.seen(id, info.ModTime())
}

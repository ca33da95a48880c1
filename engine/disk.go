package engine

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
	"loadstone/internal/seal"
)

// A disk is the engine's side of memories on disk. Only the engine's goroutine uses it, except for
// store and writer, which have locks of their own.
//
// Saving is write-behind. A memory that a request has left is due a moment later, so that a
// conversation in full swing is not written at every turn, and due in any case before its oldest
// turn that is not on disk has reached a certain age (see backlog), though its agent never rests.
// Then its blocks are copied out between steps, a portion at a time, and a goroutine takes the copy
// to the disk. What the agent does meanwhile does not disturb the copy: the memory retires and
// stays in the pool until it is complete.
//
// Eviction does not wait for that. When a memory that is not saved loses a block, the block is
// copied before the step that overwrites it, for until then its contents are intact; the rest of
// the memory follows between steps. So evicted memories go to the disk. Only when more than the
// writer's limit waits to be written, because the disk does not keep up, an evicted memory is
// lost and what was saved of it before is kept: eviction never waits for a disk.
type disk struct {
	store  *snapshot.Store
	writer *snapshot.Writer
	model  Model
	pool   *kv.Store
	header snapshot.Header // what all snapshots have in common
	guard  func(func() error) error

	delay        time.Duration        // how long a memory rests before it is saved
	within       time.Duration        // how old a turn may get before it is on disk; 0: any age
	lead         time.Duration        // how long before that its save is due
	step         func() time.Duration // how long a step takes, for which a save may have to wait
	portionBytes int                  // that are copied in or out between two steps

	backlogs map[kv.Agent]*backlog // by agent
	turns    []unsavedTurn         // of backlogs, in the order of their times
	aged     int                   // how many of turns have been looked at because of their age
	overdue  []*backlog            // reached their age while an older snapshot was on its way
	oldest   atomic.Int64          // when the oldest unsaved turn ended, in Unix nanoseconds; 0: none

	closing bool     // what fails now is not tried again
	rested  []rested // in the order of their times
	copying []*kv.Chain
	copies  map[*kv.Chain]*snapshot.Snapshot // of the chains in copying, unless given up
	fetches sync.WaitGroup                   // goroutines that read for a restore
	timer   *time.Timer                      // calls notify when the next memory is due
	notify  func()                           // wakes the engine's goroutine

	restores, failures uint64
}

// A rested memory is to be saved when its time has come, if its agent has not gone on until then.
type rested struct {
	chain *kv.Chain
	at    time.Time
	force bool // although its agent has
}

const (
	portionBytes  = 4 << 20   // a millisecond or two of copying
	minMaxUnsaved = 256 << 20 // bytes that may wait for the disk; half the pool if that is more
)

// openDisk opens the directory of memories, if the engine has one.
func (e *Engine) openDisk() error {
	c := &e.cfg
	if c.Dir == "" && c.Bucket == nil {
		return nil
	}
	h := snapshot.Header{Fingerprint: c.Fingerprint, Shape: e.layout.Shape}
	var keys []*seal.Key
	for _, b := range c.SealKeys {
		k, err := seal.NewKey(b)
		if err != nil {
			return fmt.Errorf("engine: Config.SealKeys: %w", err)
		}
		keys = append(keys, k)
	}
	if c.Bucket != nil {
		c.useBucket(keys)
	}
	s, err := c.openStore(h, keys)
	if err != nil {
		return err
	}
	e.disk = &disk{
		store:        s,
		writer:       snapshot.NewWriter(s, max(minMaxUnsaved, c.KVBytes/2), e.mailbox.notify),
		model:        c.Model,
		pool:         e.sched.store,
		header:       h,
		guard:        e.guard,
		delay:        c.SaveAfter,
		within:       c.SaveWithin,
		lead:         c.SaveWithin / minLead,
		step:         func() time.Duration { return e.pace.step },
		backlogs:     make(map[kv.Agent]*backlog),
		portionBytes: portionBytes,
		copies:       make(map[*kv.Chain]*snapshot.Snapshot),
		timer:        time.AfterFunc(time.Hour, e.mailbox.notify),
		notify:       e.mailbox.notify,
	}
	e.disk.timer.Stop()
	e.sched.store.Track, e.sched.store.KeepDirty = true, c.SaveWithin > 0
	e.sched.restorable = e.disk.has
	return nil
}

// openStore opens the directory, alone or with others.
func (c *Config) openStore(h snapshot.Header, keys []*seal.Key) (*snapshot.Store, error) {
	if c.Shared {
		return snapshot.OpenShared(c.Files, c.Dir, h, c.DiskBytes, c.TTL, c.Lease, keys...)
	}
	return snapshot.OpenStore(c.Files, c.Dir, h, c.DiskBytes, c.TTL, keys...)
}

// stats fills in what the store and the writer know. It may be called from any goroutine.
func (d *disk) stats(st *Stats) {
	st.DiskMemories, st.DiskBytes = d.store.Size()
	w := d.writer.Stats()
	st.UnsavedBytes, st.Saves = w.Unsaved, w.Saves
	st.SaveFailuresBy = SaveFailures{
		DiskFull: w.Failures[snapshot.FailedDiskFull],
		Quota:    w.Failures[snapshot.FailedQuota],
		IO:       w.Failures[snapshot.FailedIO],
		DiskSlow: w.Failures[snapshot.FailedSlow],
		Read:     w.Failures[snapshot.FailedRead],

		Superseded: w.Failures[snapshot.FailedTaken],
	}
	st.SaveFailures = st.SaveFailuresBy.Sum()
	st.SavedBytes, st.SaveTime = w.Bytes, w.Took
	if at := d.oldest.Load(); at != 0 {
		st.Unsaved = max(0, time.Since(time.Unix(0, at)))
	}
	st.Disk = d.state()
}

// state says whether saves fail at present, and whether that is for lack of room. It may be called
// from any goroutine.
func (d *disk) state() string {
	why, failing := d.writer.Failing()
	switch {
	case !failing:
		return DiskOK
	case why == snapshot.FailedDiskFull || why == snapshot.FailedQuota:
		return DiskFull
	}
	return DiskFailing
}

// close saves everything and ends the goroutines. wait waits for the writer.
func (d *disk) close(wait func()) {
	d.closing = true
	d.writer.LastTry()
	d.flush(wait)
	d.timer.Stop()
	d.writer.Close()
	d.fetches.Wait()
}

// flush copies out every memory that is not saved, the last used first, and then those whose files
// had to go for lack of room, in case there is some again. When the writer has no room for a copy,
// it waits for the writer.
func (d *disk) flush(wait func()) {
	d.delay = 0
	d.rescue()
	d.rested = d.rested[:0]
	for c := range d.pool.Chains() {
		if c.Dirty && d.copies[c] == nil {
			d.rested = append(d.rested, rested{chain: c, force: true})
		}
	}
	slices.Reverse(d.rested)
	d.rested = append(d.rested, d.crowded()...)
	for len(d.rested) > 0 || len(d.copying) > 0 {
		if !d.copyOut() && len(d.rested)+len(d.copying) > 0 {
			wait()
		}
	}
}

// crowded returns the memories that the pool still has, and whose files were deleted for lack of
// room, the last used first.
func (d *disk) crowded() (all []rested) {
	if d.store.Shared() {
		return nil // another engine may have gone on with the agent
	}
	for c := range d.pool.Chains() {
		if c.Dirty || c.Agent.Anonymous() || d.backlogs[c.Agent] != nil || !d.store.Crowded(c.Agent) {
			continue
		}
		if b := d.again(c.Agent); b != nil {
			b.spare = true
			all = append(all, rested{chain: b.chain, force: true})
		}
	}
	slices.Reverse(all)
	return all
}

// unsaved returns an agent's newest snapshot that is not on disk, for reading: one that is being
// made, or one on its way to the disk.
func (d *disk) unsaved(agent kv.Agent) *snapshot.Snapshot {
	b := d.backlogs[agent]
	if b == nil || b.saving == nil {
		return nil
	}
	return b.saving.View()
}

// unsavedTokens returns an agent's conversation as its last turn left it, nil if that is on disk or
// has another salt.
func (d *disk) unsavedTokens(agent kv.Agent, salt string) []int32 {
	b := d.backlogs[agent]
	switch {
	case b == nil:
		return nil
	case b.chain != nil && b.chain.Dirty && b.chain.Salt == salt:
		return slices.Concat(b.chain.Tokens, b.chain.Last)
	case b.saving != nil && b.saving.Header().Salt == salt:
		return b.saving.Conversation()
	}
	return nil
}

// has reports whether there is something that a request can be given. A memory that was left with
// another salt is not.
func (d *disk) has(who *kv.Identity) bool {
	if s := d.unsaved(who.Agent); s != nil {
		return s.Header().Salt == who.Salt
	}
	x, ok := d.store.Find(who.Agent)
	return ok && x.Header.Tokens > 0 && x.Header.Salt == who.Salt
}

// miss returns why a request reuses nothing of its agent's memory, of which the pool has nothing.
// It returns why, which is what the pool says of that, where the disk says nothing else.
func (d *disk) miss(who *kv.Identity, why string) string {
	x, found := d.store.Find(who.Agent)
	if found && x.Header.Tokens > 0 && x.Header.Salt != who.Salt {
		return kv.MissSalt
	}
	if reason := d.store.Unusable(who.Agent); reason != "" {
		return reason
	}
	if d.store.Evicted(who.Agent) {
		return kv.MissEvicted
	}
	return why
}

// forget drops what the pool has of an agent, and the snapshot that is being made of it. It reports
// whether the pool had anything.
func (d *disk) forget(agent kv.Agent) bool {
	d.rescue()
	for _, c := range slices.Clone(d.copying) { // it may have been evicted in the meantime
		if c.Agent == agent && d.copies[c] != nil {
			d.giveUp(c, snapshot.ErrSuperseded)
		}
	}
	found := false
	if b := d.backlogs[agent]; b != nil {
		found = b.chain != nil && b.chain.Retired
		d.endBacklog(b)
	}
	return d.pool.Forget(agent) || found
}

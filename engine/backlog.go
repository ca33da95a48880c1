package engine

import (
	"slices"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// A backlog is what the disk lacks of one agent: turns that have ended, and so have been
// acknowledged, and are in no file yet. A snapshot has all turns that ended before it was begun,
// because a memory is the whole conversation. So two times are enough, whatever the number of
// turns: that of the oldest, and that of the oldest which the snapshot on its way does not have.
//
// A backlog's turns get old while its agent never rests, and while the disk is slow. The first is
// bounded: the memory is copied when since is so old that the copy will be on disk before the turn
// has reached the age of Config.SaveWithin. So a memory that grows all the time is copied about
// once in that time, and not for each of its turns.
type backlog struct {
	agent kv.Agent

	since time.Time // when the oldest turn ended that is not on disk
	later time.Time // the same of those that saving does not have; zero: it has all

	chain  *kv.Chain          // has the newest turn, unless saving has it
	saving *snapshot.Snapshot // begun last, and not on disk yet

	spare   bool      // its file went for lack of room, and is written again if there is some
	due     time.Time // when saving was due because of its age; zero: it was not
	overdue bool      // later has reached its age, and waits for the end of saving

	leased bool // it holds the agent's lease, where others share the directory
}

// waits reports whether there are turns of which no snapshot has been begun, and none is on its
// way.
func (b *backlog) waits() bool { return b.saving == nil && b.chain != nil && b.chain.Dirty }

// An unsavedTurn says when a turn of a backlog ended: the oldest one, or the oldest one that the
// snapshot on its way does not have.
type unsavedTurn struct {
	of *backlog
	at time.Time
}

// still reports whether the disk lacks the turn.
func (t *unsavedTurn) still() bool { return t.at.Equal(t.of.since) || t.at.Equal(t.of.later) }

// A save is due so long before its turn is too old: a step, and twice what a save took lately from
// when it was due, and that at least and at most these parts of the bound.
const (
	minLead = 8
	maxLead = 2
)

// collect notes which memories the last step has left to be saved.
func (d *disk) collect() {
	var now time.Time
	d.pool.TakeFresh(func(c *kv.Chain) {
		if !c.Dirty {
			return // another one has taken its place
		}
		if now.IsZero() {
			now = time.Now()
		}
		d.rested = append(d.rested, rested{chain: c, at: now.Add(d.delay)})
		b := d.backlogs[c.Agent]
		if b == nil {
			b = &backlog{agent: c.Agent, leased: d.store.Retain(c.Agent)}
			d.backlogs[c.Agent] = b
		}
		switch {
		case b.since.IsZero():
			b.since = now
			d.turns = append(d.turns, unsavedTurn{b, now})
		case b.saving != nil && b.later.IsZero():
			b.later = now
			d.turns = append(d.turns, unsavedTurn{b, now})
		}
		if old := b.chain; old != nil && old != c {
			d.pool.Release(old) // this one has its turns
		}
		b.chain = c
	})
}

// begun notes that a snapshot has an agent's newest turns.
func (d *disk) begun(c *kv.Chain, s *snapshot.Snapshot) {
	if b := d.backlogs[c.Agent]; b != nil && b.chain == c {
		b.chain, b.saving, b.later, b.overdue = nil, s, time.Time{}, false
		s.Spare = b.spare
	}
}

// lose notes that a memory will not be saved, and neither will its snapshot s, if there is one.
// What the disk had of the agent before is left.
func (d *disk) lose(c *kv.Chain, s *snapshot.Snapshot) {
	b := d.backlogs[c.Agent]
	if b == nil {
		return
	}
	if b.chain == c {
		b.chain, b.later = nil, time.Time{}
	}
	if s != nil && b.saving == s {
		d.saved(b)
	} else if b.chain == nil && b.saving == nil {
		d.endBacklog(b)
	}
}

// settle notes what has become of the snapshots that the writer had.
func (d *disk) settle() {
	d.writer.TakeOutcomes(func(o snapshot.Outcome) {
		h := o.Snapshot.Header()
		b := d.backlogs[h.Agent]
		if b == nil || b.saving != o.Snapshot {
			return // a newer one is on its way
		}
		if o.Err == nil && !b.due.IsZero() {
			took := 2 * time.Since(b.due)
			d.lead = min(max(took, d.lead*7/8, d.within/minLead), d.within/maxLead)
		}
		d.saved(b)
	})
}

// saved notes that saving has ended, so that only the turns that it does not have are left.
func (d *disk) saved(b *backlog) {
	b.saving, b.due = nil, time.Time{}
	b.since, b.later = b.later, time.Time{}
	switch {
	case b.chain == nil:
		d.endBacklog(b)
	case b.overdue:
		b.overdue = false
		d.overdue = append(d.overdue, b)
	}
}

// endBacklog forgets an agent's backlog, and the memory that waits in it.
func (d *disk) endBacklog(b *backlog) {
	if c := b.chain; c != nil {
		d.pool.Release(c)
	}
	delete(d.backlogs, b.agent)
	if b.leased {
		d.store.Release(b.agent)
	}
	*b = backlog{}
}

// failed notes that a request of an agent has failed, and left nothing. With it goes the agent's
// last turn if the request had taken over the only copy.
func (d *disk) failed(agent kv.Agent) {
	d.collect()
	if b := d.backlogs[agent]; b != nil && b.chain != nil && !b.chain.Dirty {
		d.lose(b.chain, nil)
	}
}

// due returns a memory that is to be saved now, or else how long it takes until the next one is; 0
// if it has to wait for something else.
func (d *disk) due(now time.Time) (c *kv.Chain, wait time.Duration) {
	for ; len(d.overdue) > 0; d.overdue = d.overdue[1:] {
		if b := d.overdue[0]; b.waits() {
			return b.chain, 0
		}
	}
	for ; d.within > 0 && d.aged < len(d.turns); d.aged++ {
		t := &d.turns[d.aged]
		if !t.still() {
			continue
		}
		at := t.at.Add(d.within - d.lead - min(d.step(), d.within/maxLead))
		if wait = at.Sub(now); wait > 0 {
			break
		}
		switch b := t.of; {
		case b.waits():
			b.due = at
			return b.chain, 0
		case t.at.Equal(b.later):
			b.overdue = true
		}
	}
	wait = max(wait, 0)
	for ; len(d.rested) > 0; d.rested = d.rested[1:] {
		r := &d.rested[0]
		if !r.chain.Dirty || d.copies[r.chain] != nil || r.chain.Retired && !r.force {
			continue
		}
		until := r.at.Sub(now)
		if until <= 0 {
			return r.chain, 0
		}
		if wait == 0 || until < wait {
			wait = until
		}
		break
	}
	return nil, wait
}

// noteOldest publishes when the oldest turn ended that is not on disk, and forgets turns that are.
func (d *disk) noteOldest() {
	n := 0
	for n < len(d.turns) && !d.turns[n].still() {
		n++
	}
	d.turns = d.turns[n:]
	d.aged = max(0, d.aged-n)
	// While the disk is stuck, those behind the oldest pile up though they are saved or covered.
	if len(d.turns) > 4*len(d.backlogs)+64 {
		looked := d.aged
		kept := d.turns[:0]
		for i := range d.turns {
			if d.turns[i].still() {
				kept = append(kept, d.turns[i])
			} else if i < looked {
				d.aged--
			}
		}
		d.turns = kept
	}
	at := int64(0)
	if len(d.turns) > 0 {
		at = d.turns[0].at.UnixNano()
	}
	d.oldest.Store(at)
}

// urge begins to save an agent's memory at once, if it is not saved. It returns an attempt to wait
// for, nil if there is nothing to save.
func (d *disk) urge(agent kv.Agent) *snapshot.Attempt {
	d.settle()
	d.rescue()
	b := d.backlogs[agent]
	if b == nil {
		b = d.again(agent)
	}
	if b == nil {
		return nil
	}
	if c := b.chain; c != nil && c.Dirty {
		d.begin(c, c.Tokens, true)
	} else if i := slices.IndexFunc(d.copying, func(c *kv.Chain) bool {
		return d.copies[c] == b.saving
	}); i >= 0 && b.saving != nil {
		d.copyFirst(d.copying[i])
	}
	if b.saving == nil {
		return nil
	}
	return d.writer.Await(b.saving)
}

// again makes a backlog of a memory that was saved, if the pool still has it and its file is gone:
// the quota or a full disk has deleted it, or it was set aside. It returns nil if the file is
// there, or the pool has not all of the memory.
func (d *disk) again(agent kv.Agent) *backlog {
	c := d.pool.Agent(agent)
	if _, saved := d.store.Find(agent); saved || c == nil || c.Partial() {
		return nil
	}
	c.Dirty = true
	b := &backlog{agent: agent, chain: c, leased: d.store.Retain(agent)}
	d.backlogs[agent] = b
	return b
}

package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// end lets the world come to rest and checks that everything is back: the pool, the quotas, what
// was promised, and each goroutine. The server's last end but one is in order or a loss of power.
func (w *world) end() {
	w.diskFaults, w.stepFault = nil, nil
	for _, name := range w.names {
		if w.principals[name].revoked {
			w.changeKey(name, "rotate")
		}
	}
	w.log("world", "rest")
	time.Sleep(rest)
	w.conserved(w.running)
	w.tidy()
	w.doubt(func(a *agent) { a.show() })
	for _, name := range w.names {
		w.must(w.client(name+"/-probe"), "api=messages", "stream=no", "max=6", "say="+filler)
	}
	if w.dice.one(2) {
		w.probe("before the last restart", true)
		w.restart(time.Minute)
		w.probe("after it", false)
	} else {
		w.lastWords()
		w.power()
		w.start()
		w.probe("after a loss of power", true)
	}
	w.stop(time.Minute)
	w.ghosts.Wait()
	for range 100 {
		if runtime.NumGoroutine() <= w.base {
			return
		}
		time.Sleep(time.Second)
	}
	w.fail("goroutines", "%d goroutines are left, %d before", runtime.NumGoroutine(), w.base)
}

// rest is longer than every wait of the server: for a client, for the disk, for a rate.
const rest = 3 * time.Minute

// conserved checks that a server that does nothing has everything back.
func (w *world) conserved(i *instance) {
	st := i.engine.Stats()
	if st.Running != 0 || st.Queued != 0 || st.Used != 0 || st.WindowSlotsUsed != 0 {
		w.fail("conserved", "at rest %d requests run, %d wait, %d blocks and %d slots are used",
			st.Running, st.Queued, st.Used, st.WindowSlotsUsed)
	}
	if st.Cached+st.Free != st.Blocks || st.WindowSlotsCached+st.WindowSlotsFree != st.WindowSlots {
		w.fail("conserved", "%d + %d blocks of %d, %d + %d slots of %d", st.Cached, st.Free, st.Blocks,
			st.WindowSlotsCached, st.WindowSlotsFree, st.WindowSlots)
	}
	usage, err := i.engine.Usage()
	if err != nil {
		return // the engine has ended
	}
	for _, u := range usage {
		if u.InFlight != 0 {
			w.fail("conserved", "at rest a principal has %d requests in flight", u.InFlight)
		}
	}
}

// tidy checks that the directory of memories has what the books say, and nothing half-written.
func (w *world) tidy() {
	files, err := w.sim.System().Infos(memories)
	must(err)
	all, bytes := int64(0), map[string]int64{} // by the beginning of names, which principals have
	for _, f := range files {
		switch filepath.Ext(f.Name()) {
		case ".memory":
			whose, _, _ := strings.Cut(f.Name(), "-")
			all, bytes[whose] = all+f.Size(), bytes[whose]+f.Size()
		case ".tmp":
			if w.removeErrors == 0 {
				w.fail("conserved", "at rest there is a file that was not completed")
			}
		}
	}
	if w.removeErrors > 0 || w.rots > 0 {
		return
	}
	st := w.running.engine.Stats()
	if st.DiskBytes != all {
		w.fail("conserved", "at rest the files take %d bytes, and the books say %d", all,
			st.DiskBytes)
	}
	if st.UnsavedBytes != 0 {
		w.fail("conserved", "at rest %d bytes wait for the disk", st.UnsavedBytes)
	}
	usage, err := w.running.engine.Usage()
	if err != nil || w.names[0] == "" {
		return
	}
	books := map[string]int64{}
	for _, u := range usage {
		if u.DiskBytes > 0 {
			books[u.Principal] = u.DiskBytes
		}
	}
	// The names of files do not say whose they are.
	on, in := slices.Sorted(maps.Values(bytes)), slices.Sorted(maps.Values(books))
	if !slices.Equal(on, in) {
		w.fail("conserved", "at rest the files of each take %v bytes, and the books say %v", on, in)
	}
}

// probe looks at all agents, and goes on with the conversation of each if ask is set. What was said
// last is perhaps not on disk yet when it ends.
func (w *world) probe(when string, ask bool) {
	w.log("world", "probe %s", when)
	for _, name := range w.names {
		p := w.principals[name]
		for _, agent := range p.order {
			c := w.agentClient(name, agent)
			if c.get(); ask {
				args := []string{"api=chat", "stream=yes", "max=2", fmt.Sprintf("say=%s.%d", agent, w.starts)}
				if w.dice.one(4) {
					args = append(args, "salt=s1")
				}
				w.must(c, args...)
				c.get()
			}
		}
		if len(p.order) > 0 && !ask {
			w.agentClient(name, p.order[0]).list()
		}
	}
}

// agentClient returns the only client that an agent has from now on.
func (w *world) agentClient(principal, agent string) *client {
	c := w.clients[principal+"/"+agent]
	if c == nil {
		c = w.client(principal + "/" + agent)
	}
	c.agent.clients = 1
	return c
}

// lastWords has an agent of each principal be told that its turn is on disk.
func (w *world) lastWords() {
	for _, name := range w.names {
		p := w.principals[name]
		if len(p.order) == 0 {
			continue
		}
		c := w.agentClient(name, p.order[w.dice.IntN(len(p.order))])
		ask := []string{"api=chat", "stream=no", "max=3", "say=good.night"}
		if w.dice.one(2) {
			w.must(c, append(ask, "durable=wait")...)
		} else {
			w.must(c, ask...)
			c.pin(true, nil)
		}
	}
}

// must asks a question that has to be answered, because nobody else asks.
func (w *world) must(c *client, args ...string) {
	time.Sleep(time.Minute) // for the rates
	answers := w.answers
	if c.turn(args); w.answers == answers {
		w.fail("conserved", "a server at rest refuses a request")
	}
}

// filler makes a question that takes a good part of the pool.
const filler = "the.river.and.the.door.of.salt.and.lamp.over.a.green.bell"

package main

import (
	"fmt"
	"runtime"
	"time"
)

// end lets the world come to rest and checks that everything is back: the pool, the quotas, what
// was promised, and each goroutine.
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
	for _, name := range w.names {
		w.must(w.client(name+"/-probe"), "api=messages", "stream=no", "max=6", "say="+filler)
	}
	w.probe("before the last restart", true)
	w.restart(time.Minute)
	w.probe("after it", false)
	w.power()
	w.start()
	w.probe("after a loss of power", true)
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

// probe looks at all agents, and goes on with the conversation of each if ask is set.
func (w *world) probe(when string, ask bool) {
	w.log("world", "probe %s", when)
	for _, name := range w.names {
		p := w.principals[name]
		for _, agent := range p.order {
			c := w.clients[name+"/"+agent]
			if c == nil {
				c = w.client(name + "/" + agent)
			}
			c.agent.clients = 1
			if c.get(); ask {
				w.must(c, "api=chat", "stream=yes", "max=2", fmt.Sprintf("say=%s.%d", agent, w.starts))
			}
		}
		if len(p.order) > 0 {
			w.client(name + "/" + p.order[0]).list()
		}
	}
}

// must asks a question that has to be answered, because nobody else asks.
func (w *world) must(c *client, args ...string) {
	answers := w.answers
	if c.turn(args); w.answers == answers {
		w.fail("conserved", "a server at rest refuses a request")
	}
	time.Sleep(15 * time.Second) // for the rates
}

// filler makes a question that takes a good part of the pool.
const filler = "the.river.and.the.door.of.salt.and.lamp.over.a.green.bell"

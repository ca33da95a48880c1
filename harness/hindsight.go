package harness

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"loadstone/harness/ceiling"
	"loadstone/harness/record"
)

// hindsight finds what an endless cache would have had of each prompt after a run, where no process
// has sent all of them: the prompts are made again from the load and the answers, and go through
// such a cache in the order in which they were sent and answered.
type hindsight struct {
	x      *execution
	cache  *ceiling.Cache
	agents map[int]*recalled
}

// recalled is an agent whose requests are made again.
type recalled struct {
	*agent
	made map[string][]*request // those that were not sent yet, by agent and turn, in order
	sent int                   // those that were not answered yet
}

// lookBack gives the records of a run, of its filled caches first, their ceilings. Records of which
// the load has no request keep none.
func (x *execution) lookBack(runs ...[]record.Record) {
	h := hindsight{x: x, cache: x.server.ceiling.cache, agents: map[int]*recalled{}}
	defer func() {
		for _, a := range h.agents {
			a.close()
		}
	}()
	type moment struct {
		at   time.Duration
		ends bool
		r    *record.Record
	}
	var all []moment
	for _, records := range runs {
		for i := range records {
			r := &records[i]
			all = append(all, moment{r.Sent, false, r}, moment{max(r.End, r.Sent+1), true, r})
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { // what goes on from an answer comes after it
		if a.at == b.at && a.ends != b.ends {
			if a.ends {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.at, b.at)
	})
	sent := map[*record.Record]*request{}
	for _, m := range all {
		n, ok := agentOf(x.load.Name, m.r)
		switch q := sent[m.r]; {
		case !ok:
		case !m.ends:
			sent[m.r] = h.send(n, m.r)
		case q != nil:
			h.answer(n, q, m.r)
			delete(sent, m.r)
		}
	}
}

// send is the request of a record, which is sent now; nil where the load has none.
func (h *hindsight) send(n int, r *record.Record) *request {
	a := h.agents[n]
	if a == nil {
		a = h.begin(n)
	}
	key := placeKey(&r.Place)
	if len(a.made[key]) == 0 {
		return nil
	}
	q := a.made[key][0]
	if a.made[key] = a.made[key][1:]; len(a.made[key]) == 0 {
		delete(a.made, key)
	}
	a.sent++
	count, one := parts(&q.prompt)
	q.known = h.cache.Sent(count, one, q.from)
	return q
}

// begin lets an agent begin, or begin again.
func (h *hindsight) begin(n int) *recalled {
	name := fmt.Sprintf("%s-%d-%s", h.x.load.Name, n, h.x.epoch)
	a := &recalled{agent: newAgent(name, h.x.load.Session(n)), made: map[string][]*request{}}
	h.agents[n] = a
	h.prompts(a)
	return a
}

// prompts makes the prompts of all calls of an agent that can begin now.
func (h *hindsight) prompts(a *recalled) {
	calls := a.ready()
	for i := 0; i < len(calls); i++ {
		q := &request{call: calls[i]}
		if !h.x.prompt(a.agent, q) {
			a.skip(*q)
			calls = append(calls, a.ready()...) // that have waited for it
			continue
		}
		key := placeKey(&q.prompt.Place)
		a.made[key] = append(a.made[key], q)
	}
}

// answer takes note of an answer that comes now.
func (h *hindsight) answer(n int, q *request, r *record.Record) {
	a := h.agents[n]
	r.CeilingTokens = ceilingOf(q.known, r)
	a.sent--
	a.end(*q, *r)
	if filling(&h.x.load, r, q.call) && r.Outcome != record.OK { // it had another try
		a.close()
		h.begin(n)
		return
	}
	if h.prompts(a); a.drained && len(a.pending)+len(a.made)+a.sent == 0 { // its prompts may be long
		a.close()
		h.agents[n] = &recalled{agent: &agent{close: func() {}}}
	}
}

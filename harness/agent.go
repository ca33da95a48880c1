package harness

import (
	"iter"
	"slices"
	"time"

	"loadstone/harness/ceiling"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// agent is one agent at work: its session, and what came of the calls so far. It belongs to the
// goroutine that runs the session.
type agent struct {
	name    string
	session load.Session
	next    func() (load.Call, bool)
	close   func()
	drained bool        // next has no more calls
	pending []load.Call // calls that wait for others

	begin *conversation         // before the first call
	after map[int]*conversation // after each call that has ended, by ID
	over  time.Duration         // when the last of them was over
	made  map[load.Words]string // of a recorded session, the words that later prompts have again
	fits  fitter
	round int // of agents that ask together

	counted bool // its next request was counted among the load's when it began
}

// conversation is what was said when a call had ended: its prompt, and the answer. A call that was
// not answered is gone on from as it was recorded; where it was not recorded, asked is what was
// said before it: the question is taken out again.
type conversation struct {
	asked []client.Message
	said  []client.Message // the answer; none where there is none
	grown bool             // the memory after asked belongs to one that goes on from this one

	known *ceiling.Prompt // the last prompt in it; nil: there is none

	answered bool
	answer   string
	digest   record.Digest // of the answer
	over     time.Duration // when the agent could go on
	dropped  int           // messages of asked that were not sent, since they did not fit
}

// text is the answer, source what stands for it in digests of prompts.
func (c *conversation) text() string   { return c.answer }
func (c *conversation) source() string { return "answer " + string(c.digest) }

// request is a call as it is sent.
type request struct {
	call     load.Call
	due      time.Duration
	prompt   client.Prompt
	messages []client.Message // of the prompt, before it was made to fit
	dropped  int
	from     *ceiling.Prompt // of the conversation that it goes on from
	known    *ceiling.Prompt // its own, once it was sent
}

func newAgent(name string, s load.Session) *agent {
	a := &agent{name: name, session: s, after: map[int]*conversation{}, made: map[load.Words]string{}}
	a.next, a.close = iter.Pull(s.Calls)
	return a
}

// ready takes the calls that can begin now, in order.
func (a *agent) ready() []load.Call {
	var ready []load.Call
	take := func(c load.Call) bool {
		switch {
		case !a.met(c):
			return false
		case c.Aside > 0 && !a.after[c.From].answered: // there is nothing to go on from
			a.after[c.ID] = &conversation{over: a.after[c.From].over}
		default:
			ready = append(ready, c)
		}
		return true
	}
	a.pending = slices.DeleteFunc(a.pending, take)
	for !a.drained && (len(a.pending) == 0 || !a.session.Linear) {
		c, ok := a.next()
		if !ok {
			a.drained = true
		} else if !take(c) {
			a.pending = append(a.pending, c)
		}
	}
	return ready
}

// met reports whether all that a call waits for has ended.
func (a *agent) met(c load.Call) bool {
	for _, id := range c.After {
		if a.after[id] == nil {
			return false
		}
	}
	return c.From < 0 || a.after[c.From] != nil
}

// due is when a call is due: its pause after the last that it waits for, or after the session's
// start.
func (a *agent) due(c load.Call, start time.Duration) time.Duration {
	due := start
	if c.From >= 0 {
		due = max(due, a.after[c.From].over)
	}
	for _, id := range c.After {
		due = max(due, a.after[id].over)
	}
	return due + c.Pause
}

// from is the conversation that a call goes on from.
func (a *agent) from(c load.Call) *conversation {
	if c.From < 0 {
		return a.begin
	}
	return a.after[c.From]
}

// end takes note of what came of a request.
func (a *agent) end(q request, r record.Record) {
	// A client that is written with care comes back when a refusal said.
	now := &conversation{
		answered: r.Outcome == record.OK, answer: r.Answer, digest: r.AnswerDigest,
		over: r.End + r.RetryAfter}
	switch {
	case q.call.Aside > 0:
	case now.answered:
		now.asked, now.dropped = q.messages, q.dropped
		now.said = []client.Message{{Role: "assistant", Content: r.Answer, Source: now.source(),
			Wire: &client.Wire{}}}
		a.fits.learn(&q.prompt, &r)
	case q.call.Recorded != nil:
		now.asked, now.dropped, now.said = q.messages, q.dropped, wasSaid(q.call.Recorded)
	default:
		from := a.from(q.call)
		now.asked, now.said, now.grown = from.asked, from.said, true
	}
	now.known = q.known
	a.after[q.call.ID] = now
	a.over = max(a.over, now.over)
	a.forget(q.call)
}

// forget forgets what no later call goes on from, now that this one has ended: the prompts of a
// session that was recorded are long.
func (a *agent) forget(c load.Call) {
	switch {
	case !a.session.Linear && a.drained:
		wanted := map[int]bool{}
		for _, p := range a.pending {
			wanted[p.From] = true
		}
		for id, of := range a.after {
			if !wanted[id] {
				of.asked, of.said = nil, nil
			}
		}
	case a.session.Linear && c.Aside == 0:
		for id := range a.after {
			if id < c.ID {
				delete(a.after, id)
			}
		}
	}
}

// wasSaid is the answer of a call as it was recorded.
func wasSaid(was *load.Recorded) []client.Message {
	if was.Text == "" && was.ToolCalls == nil {
		return nil
	}
	return []client.Message{{Role: "assistant", Content: was.Text, ToolCalls: was.ToolCalls,
		Wire: &client.Wire{}}}
}

// skip takes note of a call that was not sent: later ones go on as it was recorded.
func (a *agent) skip(q request) {
	now := &conversation{asked: q.messages, dropped: q.dropped, over: q.due - q.call.Pause}
	if q.call.Recorded != nil {
		now.said = wasSaid(q.call.Recorded)
	}
	a.after[q.call.ID] = now
	a.over = max(a.over, now.over)
	a.forget(q.call)
}

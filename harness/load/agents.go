package load

import (
	"fmt"
	"iter"
)

// A Compaction lets an agent whose conversation has grown long ask for a summary and continue in a
// new conversation that begins with it. The zero Compaction does nothing.
type Compaction struct {
	At Amount // maximum tokens of a conversation; a call that would exceed it compacts first
	To Amount // tokens of the summary
}

func (c Compaction) String() string { return fmt.Sprintf("%v to %v", c.At, c.To) }

// SubAgents describes the sub-agents that an agent starts after some of its turns. Each works in
// its own conversation; the agent continues with their last answers.
type SubAgents struct {
	Number Amount  // sub-agents at a time
	Calls  Amount  // calls of each sub-agent
	Share  float64 // share of the turns, 0 to 1, after which the agent starts sub-agents
}

func (s SubAgents) String() string {
	return fmt.Sprintf("%v of %v calls after %g%% of turns", s.Number, s.Calls, 100*s.Share)
}

// works reports whether agents compact their conversations or start sub-agents.
func (l *Load) works() bool {
	return l.Compact != (Compaction{}) || l.SubAgents != (SubAgents{})
}

// summaryTokens is the length of the request for a summary.
const summaryTokens = 12

// work returns the session of an agent that compacts its conversation or starts sub-agents: the
// turns of turnsOf, and calls between them. It computes the lengths of conversations from the
// lengths that were asked for, not from the server's answers, so the graph is the same on every
// server.
func (l *Load) work(agent int) iter.Seq[Call] {
	return func(yield func(Call) bool) {
		w := worker{load: l, agent: agent, last: -1, yield: yield}
		if l.Compact.At.A > 0 {
			w.limit = l.Compact.At.count(draw(l.Seeds.Length, "compact at", agent), 1)
		}
		for turn := range l.turnsOf(agent) {
			if !w.turn(turn) || !w.delegate(turn) {
				return
			}
		}
	}
}

// A worker draws the session of an agent.
type worker struct {
	load  *Load
	agent int
	yield func(Call) bool

	id, last int   // ID of the next call, and the call that the conversation continues
	length   int   // tokens of the conversation, as they were asked for
	limit    int   // maximum length before the conversation is compacted; 0 is no limit
	subs     int   // number of sub-agents so far
	wait     []int // last calls of the sub-agents that the next turn waits for
}

// call yields a call and returns its number.
func (w *worker) call(c Call) (id int, more bool) {
	c.ID = w.id
	w.id++
	return c.ID, w.yield(c)
}

// turn yields the agent's next turn, after a compaction if the turn would exceed the limit.
func (w *worker) turn(turn int) bool {
	l := w.load
	c := l.call(w.agent, turn, 0)
	c.From, c.After = w.last, w.wait
	c.Add[0].Quote = w.wait
	if turn > 0 {
		c.Pause = l.Think.seconds(draw(l.Seeds.Think, "think", w.agent, turn-1))
	}
	asked := c.Add[0].tokens() + c.Answer
	if w.limit > 0 && w.length > 0 && w.length+asked > w.limit {
		summary, more := w.summarise(turn)
		if !more {
			return false
		}
		c.From, c.After = -1, []int{summary}
		c.Add[0].Quote = append([]int{summary}, w.wait...)
	}
	if c.From < 0 {
		w.length += l.SystemTokens
	}
	w.length += asked
	w.wait = nil
	var more bool
	w.last, more = w.call(c)
	return more
}

// summarise yields a call that asks for a summary of the conversation.
func (w *worker) summarise(turn int) (id int, more bool) {
	l := w.load
	place := []int{w.agent, turn}
	to := l.Compact.To.count(draw(l.Seeds.Length, "compact to", place...), 1)
	words := Words{Seed: Derive(l.Seeds.Text, "summary", place...), Tokens: summaryTokens}
	w.length = to
	return w.call(Call{From: w.last, After: w.wait, Turn: turn, Answer: to,
		Add: []Message{{Role: "user", Words: []Words{words}}}})
}

// delegate yields the calls of sub-agents after a turn, if it draws that there are some.
func (w *worker) delegate(turn int) bool {
	l := w.load
	if l.SubAgents.Share == 0 ||
		draw(l.Seeds.Length, "delegate", w.agent, turn).Float64() >= l.SubAgents.Share {
		return true
	}
	number := l.SubAgents.Number.count(draw(l.Seeds.Length, "sub-agents", w.agent, turn), 0)
	for range number {
		w.subs++
		n := l.SubAgents.Calls.count(draw(l.Seeds.Length, "sub-calls", w.agent, w.subs), 1)
		last := -1
		for k := range n {
			// Negative turns keep the draws of sub-agents apart from those of turns.
			c := l.call(w.agent, -w.subs, k)
			c.From, c.Sub, c.Turn, c.Aside = last, w.subs, turn, 0
			if k == 0 {
				c.After = []int{w.last}
			} else {
				c.Pause = l.Think.seconds(draw(l.Seeds.Think, "think", w.agent, -w.subs, k))
			}
			var more bool
			if last, more = w.call(c); !more {
				return false
			}
		}
		w.wait = append(w.wait, last)
	}
	return true
}

// tokens returns the number of tokens of a message's made-up words.
func (m *Message) tokens() int {
	n := 0
	for _, w := range m.Words {
		n += w.Tokens
	}
	return n
}

package load

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// turns are the calls of a session that is drawn from the seeds: the agent's turns, and those asked
// beside each other after a turn.
//
// Where caches do not begin cold, turn 0 fills them before the clock starts. It is then an ordinary
// question: nothing is done to it on purpose, nothing is asked beside it, and nobody thinks after
// it.
func (l *Load) turns(agent int) iter.Seq[Call] {
	return func(yield func(Call) bool) {
		n, filling := l.turnsOf(agent), 0
		if l.Cache == Hot || l.Cache == Restored {
			filling = 1
			n = max(n, n+1) // MaxInt stays
		}
		last, id := -1, 0
		var asides []int
		var pause time.Duration
		for turn := range n {
			c := l.call(agent, turn, 0)
			c.ID, c.From, c.After, c.Pause = id, last, asides, pause
			c.Add[0].Quote = asides
			fan := l.FanOut.count(draw(l.Seeds.Length, "fan-out", agent, turn), 0)
			pause = l.Think.seconds(draw(l.Seeds.Think, "think", agent, turn))
			if turn < filling {
				c.Cancel, c.Pieces, c.ReadRate, fan, pause = 0, 0, 0, 0, 0
			}
			if !yield(c) {
				return
			}
			last, asides = id, nil
			for k := range fan {
				a := l.call(agent, turn, k+1)
				a.ID, a.From = id+1+k, last
				asides = append(asides, a.ID)
				if !yield(a) {
					return
				}
			}
			id += 1 + fan
		}
	}
}

// call is what the seeds decide of one request. sub is 0 for the agent's own question and from 1
// for those asked beside each other after it.
func (l *Load) call(agent, turn, sub int) Call {
	place := []int{agent, turn, sub}
	lengths := draw(l.Seeds.Length, "turn", place...)
	asked := l.Prompt
	if turn > 0 || sub > 0 {
		if asked = l.FollowUp; asked == (Amount{}) {
			asked = Fixed(max(1, l.Prompt.A/8))
		}
	}
	m := Message{Role: "user"}
	tokens := asked.count(lengths, 1)
	if n := len(l.Prompts); n > 0 {
		m.Text = l.Prompts[draw(l.Seeds.Order, "prompt", place...).IntN(n)]
	} else {
		m.Words = []Words{{Seed: Derive(l.Seeds.Text, "question", place...), Tokens: tokens,
			Whole: turn == 0 && sub == 0 && l.System == 0 && l.SystemPrompts == nil}}
	}
	c := Call{Turn: turn, Aside: sub, Add: []Message{m}, Answer: l.Answer.count(lengths, 1)}
	if turn == 0 && sub == 0 {
		c.Answer = l.reserved(agent, c.Answer)
	}
	l.interfere(&c, draw(l.Seeds.Cancel, "fate", place...))
	return c
}

// interfere decides what is done to a request on purpose.
func (l *Load) interfere(c *Call, rng *rand.Rand) {
	cancelled, slow := rng.Float64() < l.Cancel.Share, rng.Float64() < l.Slow.Share
	if cancelled {
		c.Cancel = l.Cancel.After.seconds(rng)
		if c.Cancel == 0 {
			c.Pieces = l.Cancel.Pieces.count(rng, 1)
		}
	}
	if slow {
		c.ReadRate = l.Slow.Rate
	}
}

// turnsOf is how many turns an agent has.
func (l *Load) turnsOf(agent int) int {
	switch l.Turns {
	case Endless:
		return math.MaxInt
	case Amount{}:
		return 1
	}
	return l.Turns.count(draw(l.Seeds.Length, "turns", agent), 1)
}

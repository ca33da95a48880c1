// Package load is workloads as data: who comes when, asks what, pauses and is taken back. It has no clock and no connection;
// all that is random in it comes from named seeds, so a load is the same load whatever a server does.
package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"
)

// A Load is a workload as data: which agents there are, when they come, what they ask and how they read the answers. All
// of it is decided by the seeds before anything is sent; only what is said in the answers, and how long they take, is the
// server's.
//
// An arrival is an agent, who asks its turns one after the other, each with the whole conversation so far in it. So with
// one turn each, an arrival is a request.
type Load struct {
	Name, About string
	Seeds       Seeds

	// When agents arrive: one of the four.
	Concurrency int            // closed loop: so many agents at a time; where one has ended the next begins
	Rate        Profile        // open loop: agents a second, however many are still busy
	Burst       Burst          // open loop: many at once, and again
	Trace       []TraceRequest // open loop: as recorded, one request each

	Gaps    float64       // of Rate: shape of the gamma distribution of the gaps; 1 is Poisson, 0 evenly spaced
	RampUp  time.Duration // of Concurrency: the time over which the first agents begin, one after the other
	Speed   float64       // of Trace: how many times faster than recorded; 0 is 1
	Lengths float64       // of Trace: what its token counts are multiplied with; 0 is 1

	// When it ends: whichever comes first. A 0 is no limit, and one of them there must be, but for a trace, which ends itself.
	Requests int           // sent in all
	Duration time.Duration // no request is due later; those on their way are waited for

	// What an agent asks.
	Turns    Amount // of one agent; the zero Amount is one turn, and Endless as many as the load lasts
	Think    Amount // seconds from an answer's end to the next turn
	Prompt   Amount // tokens of an agent's first question, roughly
	FollowUp Amount // and of each later one; the zero Amount is an eighth of Prompt's mean
	Answer   Amount // most tokens of an answer
	FanOut   Amount // questions asked in parallel after each answer, whose answers the next turn begins with

	System        int               // how many system prompts the agents share, each agent one of them; 0 none
	SystemTokens  int               // of each of them, roughly
	SystemPrompts []string          // written ones, in place of System and SystemTokens
	Prompts       []string          // written questions, in place of Prompt and FollowUp: each turn has one of them
	Tools         []json.RawMessage // sent with every request

	// What is done to requests on purpose.
	Cancel Cancel
	Slow   Slow

	Timeout time.Duration // of one request; 0 is the client's
	Goodput Objective     // what an answer must hold to be good; the zero Objective: none is judged

	// State of the caches and of the server when the clock starts.
	Cache  Cache
	WarmUp WarmUp
}

// Endless is the Turns of agents that talk as long as the load lasts.
var Endless = Fixed(math.Inf(1))

// Cancel takes some requests back. One that ends before it is taken back counts as any other.
type Cancel struct {
	Share  float64 // of the requests
	After  Amount  // seconds after it was sent; or
	Pieces Amount  // pieces of the answer that have come
}

// Slow reads some answers at a bounded rate, so that the server finds out what it does with a client that does not keep up.
type Slow struct {
	Share float64
	Rate  int // bytes a second
}

// WarmUp is how much of a run's beginning is measured but left out of its results.
type WarmUp struct {
	Auto     bool          // until the run is steady
	Requests int           // or so many requests, in the order in which they were due
	Duration time.Duration // or those due so early
}

// A Turn is what a load has decided of one request before anything is sent: a function of the seeds and its place.
type Turn struct {
	Tokens  int           // of the new question, roughly; 0 where it is written
	Text    string        // of a written question
	Answer  int           // most tokens of the answer
	Think   time.Duration // from the answer's end to the agent's next turn
	FanOut  int           // questions asked in parallel after the answer
	Cancel  time.Duration // after which it is taken back; 0 it is not
	Pieces  int           // pieces of the answer after which it is taken back; 0 it is not
	Reading int           // bytes a second at which the answer is read; 0 as fast as it comes
}

// Turn is what an agent's turn will be. sub is 0 for the agent's own question and from 1 for those asked in parallel after it.
func (l *Load) Turn(agent, turn, sub int) Turn {
	place := []int{agent, turn, sub}
	lengths := draw(l.Seeds.Length, "turn", place...)
	asked := l.Prompt
	if turn > 0 || sub > 0 {
		if asked = l.FollowUp; asked == (Amount{}) {
			asked = Fixed(max(1, l.Prompt.A/8))
		}
	}
	t := Turn{Tokens: asked.count(lengths, 1), Answer: l.Answer.count(lengths, 1)}
	if sub == 0 {
		t.FanOut = l.FanOut.count(lengths, 0)
		t.Think = l.Think.seconds(draw(l.Seeds.Think, "think", place...))
	}
	if n := len(l.Prompts); n > 0 {
		t.Text, t.Tokens = l.Prompts[draw(l.Seeds.Order, "prompt", place...).IntN(n)], 0
	}
	if l.Trace != nil {
		t.Tokens, t.Answer = l.scaled(l.Trace[agent].Input), l.scaled(l.Trace[agent].Output)
	}
	fate := draw(l.Seeds.Cancel, "fate", place...)
	cancelled, slow := fate.Float64() < l.Cancel.Share, fate.Float64() < l.Slow.Share
	if cancelled {
		t.Cancel = l.Cancel.After.seconds(fate)
		if t.Cancel == 0 {
			t.Pieces = l.Cancel.Pieces.count(fate, 1)
		}
	}
	if slow {
		t.Reading = l.Slow.Rate
	}
	return t
}

// TurnsOf is how many turns an agent has.
func (l *Load) TurnsOf(agent int) int {
	switch l.Turns {
	case Endless:
		return math.MaxInt
	case Amount{}:
		return 1
	}
	return l.Turns.count(draw(l.Seeds.Length, "turns", agent), 1)
}

// SystemOf is which system prompt an agent has, or -1.
func (l *Load) SystemOf(agent int) int {
	n := l.System
	if l.SystemPrompts != nil {
		n = len(l.SystemPrompts)
	}
	if n == 0 {
		return -1
	}
	return draw(l.Seeds.Order, "system", agent).IntN(n)
}

// Arrivals is when the agents of an open loop arrive, all of them, one after the other. None is kept, so a load takes no more
// memory the longer it is. A closed loop, in which that depends on the server, has none.
func (l *Load) Arrivals() iter.Seq[time.Duration] {
	most := l.Requests
	if most == 0 {
		most = math.MaxInt
	}
	switch {
	case l.Trace != nil:
		return l.traced(most)
	case l.Rate != nil && l.Gaps > 0:
		return Gamma(l.Rate, l.Gaps, l.Seeds.Schedule, most, l.Duration)
	case l.Rate != nil:
		return l.paced(l.Rate, most)
	case l.Burst.Size > 0:
		return l.paced(l.Burst, most)
	}
	return func(func(time.Duration) bool) {}
}

func (l *Load) paced(p Pacer, most int) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for i := range most {
			t := p.Due(i)
			if t == neverDue || l.Duration > 0 && t >= l.Duration || !yield(t) {
				return
			}
		}
	}
}

// Agents is how many agents the load can come to at most; false where that cannot be told beforehand.
func (l *Load) Agents() (int, bool) {
	switch {
	case l.Concurrency == 0:
		n := 0
		for range l.Arrivals() {
			n++
		}
		return n, true
	case l.Turns == Endless:
		return l.Concurrency, true
	case l.Requests > 0:
		least := 1
		if l.Turns.Kind == "" {
			least = max(1, int(l.Turns.A))
		}
		return min(l.Requests, l.Concurrency+l.Requests/least), true
	}
	return 0, false
}

// At is the load at a level.
func (l Load) At(level Level) Load {
	switch level.Kind {
	case "rate":
		l.Rate = Constant(level.Value)
	case "concurrency":
		l.Concurrency = int(level.Value)
	}
	return l
}

// Shape says in words when requests are due.
func (l *Load) Shape() string {
	switch {
	case l.Concurrency > 0:
		return fmt.Sprintf("closed loop, %d at a time", l.Concurrency)
	case l.Burst.Size > 0:
		return fmt.Sprintf("bursts of %d every %v", l.Burst.Size, l.Burst.Every)
	case l.Trace != nil:
		return fmt.Sprintf("a trace of %d requests at %g times its speed", len(l.Trace), max(l.Speed, 1e-9))
	}
	gaps := "evenly spaced"
	switch l.Gaps {
	case 0:
	case 1:
		gaps = "Poisson"
	default:
		gaps = fmt.Sprintf("gamma (shape %g)", l.Gaps)
	}
	return gaps + ", " + l.Rate.String()
}

// String is the rate in words.
func (p Profile) String() string {
	if len(p) == 1 && p[0].Over == 0 {
		return fmt.Sprintf("%g/s", p[0].To)
	}
	if len(p) == 1 {
		return fmt.Sprintf("%g/s to %g/s over %v", p[0].From, p[0].To, p[0].Over)
	}
	s := "steps"
	for _, part := range p {
		s += fmt.Sprintf(" %g/s", part.To)
	}
	return fmt.Sprintf("%s each %v", s, p[0].Over)
}

// Package load describes workloads as data: when agents arrive (arrivals) and what each of them
// does (its session). It has no clock and no connection; everything random in it comes from named
// seeds, so a load is the same load whatever a server does.
//
// # Recorded sessions
//
// A [Session] is a graph of [Call]s, drawn from seeds or recorded. Call.Add has the messages that a
// recorded call adds to a conversation, each [Message] with its fields and, in Raw, its bytes.
// Tools and Fields have the rest of the request's body; Recorded has the recorded result: texts,
// tokens and times. The prompt of a call is the prompt of the call From (or its first messages, if
// Keep is set), that call's answer, and Add. A message of Add that is this answer, as the agent
// sent it back, is marked Reply; if there is none and Keep is 0, the answer is put before Add.
// Pause is the time that tools or a person take before the call. Calls that do not wait for each
// other run concurrently.
//
// A recorder makes each request that has ended a Call and gives it to [Recording.Write];
// [ReadRecording] reads the file. [Replay] configures the replay: recorded answers or the server's
// own, and the rule for calls that exceed the server's context. The harness sends a call as a
// client.Prompt with the same Raw, Tools and Fields; record.Call keeps the facts of the call in a
// record.
package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// A Load is arrivals times sessions: Arrivals says when agents come, Session what the i-th of them
// does. Both are pure functions of the seeds and are decided before anything is sent; only what the
// answers say, and how long they take, is the server's.
//
// An agent's session is a series of turns, each with the whole conversation so far in it, unless
// Sessions or Trace say otherwise. With one turn each, an arrival is a request.
//
// The shapes that a stress test wants are one line each:
//
//	Load{Together: 100}                                             100 agents at one moment
//	Load{Burst: Burst{Size: 10}, Turns: Fixed(50)}                  10 agents ask 50 questions each
//	Load{Rate: Constant(4), Duration: time.Minute}                  sustained, 4 a second
//	Load{Burst: Burst{Size: 20, Every: time.Second}, Requests: 200} bursts
//	Load{Rate: Ramp(1, 20, 30*time.Second), Requests: 300}          a rate that rises
//
// What is left out gets the values of Filled.
type Load struct {
	Name, About string
	Seeds       Seeds

	// When agents arrive: one of the six.
	// closed loop: so many agents at a time; where one has ended the next begins
	Concurrency int
	// closed loop in rounds: so many agents have their next turn at one moment
	Together int
	Rate     Profile        // open loop: agents a second, however many are still busy
	Burst    Burst          // open loop: many at once, and again
	Trace    []TraceRequest // open loop: as recorded, one request each
	// open loop: Sessions come as they were recorded, each once
	AsRecorded bool

	Rounds int           // of Together: how often; 0 is once, unless Requests or Duration end it
	Gaps   float64       // of Rate: shape of the gaps' gamma distribution; 1 is Poisson, 0 even
	RampUp time.Duration // of Concurrency: the time over which the first agents begin, one by one
	// of Trace and Sessions
	Speed   float64 // how many times faster than recorded; 0 is 1
	Lengths float64 // what token counts are multiplied with; 0 is 1. Texts are only ever cut.

	// When it ends: whichever comes first. 0 is no limit. A load of Concurrency, Rate or repeated
	// bursts needs one of them.
	Requests int           // sent in all
	Jobs     int           // agents in all, each of whom works to the end of its session
	Duration time.Duration // no request is due later; those on their way are waited for

	// What an agent does: turns drawn from the seeds, or
	Turns    Amount // of one agent; the zero Amount is one turn, Endless as many as the load lasts
	Think    Amount // seconds from an answer's end to the next turn
	Prompt   Amount // tokens of an agent's first question, roughly
	FollowUp Amount // and of each later one; the zero Amount is an eighth of Prompt's mean
	Answer   Amount // max tokens of an answer
	// questions asked in parallel after each answer; the next turn quotes their answers
	FanOut Amount

	// What becomes of an agent's conversation, and who works beside it; see agents.go.
	Compact   Compaction
	SubAgents SubAgents

	// sessions that were recorded or written; agent i has Sessions[i % len]. Without Requests,
	// Rounds and Duration each is replayed once.
	Sessions []Session
	Replay   Replay // how recorded ones are replayed

	System        int               // how many system prompts the agents share, one each; 0 none
	SystemTokens  int               // of each of them, roughly; or
	SystemPart    Amount            // a part of the context
	SystemPrompts []string          // written ones, in place of System and SystemTokens
	Prompts       []string          // written questions, in place of Prompt and FollowUp
	Tools         []json.RawMessage // sent with every request
	Schema        json.RawMessage   // JSON schema that every answer is to hold to; nil: any text
	Stop          []string          // strings that end an answer

	// Reserve is the share of the server's KV pool, 0 to 1, that the requests of one round of
	// Together reserve with prompt and answer: their answers may be as long as that takes, though
	// Stop may end them sooner. 0 leaves Answer as it is.
	Reserve float64

	// What is done to requests on purpose.
	Cancel Cancel
	Slow   Slow

	Timeout time.Duration // of one request; 0 is the client's
	Goodput Objective     // what an answer must hold to be good; the zero Objective: none is judged

	// State of the caches and of the server when the clock starts.
	Cache  Cache
	WarmUp WarmUp

	Pool Pool // of the server under test; On sets it
}

// Endless is the Turns of agents that talk as long as the load lasts.
var Endless = Fixed(math.Inf(1))

// Cancel cancels some requests. One that ends before counts like any other.
type Cancel struct {
	Share  float64 // of the requests
	After  Amount  // seconds after it was sent; or
	Pieces Amount  // pieces of the answer that have come
}

// Slow reads some answers at a bounded rate, as a client does that does not keep up.
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

// Filled is the load with a value for everything that was left out: the name load, seed 1, first
// questions of 64 tokens, answers of 16, cold caches.
func (l Load) Filled() Load {
	l.Name = cmp.Or(l.Name, "load")
	l.Seeds = cmp.Or(l.Seeds, OneSeed(1))
	l.Prompt = cmp.Or(l.Prompt, Fixed(64))
	l.Answer = cmp.Or(l.Answer, Fixed(16))
	l.Cache = cmp.Or(l.Cache, Cold)
	if l.once() && l.Requests == 0 && l.Duration == 0 && l.Turns == (Amount{}) &&
		l.FanOut == (Amount{}) && l.Sessions == nil {
		l.Requests = l.Burst.Size
	}
	if l.Together > 0 && l.Rounds == 0 && l.Requests == 0 && l.Duration == 0 && l.Sessions == nil {
		l.Rounds = 1
	}
	return l
}

// once reports whether the agents of a burst arrive a single time.
func (l *Load) once() bool { return l.Burst.Size > 0 && l.Burst.Every == 0 }

// Check says why a load cannot be carried out, nil where it can.
func (l *Load) Check() error {
	arrivals := 0
	for _, given := range []bool{l.Concurrency > 0, l.Together > 0, l.Rate != nil, l.Burst.Size > 0,
		l.Trace != nil, l.AsRecorded} {
		if given {
			arrivals++
		}
	}
	switch _, bounded := l.Agents(); {
	case arrivals != 1:
		return fmt.Errorf("load %s: want one of concurrency, together, rate, burst and trace, not %d",
			l.Name, arrivals)
	case l.AsRecorded && l.Sessions == nil:
		return fmt.Errorf("load %s: there are no sessions that could come as recorded", l.Name)
	case l.Trace == nil && l.Sessions == nil && l.Requests == 0 && l.Jobs == 0 && l.Duration == 0 &&
		l.Rounds == 0 && !l.once():
		return fmt.Errorf("load %s has no end: want a number of requests or a duration", l.Name)
	case l.works() && l.Turns == Endless:
		return fmt.Errorf("load %s: agents that work with sub-agents, or compact what was said, have "+
			"a number of turns, not endless ones", l.Name)
	case l.works() && l.Cache != Cold:
		return fmt.Errorf("load %s: agents that work with sub-agents, or compact what was said, "+
			"begin with cold caches, not %s", l.Name, l.Cache)
	case l.Cache != Cold && l.Trace != nil:
		return fmt.Errorf("load %s: a trace says itself what its prompts share, so its cache is cold, "+
			"not %s", l.Name, l.Cache)
	case l.Cache != Cold && l.Sessions != nil:
		return fmt.Errorf("load %s: a recorded session begins with its first call, so its cache is "+
			"cold, not %s", l.Name, l.Cache)
	case l.Cache != Cold && !bounded:
		return fmt.Errorf("load %s: to begin with %s caches it must be known which agents will come: "+
			"want a number of requests, or endless turns", l.Name, l.Cache)
	case l.Reserve > 0 && l.Together == 0:
		return fmt.Errorf("load %s: only agents that ask together reserve a share of the pool", l.Name)
	}
	return nil
}

// eachOnce reports whether each session is replayed once, and the load then ends.
func (l *Load) eachOnce() bool {
	return l.Sessions != nil && l.Requests == 0 && l.Jobs == 0 && l.Duration == 0 && l.Rounds == 0
}

// MaxAgents bounds how many agents begin: Jobs of them, or, of sessions that are replayed once, as
// many as there are.
func (l *Load) MaxAgents() int {
	switch {
	case l.Jobs > 0:
		return l.Jobs
	case l.eachOnce():
		return len(l.Sessions)
	}
	return math.MaxInt
}

// Agents is how many agents the load can come to at most; false where that cannot be told
// beforehand.
func (l *Load) Agents() (int, bool) {
	switch n := max(l.Concurrency, l.Together); {
	case n == 0:
		for range l.Arrivals() {
			n++
		}
		return n, true
	case l.Turns == Endless:
		return n, true
	case l.eachOnce():
		return len(l.Sessions), true
	case l.Jobs > 0:
		return l.Jobs, true
	case l.Sessions != nil:
		return 0, false
	case l.Requests > 0:
		return min(l.Requests, n+l.Requests/l.minTurns()), true
	case l.Rounds > 0:
		return n * ((l.Rounds + l.minTurns() - 1) / l.minTurns()), true
	}
	return 0, false
}

// minTurns is how many turns an agent has at least.
func (l *Load) minTurns() int {
	if l.Turns.Kind == "" {
		return max(1, int(l.Turns.A))
	}
	return 1
}

// Expected is how many requests the load will send, roughly; 0 unknown.
func (l *Load) Expected() int {
	if l.eachOnce() {
		n := 0
		for i := range l.Sessions {
			n += l.Sessions[i].Count
		}
		return n
	}
	known := l.Turns.Kind == "" && l.FanOut == (Amount{}) && l.Turns != Endless && l.Sessions == nil &&
		!l.works()
	switch {
	case l.Requests > 0:
		return l.Requests
	case l.Jobs > 0 && known:
		return l.Jobs * l.minTurns()
	case l.Jobs > 0 && l.works() && l.Duration == 0: // no clock is asked, so they can be counted
		n := 0
		for agent := range l.Jobs {
			for range l.work(agent) {
				n++
			}
		}
		return n
	case l.Rounds > 0 && l.FanOut == (Amount{}) && l.Sessions == nil:
		return l.Rounds * l.Together
	case l.Concurrency+l.Together == 0 && (known || l.Trace != nil):
		agents, _ := l.Agents()
		return agents * l.minTurns()
	}
	return 0
}

// AtOnce is how many requests the load surely has in flight at one moment, where a server takes its
// time; 0 where that depends on the server alone, as at a rate.
func (l *Load) AtOnce() int {
	n := max(l.Concurrency, l.Together, l.Burst.Size)
	if l.FanOut.Kind == "" {
		n *= max(1, int(l.FanOut.A))
	}
	// Where nobody stays for long, requests at one moment of a trace.
	at, same := time.Duration(-1), 0
	for _, r := range l.Trace {
		if r.At != at {
			at, same = r.At, 0
		}
		same++
		n = max(n, same)
	}
	if l.Requests > 0 {
		n = min(n, l.Requests)
	}
	return n
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
	case l.Together > 0:
		return fmt.Sprintf("closed, %d repetitions a run", max(l.Rounds, 1))
	case l.once():
		return fmt.Sprintf("a burst of %d", l.Burst.Size)
	case l.Burst.Size > 0:
		return fmt.Sprintf("bursts of %d every %v", l.Burst.Size, l.Burst.Every)
	case l.AsRecorded:
		return fmt.Sprintf("%d sessions as recorded, at %g times their speed", len(l.Sessions),
			cmp.Or(l.Speed, 1))
	case l.Trace != nil:
		return fmt.Sprintf("a trace of %d requests at %g times its speed", len(l.Trace),
			cmp.Or(l.Speed, 1))
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

package harness

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// AskedAgain is how many of a run's questions are enough to be asked again after it: few beside the
// run's own, and in ten runs a server that mixes up one answer in ten is found out 98 times of 100.
const AskedAgain = 4

// againFor is how long that may take.
const againFor = 30 * time.Second

// A window is a few requests of a run that were answered right after each other, drawn from all
// that were (Vitter's reservoir, of windows). They stand together because answers that are mixed up
// are those of requests that met. It keeps no other.
type window struct {
	size int

	mu         sync.Mutex
	rng        *rand.Rand
	full       int // windows so far
	now, drawn []exchange
}

// An exchange is a prompt and what came of it.
type exchange struct {
	prompt client.Prompt
	answer record.Record
}

// newWindow draws one of so many requests. Of none it is nil, which takes nothing.
func newWindow(size int, seed uint64) *window {
	if size <= 0 {
		return nil
	}
	return &window{size: size, rng: rand.New(rand.NewPCG(seed, 0x616761696e))}
}

// add takes a request that was answered. Its prompt is read later, and stays as it is: what a
// conversation takes back are questions without an answer.
func (w *window) add(p client.Prompt, r record.Record) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = append(w.now, exchange{p, r})
	if len(w.now) < w.size {
		return
	}
	if w.full++; w.rng.IntN(w.full) == 0 {
		w.drawn = w.now
	}
	w.now = nil
}

// exchanges are those that were drawn, or the few there are.
func (w *window) exchanges() []exchange {
	if w.drawn != nil {
		return w.drawn
	}
	return w.now
}

// compareAgain asks some of a run's questions again, by this process or by one of the crew's, and
// gives the run what came of it.
func (m *measurement) compareAgain(ctx context.Context, r *measuredRun) error {
	var records []record.Record
	var found []record.Violation
	var err error
	switch w := r.execution.window; {
	case m.plan.Crew != nil:
		records, found, r.Again, err = m.plan.Crew.Again(ctx)
	case w == nil:
		return nil
	default:
		records, found, r.Again, err = m.askAgain(ctx, w)
	}
	r.execution.records.check.Add(records)
	r.Warmup = append(r.Warmup, records...)
	r.Violations = append(r.Violations, found...)
	return err
}

// askAgain asks a window's questions once more, now that nothing else runs, and holds the answers
// under load to those given alone. It says what came of it, and returns the records, which are not
// of the load.
//
// The load's prompts are new by design, or they would find each other in the cache; so none is
// answered twice in it, and that a server gives one agent another's answer would show nowhere. An
// answer that differs is wrong where the server's own log-probabilities say that its choice was
// clear. Where they say that it was not, a batch has rounded otherwise, which is no error. Where it
// gives none, an answer is wrong that is another agent's as well; any other is counted and left
// open.
func (s *server) askAgain(ctx context.Context, w *window) (records []record.Record,
	found []record.Violation, said record.Again, err error) {
	timed, cancel := context.WithTimeout(ctx, againFor)
	defer cancel()
	before := serverState(ctx, s.client)
	var asked []exchange
	var alone []record.Record
	for _, x := range w.exchanges() {
		p := x.prompt
		p.CancelAfter, p.CancelPieces, p.ReadRate = 0, 0, 0
		p.Cache, p.Warmup, p.NoTrace = load.Hot, true, true
		r := s.client.Ask(timed, s.client.Since(), p)
		r.Intent = record.IntentAgain
		records = append(records, r)
		if r.Ended() { // an answer that is empty alone was not so under load
			asked, alone = append(asked, x), append(alone, r)
		}
		if timed.Err() != nil {
			break
		}
	}
	said.Compared, said.Alike = len(asked), record.Alike(alone)
	for i, x := range asked {
		d, differs := x.answer.Difference(&alone[i])
		if !differs {
			continue
		}
		said.Differ++
		v := record.Violation{Check: record.CheckIdentity, Agent: x.answer.Agent,
			Turn: x.answer.Turn, At: d.At(),
			About: fmt.Sprintf("alone afterwards the %s is another from byte %d of %d on%s",
				d.Part, d.From, d.Of, d.Slip)}
		gap, another := s.client.Tie(timed, x.prompt, alone[i].Answer, d.At()), mixedUp(i, asked, alone)
		switch {
		case gap < client.NearTie:
			said.Rounded++
			continue
		case !math.IsInf(gap, 1):
			v.About += fmt.Sprintf(", where the choice was clear by %.2f nats", gap)
		case another != "":
			v.About = another
		default:
			said.Open++
			continue
		}
		found = append(found, v)
	}
	if err := s.drained(ctx, before); err != nil { // where one took too long
		return records, found, said, err
	}
	return records, found, said, ctx.Err()
}

// mixedUp says of an answer that it is another agent's, "" where nothing shows that. Answers show
// it where those given alone tell all agents apart.
func mixedUp(i int, asked []exchange, alone []record.Record) string {
	own := func(r *record.Record) string { return r.Answer + "\x00" + r.Thought + "\x00" + r.Calls }
	var texts []string
	for i := range alone {
		texts = append(texts, own(&alone[i]))
	}
	answer := own(&asked[i].answer)
	apart := slices.Compact(slices.Sorted(slices.Values(texts)))
	if len(answer)-len(own(&record.Record{})) < record.Telling || len(apart) < len(alone) {
		return ""
	}
	for j, other := range asked {
		switch {
		case texts[j] == answer:
			return "the answer is the one that agent " + other.answer.Agent + " gets alone"
		case i != j && own(&other.answer) == answer:
			return "agent " + other.answer.Agent + " was given the very same answer, and alone each " +
				"gets another"
		}
	}
	return ""
}

package harness

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// asked is what the run's requests can be made again from; nil where they are not drawn from seeds
// alone. text is the seed of the words of all runs.
func (m *measurement) asked(x *execution, text uint64) *record.Asked {
	l := x.load
	if l.Seeds.Text = text; !l.IsDrawn() {
		return nil
	}
	drawn, err := l.Drawn()
	if err != nil { // of a number that JSON does not have: then nothing can be made again
		return nil
	}
	asked := &record.Asked{Form: record.AskedForm, Load: drawn,
		TemplateTokens: x.server.size.constant, WordTokens: x.server.size.perWord}
	switch {
	case m.plan.Crew != nil:
		asked.Parts = m.plan.Crew.Size()
	case m.plan.Share.Of > 0:
		asked.Part, asked.Parts = m.plan.Share.Part+1, m.plan.Share.Of
	}
	return asked
}

// A Deviation is a request that is not as its load's seeds have it.
type Deviation struct {
	Record int // index among the records; -1: the request has none
	About  string
}

// A FormError says that requests were made by rules that this version does not have.
type FormError struct{ Form string }

func (e *FormError) Error() string {
	return fmt.Sprintf("its requests were made by the rules %q, and this version knows those of %q",
		e.Form, record.AskedForm)
}

// A Derivation makes the requests of one run again from the load's seeds, and holds records to
// them.
type Derivation struct {
	Scenario string
	Level    load.Level
	Run      int
	Complete bool // the run came to its end, so that no request is missing

	x       *execution
	shares  []load.Share // of the load, that the records are of
	records []record.Record
	found   []Deviation
	derived int
	begun   map[int]time.Duration // when each agent's first request of the load was due
}

// Derive makes the requests of a run again from the load's seeds and returns how many there are,
// and where the records deviate from them: which agents ask, in which order, what each request asks
// (by its digest), how long the answer may be, and, where an answer and a pause decide it, when the
// request was due. records are all of the run, those of its warm-up included. Questions that were
// asked again must be those of the run.
func (d Derivation) Derive(a *record.Asked, records []record.Record) (n int, found []Deviation,
	err error) {
	if a.Form != record.AskedForm {
		return 0, nil, &FormError{a.Form}
	}
	l, err := load.ParseDrawn(a.Load)
	if err != nil {
		return 0, nil, fmt.Errorf("the load of %s cannot be read: %w", d.Scenario, err)
	}
	if err := l.Check(); err != nil {
		return 0, nil, err
	}
	if l.Name != d.Scenario {
		return 0, nil, fmt.Errorf("the load is of %s, not of %s", l.Name, d.Scenario)
	}
	if err := sane(&l, a); err != nil {
		return 0, nil, err
	}
	l.Seeds.Text = load.Derive(l.Seeds.Text, l.Name+" "+d.Level.String(), d.Run)
	s := &server{size: promptSize{a.TemplateTokens, a.WordTokens}}
	d.x, d.records = &execution{load: l, server: s, ready: map[int]*agent{}}, records
	d.begun = map[int]time.Duration{}
	d.x.place = record.Place{Scenario: d.Scenario, Level: d.Level, Run: d.Run}
	d.shares = sharesOf(a)
	d.all()
	return d.derived, d.found, nil
}

// maxTokens bounds what a load that was read asks for, and maxCalls how many calls a session has:
// nothing that was measured comes near, and a file of somebody else's is not to take all memory.
const maxTokens, maxCalls = 4 << 20, 1 << 20

// sane refuses a load that was read and cannot have been measured.
func sane(l *load.Load, a *record.Asked) error {
	for name, amount := range map[string]load.Amount{"prompt": l.Prompt, "follow-up": l.FollowUp,
		"answer": l.Answer, "fan-out": l.FanOut, "compact": l.Compact.At, "summary": l.Compact.To,
		"sub-agents": l.SubAgents.Number, "calls of sub-agents": l.SubAgents.Calls, "think": l.Think,
		"turns": l.Turns, "cancel after": l.Cancel.After, "cancel pieces": l.Cancel.Pieces,
		"system": load.Fixed(float64(l.SystemTokens)), "systems": load.Fixed(float64(l.System))} {
		inRange := func(n float64) bool { return n >= 0 && n <= maxTokens } // no NaN is
		endless := name == "turns" && amount == load.Endless
		if !endless && !(inRange(amount.A) && inRange(amount.B) && inRange(amount.Max)) {
			return fmt.Errorf("load %s: %s is %v, which nobody measures", l.Name, name, amount)
		}
	}
	if !(a.WordTokens > 0.01 && a.WordTokens < 1000 && a.TemplateTokens >= 0) {
		return fmt.Errorf("load %s: a word has %g tokens, and the template %g", l.Name, a.WordTokens,
			a.TemplateTokens)
	}
	return nil
}

// session is what agent n does, with a bound on its calls.
func (d *Derivation) session(n int) load.Session {
	s := d.x.load.Session(n)
	calls := s.Calls
	s.Calls = func(yield func(load.Call) bool) {
		left := maxCalls
		for c := range calls {
			if left--; left < 0 || !yield(c) {
				return
			}
		}
	}
	return s
}

func (d *Derivation) deviates(i int, format string, args ...any) {
	d.found = append(d.found, Deviation{i, fmt.Sprintf(format, args...)})
}

// agents are the records of each agent by its index, in the order in which they were due, and those
// of questions asked again.
func (d *Derivation) agents() (own map[int][]int, again []int, epoch string) {
	own = map[int][]int{}
	epochs := map[string]bool{}
	for i := range d.records {
		r := &d.records[i]
		n, ok := agentOf(d.x.load.Name, r)
		if !ok {
			d.deviates(i, "no agent of the load is called %q", r.Agent)
			continue
		}
		_, of, _ := strings.Cut(strings.TrimPrefix(r.Job(), d.x.load.Name+"-"), "-")
		if epoch = of; r.Intent == record.IntentAgain {
			again = append(again, i)
			continue
		}
		epochs[of] = true
		own[n] = append(own[n], i)
	}
	if len(epochs) > 1 {
		d.deviates(-1, "its agents have %d different endings of their names, and those of one run "+
			"have one", len(epochs))
	}
	return own, again, epoch
}

// all derives the requests of all agents.
func (d *Derivation) all() {
	own, again, epoch := d.agents()
	agents := d.first(own)
	if len(agents) < len(own) {
		return
	}
	digests := map[string][]record.Digest{} // of what an agent asked in a turn, without interference
	measured := 0
	for _, n := range agents {
		slices.SortStableFunc(own[n], func(i, j int) int {
			return cmp.Compare(d.records[i].Due, d.records[j].Due)
		})
		measured += d.agent(n, epoch, own[n], digests)
	}
	for _, i := range again {
		r := &d.records[i]
		if !slices.Contains(digests[placeKey(&r.Place)], r.AskedDigest) {
			d.deviates(i, "what was asked again is not what agent %s asked in turn %d", r.Agent, r.Turn)
			continue
		}
		d.derived++
	}
	d.amounts(len(own), measured)
	d.arrivals()
}

// maxUntold bounds how many agents in a row a run that ended early may have no request of: they
// were under way, or a worker that was lost had not told of them.
const maxUntold = 10_000

// first are the agents of each share that have a request, in order: of a run that came to its end
// all from the first to the last.
func (d *Derivation) first(own map[int][]int) (agents []int) {
	untold := maxUntold
	if d.Complete {
		untold = 0
	}
	for _, s := range d.shares {
		for k, gap := 0, 0; gap <= untold; k++ {
			n := s.Agent(&d.x.load, k)
			if n == math.MaxInt {
				break
			}
			if own[n] == nil {
				gap++
				continue
			}
			gap = 0
			agents = append(agents, n)
		}
	}
	if others := len(own) - len(agents); others > 0 {
		d.deviates(-1, "of %d agents with a request, %d come after agents without, or are of "+
			"another part of the load", len(own), others)
	}
	slices.Sort(agents)
	return agents
}

// arrivals holds the agents of an open loop to when the seeds have them arrive. The load's start is
// not recorded: it is the first agent's.
func (d *Derivation) arrivals() {
	var start time.Duration
	n, last, known := 0, -1, false
	for agent := range d.begun {
		last = max(last, agent)
	}
	for at := range d.x.load.Arrivals() {
		begun, ok := d.begun[n]
		switch {
		case n > last:
			return
		case !ok: // of another part, or of one that ended before
		case !known:
			start, known = begun-at, true
		case begun-at != start:
			d.deviates(-1, "agent %d arrived %v after the load's start, and the seeds have %v", n,
				begun-start, at)
			return
		}
		n++
	}
}

func placeKey(p *record.Place) string { return p.Agent + " " + strconv.Itoa(p.Turn) }

// agent derives the requests of one agent and returns how many of the load's own it sent.
func (d *Derivation) agent(n int, epoch string, own []int, digests map[string][]record.Digest) (
	sent int) {
	l := &d.x.load
	begin := func() *agent {
		return newAgent(fmt.Sprintf("%s-%d-%s", l.Name, n, epoch), d.session(n))
	}
	a := begin()
	defer func() { a.close() }()
	left := map[string][]int{} // records by name and turn, in the order in which they were due
	for _, i := range own {
		key := placeKey(&d.records[i].Place)
		left[key] = append(left[key], i)
	}
	for more := true; more; {
		calls := a.ready()
		requests := make([]request, len(calls))
		for k, c := range calls { // before any of them ends, as when they were sent
			requests[k].call = c
			d.x.prompt(a, &requests[k])
		}
		more = false
		for _, q := range requests {
			key := placeKey(&q.prompt.Place)
			if len(left[key]) == 0 {
				continue // the load had ended
			}
			i := left[key][0]
			left[key] = left[key][1:]
			more = true
			r := d.records[i]
			d.compare(a, i, &q, digests)
			switch {
			case !filling(l, &r, q.call):
				if _, ok := d.begun[n]; !ok {
					d.begun[n] = r.Due - q.call.Pause
				}
				sent++
			case r.Outcome != record.OK: // it had another try, from the beginning
				a.close()
				a = begin()
				continue
			}
			a.end(q, r)
		}
	}
	for _, i := range own {
		if key := placeKey(&d.records[i].Place); slices.Contains(left[key], i) {
			d.deviates(i, "the seeds have no turn %d of agent %s, or not after what came before it",
				d.records[i].Turn, d.records[i].Agent)
		}
	}
	return sent
}

// filling reports whether a request fills its agent's cache, before the load.
func filling(l *load.Load, r *record.Record, c load.Call) bool {
	return r.Warmup && c.ID == 0 && l.Cache != load.Cold
}

// compare holds a record to the request that the seeds have in its place.
func (d *Derivation) compare(a *agent, i int, q *request, digests map[string][]record.Digest) {
	r := &d.records[i]
	p := &q.prompt
	d.derived++
	alone := *p
	alone.CancelAfter, alone.CancelPieces, alone.ReadRate = 0, 0, 0
	key := placeKey(&r.Place)
	digests[key] = append(digests[key], alone.Digest())
	switch {
	case r.AskedDigest == "":
		d.deviates(i, "there is no digest of what agent %s asked in turn %d", r.Agent, r.Turn)
	case r.AskedDigest != p.Digest():
		d.deviates(i, "agent %s asked something else in turn %d than the seeds have", r.Agent, r.Turn)
	case r.MaxTokens != p.MaxTokens && r.MaxTokens != 0:
		d.deviates(i, "max_tokens of agent %s in turn %d is %d, and the seeds have %d", r.Agent, r.Turn,
			r.MaxTokens, p.MaxTokens)
	case r.Begins != (q.call.ID == 0) && !filling(&d.x.load, r, q.call):
		d.deviates(i, "begins is %t in turn %d of agent %s, which is call %d of its session", r.Begins,
			r.Turn, r.Agent, q.call.ID)
	case d.isDecided(q, r) && a.due(q.call, 0) != r.Due:
		d.deviates(i, "turn %d of agent %s was due at %v, and after the answer and the pause "+
			"before it at %v", r.Turn, r.Agent, r.Due, a.due(q.call, 0))
	}
}

// isDecided reports whether the answer before a request and a pause decide when it was due.
func (d *Derivation) isDecided(q *request, r *record.Record) bool {
	together := d.x.load.Together > 0 && q.call.Aside == 0
	return !together && (q.call.From >= 0 || len(q.call.After) > 0) &&
		!filling(&d.x.load, r, q.call) && !d.afterFilling(q)
}

// afterFilling reports whether a request goes on from one that filled its agent's cache.
func (d *Derivation) afterFilling(q *request) bool {
	return d.x.load.Cache != load.Cold && q.call.From == 0
}

// amounts holds how many agents and requests there were to what the load says, of a run that came
// to its end.
func (d *Derivation) amounts(agents, sent int) {
	l := &d.x.load
	if !d.Complete || l.Duration > 0 {
		return
	}
	want, of := 0, ""
	switch known := l.FanOut == (load.Amount{}); {
	case l.Requests > 0:
		for _, s := range d.shares {
			want += s.Requests(l)
		}
		of = "requests"
	case l.Rounds > 0 && known:
		want, of = l.Rounds*l.Together, "requests"
	}
	if of != "" && sent != want {
		d.deviates(-1, "the load is of %d %s, and there are %d", want, of, sent)
	}
	if jobs := d.jobs(); l.Jobs > 0 && agents != jobs {
		d.deviates(-1, "the load is of %d jobs, and there are %d", jobs, agents)
	}
}

// jobs is how many of the load's jobs are of the shares.
func (d *Derivation) jobs() (n int) {
	for i := range d.x.load.Jobs {
		if slices.ContainsFunc(d.shares, func(s load.Share) bool { return s.Has(&d.x.load, i) }) {
			n++
		}
	}
	return n
}

// WarmedUp checks the questions that warmed a server up, which are the same in every measurement.
// They belong to no load; from them the harness learns how many tokens a word has, and so how long
// prompts are. n is how many of the records are those questions.
func WarmedUp(records []record.Record) (n int, found []Deviation) {
	for i := range records {
		r := &records[i]
		for _, words := range warmUpWords {
			if !strings.HasPrefix(r.Agent, warmUpName(words)) {
				continue
			}
			p := warmUpOf(r.Agent, words)
			switch r.AskedDigest {
			case p.Digest():
				n++
			case "": // of an earlier version
			default:
				found = append(found, Deviation{i,
					"this question warmed the server up, and is not the one that always does"})
			}
		}
	}
	return n, found
}

func warmUpName(words int) string { return fmt.Sprintf("warm-up-%d-", words) }

// warmUpOf is the question of so many words that warms a server up.
func warmUpOf(agent string, words int) client.Prompt {
	return NewConversation(agent, load.Derive(sizing, "warm-up", words)).Ask(words, 4)
}

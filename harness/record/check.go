package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"loadstone/harness/table"
)

// A CheckName names one of the things that must hold for every request of a load.
type CheckName string

// The checks of Check, of Balance (CheckCount) and of CompareAnswers (CheckIdentity), and those
// that package audit adds.
const (
	CheckTimes    CheckName = "times"
	CheckTokens   CheckName = "tokens"
	CheckLeak     CheckName = "leak"
	CheckCache    CheckName = "cache"
	CheckSchema   CheckName = "schema"
	CheckCount    CheckName = "count"
	CheckIdentity CheckName = "identity"

	CheckAnswered CheckName = "answered" // a request ended neither answered nor cleanly refused
	CheckCounters CheckName = "counters" // the server's counters rose by less than its answers
	CheckRecovery CheckName = "recovery" // the server did not give back what it held
	CheckSolo     CheckName = "solo"     // an agent alone was served more slowly than before
	CheckRestart  CheckName = "restart"  // a request after a restart was not answered
)

// A Violation is something that must never happen in a load, whatever its latencies.
type Violation struct {
	Check CheckName
	Agent string // "" where it is not about one agent
	Turn  int
	About string // what was found, and what should have been

	// At is of CheckIdentity: the byte at which the answers begin to differ; -1 where they differ in
	// reasoning or tool calls alone.
	At int
}

// String is the violation in one line.
func (v Violation) String() string {
	if v.Agent == "" {
		return string(v.Check) + ": " + v.About
	}
	return fmt.Sprintf("%s: agent %s, turn %d: %s", v.Check, v.Agent, v.Turn, v.About)
}

// Check finds the violations among the records of one load, warm-up included. These must hold for
// each record:
//
//   - times: a later event has a later time, and every request has one of the known outcomes
//   - tokens: the server reports no more cached tokens than the prompt has, no more pieces of an
//     answer came than it has tokens, and none came twice; an answer with text has tokens, and one
//     of which nothing came has none
//   - leak: no response contains another agent's canary, wherever in it
//   - schema: an answer that was to hold to a JSON schema, and that no bound cut off, is JSON
//   - cache: a later turn of a conversation finds in the cache at most the conversation's own
//     longest prompt and answer, and the first turn at most the shared tokens that every prompt
//     begins with, such as the chat template's. A negative number of shared tokens is unknown, and
//     then first turns are not checked
func Check(records []Record, shared int) []Violation {
	c := Checker{Shared: shared}
	c.Add(records)
	return c.Found()
}

// A Checker does what Check does for records that come in batches. It keeps none of them, so its
// memory does not grow with their number: it forgets what a conversation left in the cache once the
// conversation has been silent for tens of thousands of requests.
type Checker struct {
	Shared int // tokens that every prompt begins with; negative: unknown

	batch  int
	cached map[string]cacheUse // by conversation
	owners map[string]string   // agents by their canaries, of the batch
	found  []suspicion
}

// A cacheUse is what a conversation left in the server's cache: the tokens of its longest prompt
// and answer, -1 unknown, and the batch with its last record.
type cacheUse struct{ tokens, batch int }

// A suspicion is a violation that a later record may explain: a cache hit may come from another
// request of the same conversation that was due at the same moment and has not ended yet.
type suspicion struct {
	Violation
	moment moment
	cached int
}

const (
	maxPerCheck      = 100     // violations of one check that are kept; nobody reads more
	maxConversations = 1 << 16 // above which silent ones are forgotten
	maxSilence       = 32      // batches for which a conversation may be silent
)

// Found lists the violations so far, at most a hundred of each check.
func (c *Checker) Found() []Violation {
	var found []Violation
	for _, s := range c.found {
		found = append(found, s.Violation)
	}
	return found
}

// Add takes the next records: in the order in which they ended, or all of a load in any order.
func (c *Checker) Add(records []Record) {
	c.batch++
	c.forget()
	c.owners = map[string]string{}
	byMoment := map[moment]siblings{}
	for i := range records {
		r := &records[i]
		c.owners[r.Canary] = r.Agent
		m := moment{conversation(r), r.Due}
		byMoment[m] = append(byMoment[m], r)
	}
	c.found = slices.DeleteFunc(c.found, func(s suspicion) bool {
		explained := byMoment[s.moment].maxCached(nil, s.cached-1) != s.cached-1
		return s.Check == CheckCache && explained
	})
	for _, r := range sortedByDue(records) {
		c.one(r, byMoment[moment{conversation(r), r.Due}])
	}
}

// forget drops the conversations that have been silent for long, where there are many.
func (c *Checker) forget() {
	if c.cached == nil {
		c.cached = map[string]cacheUse{}
	}
	if len(c.cached) > maxConversations {
		maps.DeleteFunc(c.cached, func(_ string, u cacheUse) bool {
			return u.batch < c.batch-maxSilence
		})
	}
}

// one checks a record. beside are all requests of its conversation that were due when it was.
func (c *Checker) one(r *Record, beside siblings) {
	id := conversation(r)
	report := c.reporter(r)
	checkTimes(r, report)
	if r.Leak != "" {
		owner := "another agent, " + r.Leak + ","
		if agent, ok := c.owners[r.Leak]; ok {
			owner = "agent " + agent
		}
		verb := "has"
		if r.LeakIn == leakInCalls {
			verb = "have"
		}
		report(CheckLeak, "%s %s the secret of %s in it", cmp.Or(r.LeakIn, "the answer"), verb, owner)
	}
	if !r.Ended() {
		if r.Outcome != Rejected {
			c.cached[id] = cacheUse{-1, c.batch} // it is unknown what it left in the cache
		}
		return
	}
	checkTokens(r, report)
	if r.Schema && r.Finish == "stop" && r.Answer != "" && !json.Valid([]byte(r.Answer)) {
		report(CheckSchema, "the answer was to hold to a JSON schema, and is no JSON: %s",
			table.Clip(table.OneLine(r.Answer), 60))
	}
	before, known := c.cached[id]
	limit := before.tokens
	if known {
		limit = beside.maxCached(r, limit)
	}
	switch {
	case id == "" || r.CachedTokens < 0:
	case !known && r.Turn == 0 && c.Shared >= 0 && r.CachedTokens > c.Shared:
		report(CheckCache, "%d tokens of a new agent's prompt were cached; all prompts share %d",
			r.CachedTokens, c.Shared)
	case known && limit >= 0 && r.CachedTokens > max(c.Shared, limit):
		report(CheckCache, "%d tokens were cached, and the agent had %d before",
			r.CachedTokens, limit)
	}
	// A count that is not believed may be true all the same: what is hidden may be cached.
	tokens := max(before.tokens, r.PromptTokens+max(r.OutputTokens, r.Claimed))
	if r.PromptTokens < 0 {
		tokens = -1
	}
	c.cached[id] = cacheUse{tokens, c.batch}
}

// leakInCalls is the LeakIn of a record whose tool calls contain a canary.
const leakInCalls = "the tool calls"

// A reportFunc notes a violation of the record that is being checked.
type reportFunc func(check CheckName, format string, args ...any)

func (c *Checker) reporter(r *Record) reportFunc {
	return func(check CheckName, format string, args ...any) {
		n := 0
		for _, s := range c.found {
			if s.Check == check {
				n++
			}
		}
		if n == maxPerCheck {
			return
		}
		v := Violation{Check: check, Agent: r.Agent, Turn: r.Turn}
		v.About = fmt.Sprintf(format, args...)
		c.found = append(c.found, suspicion{v, moment{conversation(r), r.Due}, r.CachedTokens})
	}
}

// conversation identifies the conversation that a record is of: by its canary, since questions that
// an agent asks in parallel have agent names of their own.
func conversation(r *Record) string {
	if r.Canary != "" {
		return r.Canary
	}
	return r.Agent
}

// A moment is when a request of a conversation was due.
type moment struct {
	conversation string
	due          time.Duration
}

// siblings are requests of one conversation that were due at once, such as questions in parallel:
// each may find in the cache what another has just put there.
type siblings []*Record

// maxCached is how many tokens r can find in the cache: limit, or as many as the longest prompt
// beside it has. It is -1 where that is not known.
func (s siblings) maxCached(r *Record, limit int) int {
	for _, other := range s {
		switch {
		case other == r || limit < 0:
		case other.PromptTokens < 0:
			limit = -1
		default:
			limit = max(limit, other.PromptTokens)
		}
	}
	return limit
}

// sortedByDue returns the records in the order in which they were due.
func sortedByDue(records []Record) []*Record {
	sorted := make([]*Record, len(records))
	for i := range records {
		sorted[i] = &records[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Record) int { return int(a.Due - b.Due) })
	return sorted
}

func checkTimes(r *Record, report reportFunc) {
	if !slices.Contains(Outcomes[:], r.Outcome) {
		report(CheckTimes, "the request has no outcome: %q", r.Outcome)
	}
	at := r.Due
	later := func(name string, then time.Duration) bool {
		if then >= 0 && then < at {
			report(CheckTimes, "%s at %v, before %v", name, then, at)
			return false
		}
		at = max(at, then)
		return true
	}
	ok := later("sent", r.Sent) && later("first byte", r.FirstByte)
	if len(r.Chunks) == 0 {
		ok = ok && later("first content", r.FirstContent)
	}
	for i := 0; ok && i < len(r.Chunks); i++ {
		ok = later("chunk", r.Chunks[i])
	}
	ok = ok && later("end", r.End)
	// The millisecond allows for clocks that are read at two places and written with two decimals.
	took := r.End - r.Sent
	if ok && r.Outcome == OK && !r.Slow && r.Server.Total > took+time.Millisecond {
		report(CheckTimes, "the server says that it took %v, and the client saw its end after %v",
			r.Server.Total, took)
	}
	if ok && len(r.Chunks) > r.Reasoning && r.FirstContent != r.Chunks[r.Reasoning] {
		report(CheckTimes, "first content at %v, and the first chunk of the answer at %v",
			r.FirstContent, r.Chunks[r.Reasoning])
	}
}

func checkTokens(r *Record, report reportFunc) {
	if r.PromptTokens >= 0 && r.CachedTokens > r.PromptTokens {
		report(CheckTokens, "%d tokens of a prompt of %d were cached",
			r.CachedTokens, r.PromptTokens)
	}
	claimed := max(r.OutputTokens, r.Claimed)
	switch {
	case r.OutputTokens == 0 && r.Answer != "":
		report(CheckTokens, "an answer of 0 tokens has a text of %d bytes", len(r.Answer))
		return
	// One token is allowed: the end of a turn has no text, and many servers count it.
	case r.Outcome == Empty && claimed > 1:
		report(CheckTokens, "an answer of %d tokens came without any", claimed)
		return
	case r.Doubled > 0:
		report(CheckTokens, "%s of an answer came twice, with one event id", piecesOf(r.Doubled))
		return
	case r.OutputTokens < 0 || len(r.Chunks) <= r.OutputTokens:
		return
	}
	// Where a piece has the bytes of the one before, and there are more than tokens, it came twice.
	// One more than tokens is allowed otherwise: a server may send the rest of a cut character by
	// itself.
	more := len(r.Chunks) - r.OutputTokens
	twice := min(more, r.Repeats)
	if more == 1 && strings.Contains(r.Answer, "\ufffd") {
		return
	}
	switch {
	case twice > 0:
		report(CheckTokens, "%d pieces of an answer of %d tokens: %s came twice",
			len(r.Chunks), r.OutputTokens, piecesOf(twice))
	case more > 1:
		report(CheckTokens, "%d pieces of an answer of %d tokens", len(r.Chunks), r.OutputTokens)
	}
}

func piecesOf(n int) string {
	if n == 1 {
		return "1 piece"
	}
	return fmt.Sprintf("%d pieces", n)
}

// CompareAnswers compares the greedy answers of a load with those that the same conversations got
// when nothing else ran: all that the model said. Each violation names the first byte at which the
// two differ. Turns that did not end as an answer both times are left out.
func CompareAnswers(alone, underLoad []Record) []Violation {
	var found []Violation
	pairs(alone, underLoad, func(before, r *Record) {
		if d, differs := r.Difference(before); differs {
			found = append(found, Violation{CheckIdentity, r.Agent, r.Turn, d.String(), d.At()})
		}
	})
	return found
}

// Comparable is how many of the answers that CompareAnswers looks at have anything to compare: two
// that have no word prove nothing.
func Comparable(alone, underLoad []Record) (n int) {
	pairs(alone, underLoad, func(before, r *Record) {
		if before.Said() || r.Said() {
			n++
		}
	})
	return n
}

// pairs finds the answers of one conversation's turn.
func pairs(alone, underLoad []Record, each func(alone, underLoad *Record)) {
	type key struct {
		agent string
		turn  int
	}
	want := map[key]*Record{}
	for i := range alone {
		if r := &alone[i]; r.Ended() {
			want[key{r.Agent, r.Turn}] = r
		}
	}
	for i := range underLoad {
		r := &underLoad[i]
		if before, ok := want[key{r.Agent, r.Turn}]; ok && r.Ended() {
			each(before, r)
		}
	}
}

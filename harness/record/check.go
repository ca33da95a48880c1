package record

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Violation is something that must never happen in a load, whatever its latencies.
type Violation struct {
	Check string // "times", "tokens", "leak", "cache", "count" or "identity"
	Agent string
	Turn  int
	About string // what was found, and what should have been

	At int // of identity: the byte at which the answers part
}

func (v Violation) String() string {
	if v.Agent == "" {
		return v.Check + ": " + v.About
	}
	return fmt.Sprintf("%s: agent %s, turn %d: %s", v.Check, v.Agent, v.Turn, v.About)
}

// Check holds the records of one load, warm-up included, to what must be true of each of them:
//
//   - times: what came later has the later time, and every request has one of the known outcomes
//   - tokens: as many prompt tokens were cached as there are at most, no more pieces of an answer came than it has tokens, and
//     a text that has any has some
//   - leak: no answer has another agent's canary in it
//   - cache: a conversation's turn finds at most its own longest prompt and answer in the cache, a new one at most the shared
//     tokens that every prompt begins with, such as the chat template's; a negative number of them is not checked
func Check(records []Record, shared int) []Violation {
	c := Checker{Shared: shared}
	c.Add(records)
	return c.Found()
}

// A Checker is Check for records that come in batches, of which it keeps none, in memory that does not grow with their number.
// What a conversation left in the cache is forgotten when it has been silent for tens of thousands of requests.
type Checker struct {
	Shared int // tokens that every prompt begins with; negative unknown

	batch  int
	left   map[string]memory // of conversations
	owners map[string]string // agents by their canaries, of the batch
	found  []doubt
}

// A memory is what a conversation left in the server's cache: its longest prompt and answer, in tokens; -1 unknown.
type memory struct{ tokens, batch int }

// A doubt is a violation that a later record may explain: one of the cache, by another question of the conversation that was
// due at the same moment and has not ended yet.
type doubt struct {
	Violation
	moment moment
	cached int
}

const (
	mostAlike = 100     // violations of one check; who has that many has seen enough
	mostLeft  = 1 << 16 // conversations that are remembered
	patience  = 32      // batches that a conversation may be silent for
)

// Found are the violations so far, at most a hundred of each check.
func (c *Checker) Found() []Violation {
	var found []Violation
	for _, d := range c.found {
		found = append(found, d.Violation)
	}
	return found
}

// Add takes the next records, in the order in which they ended or a whole load's in any.
func (c *Checker) Add(records []Record) {
	c.batch++
	c.forget()
	c.owners = map[string]string{}
	atOnce := map[moment]siblings{}
	for i := range records {
		r := &records[i]
		c.owners[r.Canary] = r.Agent
		m := moment{conversation(r), r.Due}
		atOnce[m] = append(atOnce[m], r)
	}
	c.found = slices.DeleteFunc(c.found, func(d doubt) bool {
		return d.Check == "cache" && atOnce[d.moment].most(nil, d.cached-1) != d.cached-1
	})
	for _, r := range byTurn(records) {
		c.one(r, atOnce[moment{conversation(r), r.Due}])
	}
}

// forget drops the conversations that have been silent for long, where there are many.
func (c *Checker) forget() {
	if c.left == nil {
		c.left = map[string]memory{}
	}
	if len(c.left) > mostLeft {
		maps.DeleteFunc(c.left, func(_ string, m memory) bool { return m.batch < c.batch-patience })
	}
}

func (c *Checker) one(r *Record, beside siblings) {
	who := conversation(r)
	report := func(check, format string, args ...any) {
		alike := 0
		for _, d := range c.found {
			if d.Check == check {
				alike++
			}
		}
		if alike < mostAlike {
			c.found = append(c.found, doubt{Violation{Check: check, Agent: r.Agent, Turn: r.Turn, About: fmt.Sprintf(format, args...)}, moment{who, r.Due}, r.CachedTokens})
		}
	}
	checkTimes(r, report)
	if r.Leak != "" {
		owner := "another agent, " + r.Leak + ","
		if agent, ok := c.owners[r.Leak]; ok {
			owner = "agent " + agent
		}
		report("leak", "the answer has the secret of %s in it", owner)
	}
	if r.Outcome != OK {
		if r.Outcome != Rejected {
			c.left[who] = memory{-1, c.batch} // what it left in the cache before it ended is not known
		}
		return
	}
	checkTokens(r, report)
	before, known := c.left[who]
	had := before.tokens
	if known {
		had = beside.most(r, had)
	}
	switch {
	case who == "" || r.CachedTokens < 0:
	case !known && r.Turn == 0 && c.Shared >= 0 && r.CachedTokens > c.Shared:
		report("cache", "%d tokens of a new agent's prompt were cached; all prompts share %d", r.CachedTokens, c.Shared)
	case known && had >= 0 && r.CachedTokens > max(c.Shared, had):
		report("cache", "%d tokens were cached, and the agent had %d before", r.CachedTokens, had)
	}
	tokens := max(before.tokens, r.PromptTokens+max(r.OutputTokens, 0))
	if r.PromptTokens < 0 {
		tokens = -1
	}
	c.left[who] = memory{tokens, c.batch}
}

// conversation is whose prompt a record's goes on from.
func conversation(r *Record) string {
	if r.Canary != "" {
		return r.Canary
	}
	return r.Agent
}

// A moment is when something of a conversation was due.
type moment struct {
	who string
	due time.Duration
}

// siblings are requests of one conversation that were due at once, such as questions in parallel: each may find in the cache
// what another has just put there.
type siblings []*Record

// most is how many tokens r can find: had, or as many as the longest prompt beside it; -1 where that is not known.
func (s siblings) most(r *Record, had int) int {
	for _, other := range s {
		switch {
		case other == r || had < 0:
		case other.PromptTokens < 0:
			had = -1
		default:
			had = max(had, other.PromptTokens)
		}
	}
	return had
}

// byTurn is the records in the order in which they were due.
func byTurn(records []Record) []*Record {
	sorted := make([]*Record, len(records))
	for i := range records {
		sorted[i] = &records[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Record) int { return int(a.Due - b.Due) })
	return sorted
}

func checkTimes(r *Record, report func(check, format string, args ...any)) {
	if !slices.Contains(Outcomes[:], r.Outcome) {
		report("times", "the request has no outcome: %q", r.Outcome)
	}
	at := r.Due
	later := func(name string, then time.Duration) bool {
		if then >= 0 && then < at {
			report("times", "%s at %v, before %v", name, then, at)
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
	// A millisecond for the clocks' being read at two places and written with two decimals.
	if ok && r.Outcome == OK && !r.Slow && r.Server.Total > r.End-r.Sent+time.Millisecond {
		report("times", "the server says that it took %v, and the client saw its end after %v", r.Server.Total, r.End-r.Sent)
	}
	if ok && len(r.Chunks) > r.Reasoning && r.FirstContent != r.Chunks[r.Reasoning] {
		report("times", "first content at %v, and the first chunk of the answer at %v", r.FirstContent, r.Chunks[r.Reasoning])
	}
}

func checkTokens(r *Record, report func(check, format string, args ...any)) {
	if r.PromptTokens >= 0 && r.CachedTokens > r.PromptTokens {
		report("tokens", "%d tokens of a prompt of %d were cached", r.CachedTokens, r.PromptTokens)
	}
	if r.OutputTokens == 0 && r.Answer != "" {
		report("tokens", "an answer of 0 tokens has a text of %d bytes", len(r.Answer))
		return
	}
	// One piece more than tokens: a server may send the rest of a cut character by itself.
	if r.OutputTokens >= 0 && len(r.Chunks) > r.OutputTokens+1 {
		report("tokens", "%d pieces of an answer of %d tokens", len(r.Chunks), r.OutputTokens)
	}
}

// CheckIdentity compares the greedy answers of a load with those that the same conversations got when nothing else ran. A
// difference names the first byte at which they part. Turns that were not answered in both are left out.
func CheckIdentity(alone, under []Record) []Violation {
	type key struct {
		agent string
		turn  int
	}
	want := map[key]string{}
	for _, r := range alone {
		if r.Outcome == OK {
			want[key{r.Agent, r.Turn}] = r.Answer
		}
	}
	var found []Violation
	for _, r := range under {
		answer, ok := want[key{r.Agent, r.Turn}]
		if !ok || r.Outcome != OK || r.Answer == answer {
			continue
		}
		at := Parting(answer, r.Answer)
		found = append(found, Violation{"identity", r.Agent, r.Turn,
			fmt.Sprintf("the answer parts from the one given alone at byte %d of %d", at, len(answer)), at})
	}
	return found
}

// Parting is the first byte at which two answers are not the same.
func Parting(a, b string) int {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}

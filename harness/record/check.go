package record

import (
	"fmt"
	"slices"
	"time"

	"loadstone/harness/load"
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
//
// Records need the Canary of their Conversation, and their answers, for the leaks to be found.
func Check(records []Record, shared int) []Violation {
	var found []Violation
	longest := map[string]int{} // of a conversation, by canary: its longest prompt and answer so far; -1 unknown
	owners := canaries{}
	atOnce := map[moment]siblings{}
	for i := range records {
		r := &records[i]
		owners[r.Canary] = r.Agent
		m := moment{conversation(r), r.Due}
		atOnce[m] = append(atOnce[m], r)
	}
	for _, r := range byTurn(records) {
		report := func(check, format string, args ...any) {
			found = append(found, Violation{Check: check, Agent: r.Agent, Turn: r.Turn, About: fmt.Sprintf(format, args...)})
		}
		checkTimes(r, report)
		who := conversation(r)
		if r.Outcome != OK {
			if r.Outcome != Rejected {
				longest[who] = -1 // what it left in the cache before it ended is not known
			}
			continue
		}
		checkTokens(r, report)
		if agent, ok := owners.leak(r); ok {
			report("leak", "the answer has the secret of agent %s in it", agent)
		}
		had, known := longest[who]
		if beside, ok := atOnce[moment{who, r.Due}]; ok && known {
			had = beside.most(r, had)
		}
		switch {
		case who == "" || r.CachedTokens < 0:
		case !known && r.Turn == 0 && shared >= 0 && r.CachedTokens > shared:
			report("cache", "%d tokens of a new agent's prompt were cached; all prompts share %d", r.CachedTokens, shared)
		case known && had >= 0 && r.CachedTokens > max(shared, had):
			report("cache", "%d tokens were cached, and the agent had %d before", r.CachedTokens, had)
		}
		if had = max(had, r.PromptTokens+max(r.OutputTokens, 0)); r.PromptTokens < 0 {
			had = -1
		}
		longest[who] = had
	}
	return found
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

// canaries are the agents by their secrets, all of which are of CanaryLength.
type canaries map[string]string

// leak looks at every place of an answer rather than for every secret: there are as many of those as agents.
func (c canaries) leak(r *Record) (agent string, ok bool) {
	for i := 0; i+load.CanaryLength <= len(r.Answer); i++ {
		word := r.Answer[i : i+load.CanaryLength]
		if agent, ok := c[word]; ok && word != r.Canary {
			return agent, true
		}
	}
	return "", false
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
		at := 0
		for at < min(len(answer), len(r.Answer)) && answer[at] == r.Answer[at] {
			at++
		}
		found = append(found, Violation{"identity", r.Agent, r.Turn,
			fmt.Sprintf("the answer parts from the one given alone at byte %d of %d", at, len(answer)), at})
	}
	return found
}

package record

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestCheckTimes(t *testing.T) {
	good := Record{Place: Place{Agent: "a"}, Due: 1, Sent: 2, FirstByte: 3, FirstContent: 4, Chunks: nil, End: 6, Outcome: OK, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}
	assert.Equal(t, len(Check([]Record{good}, 0)), 0)
	early := good
	early.FirstContent = 1
	assert.Equal(t, Check([]Record{early}, 0)[0].String(), "times: agent a, turn 0: first content at 1ns, before 3ns")
	lost := good
	lost.Outcome = ""
	assert.Equal(t, Check([]Record{lost}, 0)[0].String(), `times: agent a, turn 0: the request has no outcome: ""`)
}

// Questions that are asked in parallel go on from one conversation: each may find the others'
// beginnings in the cache, but no more than the longest of them has. It is unknown what a cancelled
// request left there.
func TestCheckCacheOfParallelQuestions(t *testing.T) {
	turn := func(agent string, due time.Duration, prompt, cached int) Record {
		return Record{Place: Place{Agent: agent}, Canary: "0badcafe", Due: due, Sent: due, FirstByte: -1, FirstContent: -1, End: due + time.Second, Outcome: OK,
			PromptTokens: prompt, CachedTokens: cached, OutputTokens: 10}
	}
	first := turn("a", 0, 100, 0)
	assert.DeepEqual(t, Check([]Record{first, turn("a.1", time.Second, 130, 110), turn("a.2", time.Second, 125, 112)}, -1), []Violation(nil))
	found := Check([]Record{first, turn("a.1", time.Second, 140, 135), turn("a.2", time.Second, 130, 110)}, -1)
	assert.Equal(t, len(found), 1)
	assert.Equal(t, found[0].String(), "cache: agent a.1, turn 0: 135 tokens were cached, and the agent had 130 before")
	gone := turn("a", time.Second, -1, -1)
	gone.Outcome = Cancelled
	assert.DeepEqual(t, Check([]Record{first, gone, turn("a", 2*time.Second, 130, 112)}, -1), []Violation(nil))
}

// However records are split into batches, the same violations are found as among all at once: what
// a conversation left in the cache is remembered, and a question that was asked in parallel may
// explain another though it ends later.
func TestCheckerInBatches(t *testing.T) {
	total := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		records := conversations(rng)
		slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.End, b.End) })
		whole := Check(records, -1)
		c := Checker{Shared: -1}
		for left := records; len(left) > 0; {
			n := min(1+rng.IntN(6), len(left))
			c.Add(left[:n])
			left = left[n:]
		}
		assert.DeepEqual(t, where(c.Found()), where(whole))
		total += len(whole)
	}
	assert.Assert(t, total > 100, "%d found", total)
}

func where(found []Violation) []string {
	var all []string
	for _, v := range found {
		all = append(all, fmt.Sprint(v.Check, " of agent ", v.Agent, " in turn ", v.Turn))
	}
	slices.Sort(all)
	return all
}

// conversations makes the records of five agents, with questions in parallel, and now and then with
// more in the cache than there can be.
func conversations(rng *rand.Rand) []Record {
	var records []Record
	for agent := range 5 {
		had, due := 0, time.Duration(rng.IntN(1000))
		for turn := range 6 {
			beside := 1
			if turn > 0 {
				beside += rng.IntN(3)
			}
			longest := 0
			prompts := make([]int, beside)
			for i := range prompts {
				prompts[i] = had + 1 + rng.IntN(20)
				longest = max(longest, prompts[i])
			}
			end := due
			for i, prompt := range prompts {
				r := Record{Place: Place{Agent: fmt.Sprint(agent, ":", i), Turn: turn}, Canary: fmt.Sprintf("a%07d", agent), Due: due, Sent: due, FirstByte: -1, FirstContent: -1,
					End: due + 1 + time.Duration(rng.IntN(500)), Outcome: OK, PromptTokens: prompt, CachedTokens: rng.IntN(max(had, 1)), OutputTokens: 3}
				switch {
				case turn > 0 && rng.IntN(8) == 0:
					r.CachedTokens = had + rng.IntN(min(longest, prompt)-had+1) // another of the questions may be why
				case turn > 0 && rng.IntN(16) == 0:
					r.CachedTokens, r.PromptTokens = longest+1, longest+1
				}
				longest = max(longest, r.PromptTokens)
				records = append(records, r)
				end = max(end, r.End)
			}
			had, due = longest+3, end
		}
	}
	return records
}

// An answer that was to hold to a schema is JSON, unless a bound cut it off.
func TestSchema(t *testing.T) {
	for _, tc := range []struct {
		answer, finish string
		found          int
	}{{`{"a":1}`, "stop", 0}, {`{"a":`, "length", 0}, {"Sure! {}", "stop", 1}, {"", "stop", 0}} {
		r := Unsent(Place{})
		r.Schema, r.Answer, r.Finish, r.Outcome = true, tc.answer, tc.finish, OK
		r.FirstByte, r.FirstContent, r.End = 1, 2, 3
		found := Check([]Record{r}, -1)
		assert.Equal(t, len(found), tc.found, "%q: %v", tc.answer, found)
		for _, v := range found {
			assert.Equal(t, v.Check, CheckSchema)
		}
	}
}

// Answers to several agents that are all one text prove nothing of whose they are.
func TestAlike(t *testing.T) {
	of := func(agent, answer string) Record {
		return Record{Place: Place{Agent: agent}, Outcome: OK, Answer: answer}
	}
	const long = "the very same answer"
	for _, tc := range []struct {
		records []Record
		want    bool
	}{
		{nil, false},
		{[]Record{of("a", long), of("b", long)}, true},
		{[]Record{of("a", long), of("a", long)}, false},
		{[]Record{of("a", long), of("b", long+".")}, false},
		{[]Record{of("a", "yes"), of("b", "yes")}, false},
		{[]Record{of("a", long), {Place: Place{Agent: "b"}, Outcome: Failed}}, false},
	} {
		assert.Equal(t, Alike(tc.records), tc.want)
	}
}

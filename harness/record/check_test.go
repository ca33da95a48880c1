package record

import (
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestCheckTimes(t *testing.T) {
	good := Record{Agent: "a", Due: 1, Sent: 2, FirstByte: 3, FirstContent: 4, Chunks: nil, End: 6, Outcome: OK, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}
	assert.Equal(t, len(Check([]Record{good}, 0)), 0)
	early := good
	early.FirstContent = 1
	assert.Equal(t, Check([]Record{early}, 0)[0].String(), "times: agent a, turn 0: first content at 1ns, before 3ns")
	lost := good
	lost.Outcome = ""
	assert.Equal(t, Check([]Record{lost}, 0)[0].String(), `times: agent a, turn 0: the request has no outcome: ""`)
}

// Questions that are asked in parallel go on from one conversation: each may find the others' beginnings in the cache, but no
// more than the longest of them has. What a request that was taken back left there is not known.
func TestCheckCacheOfParallelQuestions(t *testing.T) {
	turn := func(agent string, due time.Duration, prompt, cached int) Record {
		return Record{Agent: agent, Canary: "0badcafe", Due: due, Sent: due, FirstByte: -1, FirstContent: -1, End: due + time.Second, Outcome: OK,
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

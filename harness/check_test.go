package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

func TestCheckFindsPlantedBugs(t *testing.T) {
	for _, tc := range []struct{ bug, want string }{
		{"", ""},
		{"another agent's answer", "leak: agent b, turn 0: the answer has the secret of agent a in it"},
		{"another agent's cache", "cache: agent a, turn 0: 8 tokens of a new agent's prompt were cached; all prompts share 0"},
		{"more cached than there is", "tokens: agent a, turn 0: 99 tokens of a prompt of 8 were cached"},
		{"another answer under load", "identity: agent b, turn 0: the answer parts from the one given alone at byte 7 of 8"},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var first string
				inFlight := 0
				h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
					var body struct{ Messages []Message }
					json.NewDecoder(r.Body).Decode(&body)
					inFlight++
					words := strings.Fields(body.Messages[0].Content)
					answer, cached := fmt.Sprint("words: ", len(words)), 0
					if first == "" {
						first = words[0]
					}
					switch {
					case tc.bug == "another agent's answer" && first != words[0]:
						answer = first
					case tc.bug == "another agent's cache":
						cached = len(words)
					case tc.bug == "more cached than there is":
						cached = 99
					case tc.bug == "another answer under load" && inFlight > 2:
						answer = "words: many"
					}
					fmt.Fprintf(w, `{"choices":[{"message":{"content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":%d}}}`,
						answer, len(words), cached)
				})
				ask := func() (all []Record) {
					for i, name := range []string{"a", "b"} {
						records, err := h.RunAgents(t.Context(), []*Conversation{NewConversation(name, uint64(i))}, 1, 4, 8)
						assert.NilError(t, err)
						all = append(all, records...)
					}
					return all
				}
				alone, under := ask(), ask()
				found := append(Check(alone, 0), CheckIdentity(alone, under[1:])...)
				if tc.want == "" {
					assert.Equal(t, len(found), 0, "%v", found)
					return
				}
				assert.Assert(t, len(found) > 0, "not found")
				assert.Equal(t, found[0].String(), tc.want)
			})
		})
	}
}

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

func TestCanariesAreNoNumbers(t *testing.T) {
	for seed := range uint64(10_000) {
		word := NewConversation("a", seed).Canary
		if _, err := strconv.Atoi(word); err == nil || len(word) != canaryLength {
			t.Fatalf("seed %d: the canary %q could be a part of a number", seed, word)
		}
	}
}

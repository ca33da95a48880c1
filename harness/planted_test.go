package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/record"
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
					var body struct{ Messages []client.Message }
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
				ask := func() (all []record.Record) {
					for i, name := range []string{"a", "b"} {
						records, err := h.RunAgents(t.Context(), []*Conversation{NewConversation(name, uint64(i))}, 1, 4, 8)
						assert.NilError(t, err)
						all = append(all, records...)
					}
					return all
				}
				alone, under := ask(), ask()
				found := append(record.Check(alone, 0), record.CheckIdentity(alone, under[1:])...)
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

package audit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client/clienttest"
)

// says is a server that answers a question, given as its first message, with a delta and a usage.
func says(delta func(question string) (delta string, tokens int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		var q struct{ Messages []struct{ Content string } }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		text, tokens := delta(q.Messages[0].Content)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, `data: {"choices":[{"delta":{%s},"finish_reason":"stop"}]}`+"\n\n"+
			`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d}}`+
			"\n\ndata: [DONE]\n\n", text, tokens)
	})
}

// A server that answers nothing has shown nothing: the audit fails. One that now and then has
// nothing to say is not at fault, and the answers that have a word are compared.
func TestNothingIsNotRight(t *testing.T) {
	for _, tokens := range []int{0, 1, 6} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := clienttest.Serve(t, says(func(string) (string, int) { return `"content":""`, tokens }))
			a := Audit{Agents: 2, Turns: 2, Words: 5, MaxTokens: 8, Aborts: 2}
			findings, err := a.Run(t.Context(), c)
			assert.Error(t, err, "the server answers nothing: each of 4 answers is empty")
			assert.Equal(t, len(findings), 1)
			assert.Equal(t, findings[0].Name, Answered)
			assert.Equal(t, findings[0].Verdict, Broken)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, _ := clienttest.Serve(t, says(func(question string) (string, int) {
			if question[0] < '8' { // of the secret that it begins with
				return `"content":""`, 1
			}
			return `"content":"so"`, 2
		}))
		a := Audit{Agents: 8, Turns: 1, Words: 5, MaxTokens: 8, Aborts: 2, Seed: 3}
		findings, err := a.Run(t.Context(), c)
		assert.NilError(t, err)
		compared := 0
		for _, f := range findings {
			assert.Assert(t, f.Verdict != Broken, "%s: %s", f.Name, f.About)
			if f.Name == Repeatable {
				_, err := fmt.Sscanf(f.About[strings.Index(f.About, "which"):], "which %d were", &compared)
				assert.NilError(t, err)
			}
		}
		assert.Assert(t, 0 < compared && compared < 8, "%d compared", compared)
	})
}

// A server whose answers become empty under load does not answer; that they are another's shows in
// reasoning and tool calls as it does in the text.
func TestAnswersAreAllThatTheModelSays(t *testing.T) {
	for _, field := range []string{`"reasoning":%q`, `"thoughts":%q`, `"refusal":%q`,
		`"tool_calls":[{"index":0,"function":{"name":"put","arguments":%q}}]`} {
		synctest.Test(t, func(t *testing.T) {
			last := ""
			c, _ := clienttest.Serve(t, says(func(question string) (string, int) {
				other := last
				last = question
				if other == "" || other == question {
					other = "none"
				}
				return fmt.Sprintf(field, other), 20
			}))
			a := Audit{Agents: 2, Turns: 1, Words: 5, MaxTokens: 40, Aborts: 1}
			findings, err := a.Run(t.Context(), c)
			assert.NilError(t, err)
			verdicts := map[Check]Judgement{}
			for _, f := range findings {
				verdicts[f.Name] = f.Verdict
			}
			assert.Equal(t, verdicts[Leaks], Broken, field)
			assert.Assert(t, verdicts[Repeatable] != Passed || verdicts[Identity] != Passed, field)
		})
	}
}

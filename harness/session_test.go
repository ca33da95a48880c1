package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// graph is a session as an agent that was recorded might have it: a question, two sub-agents with
// conversations of their own, one of which asks twice, and a last call that quotes both.
//
//	0 --+--> 1 (its own conversation) ------------+--> 4
//	    +--> 2 (its own conversation) --> 3 ------+
func graph() load.Session {
	say := func(role, text string) load.Message { return load.Message{Role: role, Text: text} }
	calls := []load.Call{
		{ID: 0, From: -1, Answer: 8, Add: []load.Message{say("system", "be brief"), say("user", "plan")}},
		{ID: 1, From: -1, After: []int{0}, Pause: 200 * ms, Answer: 8, Add: []load.Message{say("user", "search")}},
		{ID: 2, From: -1, After: []int{0}, Answer: 8, Add: []load.Message{say("user", "read")}},
		{ID: 3, From: 2, Pause: 50 * ms, Answer: 8, Add: []load.Message{
			{Role: "tool", Text: "four lines", ToolCallID: "call-1"}, say("user", "go on")}},
		{ID: 4, From: 0, After: []int{1, 3}, Turn: 1, Answer: 8, Add: []load.Message{{Role: "user", Text: "sum up", Quote: []int{1, 3}}}},
	}
	return load.Session{Secret: "cafe0001", SecretLast: true, Calls: slices.Values(calls)}
}

// A session's calls begin when all that they wait for has ended, in parallel where nothing keeps
// them, and each goes on from its own conversation.
func TestSessionIsAGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		runs, _, asked := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 5, Sessions: []load.Session{graph()}}}})
		// Answers take 100 ms: call 3 is due at 200 + 50, call 1 at 100 + 200, call 4 when that has
		// ended.
		assert.DeepEqual(t, due(runs[0].Records), []time.Duration{0, 100 * ms, 250 * ms, 300 * ms, 400 * ms})
		roles := func(q question) string {
			var all []string
			for _, m := range q.Messages {
				all = append(all, m.Role)
			}
			return strings.Join(all, " ")
		}
		var got []string
		for _, q := range asked {
			got = append(got, roles(q))
		}
		assert.DeepEqual(t, got, []string{"system user", "user", "user assistant tool user", "user", "system user assistant user"})
		n := warmUpQuestions
		assert.Equal(t, asked[0].text(), "plan cafe0001 is my secret.")
		assert.Equal(t, asked[1].text(), "read cafe0001 is my secret.")
		assert.Equal(t, asked[4].text(), fmt.Sprintf("answer %d\n\nanswer %d\n\nsum up", n+4, n+3))
		assert.Equal(t, runs[0].Records[4].Turn, 1)
	})
}

// A call that was refused leaves no trace in the conversation, and calls that wait for it are sent.
func TestRefusedCallLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: func(n int) bool { return n == warmUpQuestions+2 }} // call 2
		runs, _, asked := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 5, Sessions: []load.Session{graph()}}}})
		assert.Equal(t, len(asked), 5)
		assert.Equal(t, runs[0].Summary().Outcomes[record.Rejected], 1)
		for _, q := range asked[2:] {
			if len(q.Messages) == 2 {
				assert.Equal(t, q.Messages[0].Role, "tool") // call 3, without the question before
			}
		}
	})
}

// Agents that ask together begin each round at one moment, when all have been answered.
func TestTogetherAskAtOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{took: func(busy int) time.Duration { return time.Duration(busy) * 100 * ms }}
		runs, _, asked := f.load(t, Plan{Loads: []load.Load{{Together: 3, Rounds: 2, Turns: load.Fixed(2), Think: load.Fixed(1)}}})
		run := runs[0]
		assert.Equal(t, len(asked), 6)
		assert.Equal(t, f.most, 3)
		// The second round is due when the slowest has thought for a second.
		at := due(run.Records)
		assert.DeepEqual(t, at, []time.Duration{0, 0, 0, 1300 * ms, 1300 * ms, 1300 * ms})
		for i, r := range run.Records {
			assert.Equal(t, r.Rep, i/3)
			assert.Equal(t, r.Turn, i/3)
		}
		assert.Equal(t, run.Elapsed, 600*ms) // without what lies between the rounds
	})
}

// Amounts in units of the pool are tokens of the server's pool, and an error where it does not say
// how large that is.
func TestAmountsOfThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&pool{blockTokens: 32}).ServeHTTP)
		l := load.Load{Concurrency: 1, Requests: 1, Prompt: load.Amount{A: 0.05, Pool: true}, Answer: load.Fixed(4)}
		run, err := h.Run(t.Context(), l)
		assert.NilError(t, err)
		assert.Equal(t, run.Records[0].PromptTokens, 1600) // of 32000
		silent, _ := serve(t, (&fake{}).ServeHTTP)
		_, err = silent.Run(t.Context(), l)
		assert.Error(t, err, "load load: prompt is 5% of pool, and the server does not say how large its KV pool is")
	})
}

// A load too long to keep is yielded record by record; one who has seen enough ends it.
func TestRecordsAreYielded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&fake{}).ServeHTTP)
		n := 0
		for r, err := range h.Records(t.Context(), load.Load{Concurrency: 2, Requests: 20}) {
			assert.NilError(t, err)
			assert.Equal(t, r.Outcome, record.OK)
			n++
		}
		assert.Equal(t, n, 20)
		for r, err := range h.Records(t.Context(), load.Load{Concurrency: 1, Turns: load.Endless, Duration: time.Hour}) {
			assert.NilError(t, err)
			if n++; r.Turn == 2 {
				break
			}
		}
		assert.Equal(t, n, 23)
		gone, kill := serve(t, func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(1) })
		kill()
		var last error
		for _, err := range gone.Records(t.Context(), load.Load{Together: 1}) {
			last = err
		}
		assert.ErrorContains(t, last, "the server does not answer")
	})
}

// What is not there is an error, not a crash.
func TestNoClient(t *testing.T) {
	var h StressTestHarness
	_, err := h.Run(t.Context(), load.Load{Together: 1})
	assert.ErrorContains(t, err, "the harness has no client")
	_, err = h.Send(t.Context(), load.Burst{Size: 1}, nil)
	assert.ErrorContains(t, err, "the harness has no client")
	assert.NilError(t, h.Close())
	_, err = Open(t.Context(), Target{})
	assert.ErrorContains(t, err, "neither an address nor a command")
	_, err = Open(t.Context(), Target{URL: "http://example.com"})
	assert.ErrorContains(t, err, "example.com is not this machine")
}

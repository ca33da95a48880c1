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

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

const ms = time.Millisecond

// serve returns a harness whose server is h, and what kills that server.
func serve(t *testing.T, h http.HandlerFunc) (*StressTestHarness, func()) {
	c, kill := clienttest.Serve(t, h)
	return &StressTestHarness{Client: c}, kill
}

// five are the loads of the five scenarios, or of some of them.
func five(rounds int, prompt, answer float64, names ...string) []load.Load {
	files, err := scenario.Five(names...)
	if err != nil {
		panic(err)
	}
	var loads []load.Load
	for _, f := range files {
		l := f.Load
		l.Rounds, l.Prompt, l.Answer = rounds, load.Fixed(prompt), load.Fixed(answer)
		loads = append(loads, l)
	}
	return loads
}

const answered = `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":1}}`

// A server that takes one request at a time makes all others wait. Those were due all the same, so
// their latency has the wait in it, though the client was never late.
func TestPacedLoadCountsFromDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{}, 1)
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			turn <- struct{}{}
			time.Sleep(time.Second)
			<-turn
			fmt.Fprint(w, answered)
		})
		records, err := h.Send(t.Context(), load.Constant(2), make([]client.Prompt, 4))
		assert.NilError(t, err)
		var latencies []time.Duration
		for i, r := range records {
			assert.Equal(t, r.Due, time.Duration(i)*time.Second/2)
			assert.Equal(t, r.Sent, r.Due)
			latencies = append(latencies, r.Latency())
		}
		slices.Sort(latencies) // who waits first is not who is served first
		var total time.Duration
		for _, l := range latencies {
			total += l
		}
		// Answers end at 1, 2, 3 and 4 s; dues are at 0, 0.5, 1 and 1.5 s.
		assert.Equal(t, total, 7*time.Second)
	})
}

// An agent's next turn is due when its last answer ends and has the whole conversation in it, but
// for turns that were not answered.
func TestAgentsKeepTheirConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/chat/completions" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			var body struct{ Messages []client.Message }
			assert.Check(t, json.NewDecoder(r.Body).Decode(&body))
			var roles []string
			for _, m := range body.Messages {
				roles = append(roles, m.Role[:1])
			}
			asked = append(asked, strings.Join(roles, ""))
			time.Sleep(100 * ms)
			if len(asked) == warmUpQuestions+2 {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			fmt.Fprint(w, answered)
		})
		run, err := h.Run(t.Context(), load.Load{Concurrency: 1, Requests: 4, Turns: load.Endless, Prompt: load.Fixed(5), Answer: load.Fixed(5)})
		assert.NilError(t, err)
		records := run.Records
		assert.DeepEqual(t, asked[warmUpQuestions:], []string{"u", "uau", "uau", "uauau"})
		for i, r := range records {
			assert.Equal(t, r.Due-records[0].Due, time.Duration(i)*100*ms)
			assert.Equal(t, r.End, r.Due+100*ms)
		}
		assert.Equal(t, records[1].Outcome, record.Rejected)
	})
}

// A load against a server that dies ends with one error and keeps what it has measured.
func TestServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kill func()
		var h *StressTestHarness
		n := 0
		h, kill = serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/chat/completions" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if n++; n == warmUpQuestions+4 {
				kill() // with this request on its way
				return
			}
			fmt.Fprint(w, answered)
		})
		run, err := h.Run(t.Context(), load.Load{Concurrency: 1, Requests: 1000, Turns: load.Endless, Prompt: load.Fixed(5), Answer: load.Fixed(5)})
		records := run.Records
		assert.ErrorIs(t, err, ErrServerGone)
		assert.Equal(t, len(records), 4)
		assert.Equal(t, records[2].Outcome, record.OK)
		assert.Equal(t, records[3].Outcome, record.Refused)
	})
}

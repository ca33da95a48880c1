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
	"loadstone/harness/record"
)

const ms = time.Millisecond

// serve returns a harness whose server is h, and what kills that server.
func serve(t *testing.T, h http.HandlerFunc) (*StressTestHarness, func()) {
	c, kill := clienttest.Serve(t, h)
	return &StressTestHarness{Client: c}, kill
}

const answered = `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":1}}`

// A server that takes one request at a time makes all others wait. Those were due all the same, so their latency has the
// wait in it, though the client was never late.
func TestPacedLoadCountsFromDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{}, 1)
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			turn <- struct{}{}
			time.Sleep(time.Second)
			<-turn
			fmt.Fprint(w, answered)
		})
		records, err := h.RunSustained(t.Context(), 2, 4, func(int) client.Prompt { return client.Prompt{} })
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

// An agent's next turn is due when its last answer ends and has the whole conversation in it, but for turns that were
// not answered.
func TestAgentsKeepTheirConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Messages []client.Message }
			assert.Check(t, json.NewDecoder(r.Body).Decode(&body))
			var roles []string
			for _, m := range body.Messages {
				roles = append(roles, m.Role[:1])
			}
			asked = append(asked, strings.Join(roles, ""))
			time.Sleep(100 * ms)
			if len(asked) == 2 {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			fmt.Fprint(w, answered)
		})
		records, err := h.RunAgents(t.Context(), []*Conversation{NewConversation("a", 1)}, 4, 5, 5)
		assert.NilError(t, err)
		assert.DeepEqual(t, asked, []string{"u", "uau", "uau", "uauau"})
		for i, r := range records {
			assert.Equal(t, r.Due, time.Duration(i)*100*ms)
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
			if n++; n == 4 {
				kill() // with this request on its way
				return
			}
			fmt.Fprint(w, answered)
		})
		records, err := h.RunAgents(t.Context(), []*Conversation{NewConversation("a", 1)}, 1000, 5, 5)
		assert.ErrorIs(t, err, ErrServerGone)
		assert.Equal(t, len(records), 4)
		assert.Equal(t, records[2].Outcome, record.OK)
		assert.Equal(t, records[3].Outcome, record.Refused)
	})
}

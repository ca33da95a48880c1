package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// An hour of agents, recorded and replayed against the same server, is the same calls in the same
// order at the same times: sub-agents beside their parent, tools and people between calls, a
// history that is compacted. Time is fake, so that the hour is exact.
func TestHourReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &timed{}
		way, _ := clienttest.Transport(t, server)
		to, err := url.Parse("http://server")
		assert.NilError(t, err)
		var file bytes.Buffer
		recorder, err := NewRecorder(&file, Options{})
		assert.NilError(t, err)
		p := New(to, recorder)
		p.transport = way
		c, _ := clienttest.Serve(t, p)
		c.Model = "m"

		var agents sync.WaitGroup
		for i := range 6 {
			agents.Go(func() {
				time.Sleep(time.Duration(i) * 90 * time.Second)
				a := &synthetic{t: t, client: c, name: fmt.Sprintf("agent-%d", i), n: i}
				a.hour()
			})
		}
		agents.Wait()
		assert.NilError(t, recorder.Close())
		recorded := server.seen()
		assert.Assert(t, recorded[len(recorded)-1].at-recorded[0].at > time.Hour)
		assert.Equal(t, recorder.Stats().Calls, len(recorded))

		sessions, err := load.ReadRecording("recording", &file)
		assert.NilError(t, err)
		assert.Equal(t, len(sessions), 6)
		for _, s := range sessions {
			checkSubAgents(t, s)
		}
		direct := client.NewWithTransport("http://server", way)
		direct.Model = "m"
		runs, _, err := harness.Plan{Runs: 1, Loads: []load.Load{{Name: "hour", AsRecorded: true, Sessions: sessions,
			Replay: load.Replay{AsIs: true, AsAsked: true}}}}.Run(t.Context(), direct)
		assert.NilError(t, err)
		replayed := server.seen()[len(recorded):]
		replayed = replayed[len(replayed)-len(recorded):] // before them the server was got to know
		began, again := recorded[0].at, replayed[0].at
		for i := range recorded {
			assert.Equal(t, replayed[i].body, recorded[i].body, "call %d", i)
			off := (replayed[i].at - again) - (recorded[i].at - began)
			assert.Assert(t, -time.Millisecond < off && off < time.Millisecond, "call %d is off by %v", i, off)
		}
		assert.Equal(t, len(runs[0].Records), len(recorded))
		for _, r := range runs[0].Records {
			assert.Equal(t, r.Outcome, record.OK, r.Error)
		}
	})
}

// checkSubAgents checks that no sub-agent of a session waits for another: they work beside each
// other, also on a server that is faster or slower. The six that have names are all found; of those
// without, which begin with the same message, the next are taken for the first, begun anew.
func checkSubAgents(t *testing.T, s load.Session) {
	all := slices.Collect(s.Calls)
	subs := map[int]bool{}
	for _, c := range all {
		subs[c.Sub] = true
		for _, id := range c.After {
			wait := all[id].Sub
			begins := wait == 0 && (c.From < 0 || c.Keep > 0)
			assert.Assert(t, c.Sub == 0 || wait == c.Sub || begins, "%s: call %d of sub-agent %d "+
				"waits for call %d of sub-agent %d", s.Name, c.ID, c.Sub, id, wait)
		}
	}
	named := s.Name[len(s.Name)-1]%2 == 1
	assert.Equal(t, len(subs), map[bool]int{true: 7, false: 3}[named], s.Name)
}

// timed is a server whose answers take as long as their prompts ask, and that notes when each came.
type timed struct {
	mu    sync.Mutex
	epoch time.Time
	all   []arrival
}

type arrival struct {
	body string
	at   time.Duration
}

func (s *timed) seen() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func (s *timed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	if s.epoch.IsZero() {
		s.epoch = time.Now()
	}
	s.all = append(s.all, arrival{string(body), time.Since(s.epoch)})
	s.mu.Unlock()
	time.Sleep(time.Second + time.Duration(len(body))*time.Millisecond)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\"%x\"}}]}\n\n", len(body))
	w.(http.Flusher).Flush()
	time.Sleep(time.Second)
	fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\" so\"},\"finish_reason\":\"stop\"}]}\n\n"+
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", len(body)/4)
}

// synthetic is an agent made up for the test.
type synthetic struct {
	t      *testing.T
	client *client.Client
	name   string
	part   string // of the name, while a sub-agent works
	n      int
}

// ask asks and returns the conversation with the answer in it.
func (a *synthetic) ask(said []client.Message) []client.Message {
	r := a.client.Ask(a.t.Context(), a.client.Since(), client.Prompt{Place: record.Place{Agent: a.name + a.part}, Messages: said, MaxTokens: 50})
	assert.Equal(a.t, r.Outcome, record.OK, r.Error)
	return append(said[:len(said):len(said)], client.Message{Role: "assistant", Content: r.Answer,
		ToolCalls: json.RawMessage(`[{"id":"c1","type":"function","function":{"name":"run","arguments":"{}"}}]`)})
}

// result is the result of a tool, after the time that it takes.
func (a *synthetic) result(said []client.Message, took time.Duration) []client.Message {
	time.Sleep(took)
	return append(said, client.Message{Role: "tool", ToolCallID: "c1", Content: "took " + took.String()})
}

func say(role, text string) client.Message { return client.Message{Role: role, Content: text} }

// hour is what the agent does in an hour: turns of calls with tools between them, in one of which
// two sub-agents work beside each other; people who think; a history that is cut down.
func (a *synthetic) hour() {
	system := say("system", "You are "+a.name)
	said := []client.Message{system, say("user", "begin")}
	for turn := range 12 {
		for call := range 4 {
			said = a.ask(said)
			took := time.Duration(3+7*a.n+turn+5*call) * time.Second
			if turn%4 == 1 && call == 1 {
				a.subAgents(turn)
			}
			said = a.result(said, took)
		}
		said = a.ask(said)
		time.Sleep(time.Duration(100+a.n*13) * time.Second)
		if turn == 7 {
			said = []client.Message{system, say("user", "summary: "+strings.Repeat("it went on. ", 10))}
			continue
		}
		said = append(said, say("user", fmt.Sprintf("and %d?", turn)))
	}
}

// subAgents lets two sub-agents work and waits for both. Those of every second agent have names of
// their own, as Loadstone's own load gives them, and begin as the agent itself did.
func (a *synthetic) subAgents(turn int) {
	time.Sleep(time.Second)
	var both sync.WaitGroup
	for k := range 2 {
		both.Go(func() {
			time.Sleep(time.Duration(k) * 100 * time.Millisecond) // what comes at one moment has no order
			sub, system := *a, "You search."
			if a.n%2 == 1 {
				sub.part, system = fmt.Sprintf(":s%d", turn+k), "You are "+a.name
			}
			said := []client.Message{say("system", system), say("user", fmt.Sprintf("search %d of %s, %d", k, a.name, turn))}
			said = a.result(sub.ask(said), time.Duration(2+3*k)*time.Second)
			said = a.result(sub.ask(said), time.Second)
			sub.ask(said)
		})
	}
	both.Wait()
}

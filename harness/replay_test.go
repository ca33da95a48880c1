package harness

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// recordedSession is a session as an agent had it: a tool, a sub-agent beside the second call, a
// history of which only the beginning was kept.
//
//	0 --+--> 1 ----------+--> 3 --> 4 keeps the first two messages
//	    +--> 2 (sub 1) --+
func recordedSession(t *testing.T) load.Session {
	raw := func(text string) load.Message {
		m, err := load.ParseMessage("chat", json.RawMessage(text))
		assert.NilError(t, err)
		return m
	}
	reply := func(text string) load.Message { m := raw(text); m.Reply = true; return m }
	quote := raw(`{"role":"user","content":"it says: the sub was here"}`)
	quote.Quote = []int{2}
	was := func(text string, output int) *load.Recorded {
		return &load.Recorded{Text: text, Output: output, Prompt: -1, Took: 80 * ms}
	}
	calls := []load.Call{
		{ID: 0, From: -1, Recorded: was("", 2), Tools: []json.RawMessage{json.RawMessage(`{"type":"function","function":{"name":"run"}}`)},
			Add: []load.Message{raw(`{"role":"system","content":"be brief"}`), raw(`{"role":"user","content":"mend it"}`)}},
		{ID: 1, From: 0, Pause: time.Second, Recorded: was("told 1", 2),
			Add: []load.Message{reply(`{"role":"assistant","content":"told 0","tool_calls":[{"id":"c1","type":"function","function":{"name":"run","arguments":"{}"}}]}`),
				raw(`{"role":"tool","tool_call_id":"c1","content":"done"}`)}},
		{ID: 2, From: -1, After: []int{0}, Sub: 1, Pause: 500 * ms, Recorded: was("the sub was here", 9),
			Add: []load.Message{raw(`{"role":"user","content":"look"}`)}},
		{ID: 3, From: 1, After: []int{2}, Recorded: was("told 3", 2),
			Add: []load.Message{reply(`{"role":"assistant","content":"told 1"}`), quote}},
		{ID: 4, From: 3, Keep: 2, Pause: time.Minute, Person: true, Turn: 1, Recorded: was("told 4", 2),
			Add: []load.Message{raw(`{"role":"user","content":"and now"}`)}},
	}
	return load.Session{Name: "rec", API: "chat", Verbatim: true, Count: len(calls), Calls: slices.Values(calls)}
}

// said is a prompt in one line.
func (r question) said() string {
	var parts []string
	for _, m := range r.Messages {
		text := m.Role + " " + m.Content
		if m.ToolCalls != nil {
			text += " calls"
		}
		parts = append(parts, strings.TrimSpace(text))
	}
	return strings.Join(parts, " | ")
}

// replay puts a recorded session once on a fake and returns the run, and the prompts by call.
func (f *fake) replay(t *testing.T, s load.Session, r load.Replay, speed float64) (record.Run, []question) {
	l := load.Load{Sessions: []load.Session{s}, Concurrency: 1, Speed: speed, Replay: r}
	runs, _, asked := f.load(t, Plan{Loads: []load.Load{l}})
	return runs[0], asked[1:] // the first asks whether the server gives exact lengths
}

// A recorded session is sent as it was, each call once: with recorded answers in later prompts, or
// with the server's own.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, asked := (&fake{}).replay(t, recordedSession(t), load.Replay{AsIs: true, Idle: 10 * time.Second}, 10)
		var got []string
		for _, q := range asked {
			got = append(got, q.said())
		}
		assert.DeepEqual(t, got, []string{
			"system be brief | user mend it",
			"user look",
			"system be brief | user mend it | assistant told 0 calls | tool done",
			"system be brief | user mend it | assistant told 0 calls | tool done | assistant told 1 | user it says: the sub was here",
			"system be brief | user mend it | user and now",
		})
		assert.Equal(t, len(asked[0].Tools), 1)
		assert.Assert(t, strings.HasSuffix(asked[1].agent, ":s1") && !strings.Contains(asked[0].agent, ":"))
		assert.Equal(t, asked[3].MaxTokens, 2)
		// An answer takes 100 ms; pauses a tenth: 50 ms before the sub-agent, 100 before call 1, of the
		// minute no more than 10 s.
		assert.DeepEqual(t, due(run.Records), []time.Duration{0, 150 * ms, 200 * ms, 300 * ms, 1400 * ms})
		assert.DeepEqual(t, run.Records[4].Call, record.Call{Session: "rec", ID: 4, From: 3, Pause: time.Second, Person: true,
			WasPrompt: -1, WasOutput: 2, WasTook: 80 * ms, Forced: true})
		n := run.Summary().Replayed
		assert.Equal(t, n, record.Replayed{Calls: 5, Known: 5, OtherLength: 1, // 9 tokens were recorded, 2 came
			Took: 500 * ms, WasTook: 400 * ms})
	})
	synctest.Test(t, func(t *testing.T) {
		_, asked := (&fake{}).replay(t, recordedSession(t), load.Replay{AsIs: true, Served: true}, 10)
		n := warmUpQuestions + 1
		assert.Equal(t, asked[3].said(), fmt.Sprintf("system be brief | user mend it | assistant answer %d calls | tool done | "+
			"assistant answer %d | user answer %d", n+1, n+3, n+2))
	})
}

// A call that was refused is gone on from as it was recorded, also where answers are the server's
// own.
func TestReplayOfRefusedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: func(n int) bool { return n == warmUpQuestions+2 || n == warmUpQuestions+3 }} // calls 0 and 2
		run, asked := f.replay(t, recordedSession(t), load.Replay{AsIs: true, Served: true}, 1)
		assert.Equal(t, run.Summary().Outcomes[record.Rejected], 2)
		assert.Equal(t, asked[3].said(), "system be brief | user mend it | assistant told 0 calls | tool done | "+
			fmt.Sprintf("assistant answer %d | user it says: the sub was here", warmUpQuestions+4))
	})
}

// A word of the run before the first message makes the texts new to the server, the same for all
// sessions; every other byte is as it was.
func TestReplayIsSalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		l := load.Load{Sessions: []load.Session{recordedSession(t), recordedSession(t)}, Concurrency: 2}
		_, _, asked := f.load(t, Plan{Loads: []load.Load{l}, Runs: 2})
		asked = asked[1:]
		salts := map[string]int{}
		for _, q := range asked {
			salt, rest, ok := strings.Cut(q.Messages[0].Content, " names this run.\n\n")
			assert.Assert(t, ok && (rest == "be brief" || rest == "look"), q.Messages[0].Content)
			salts[salt]++
		}
		assert.Equal(t, len(asked), 20)
		assert.Equal(t, len(salts), 2) // one a run
	})
}

// long is a session whose prompts grow by 100 words a call, each call of which goes on from the one
// before it.
func long(calls int) load.Session {
	all := func(yield func(load.Call) bool) {
		for i := range calls {
			add := []load.Message{{Role: "assistant", Reply: true, Text: "so"},
				{Role: "user", Words: []load.Words{{Seed: uint64(i), Tokens: 200}}}}
			if i == 0 {
				add[0] = load.Message{Role: "system", Text: "be brief"}
			}
			if !yield(load.Call{ID: i, From: i - 1, Add: add, Answer: 10, Recorded: &load.Recorded{Output: 2}}) {
				return
			}
		}
	}
	return load.Session{Name: "long", Verbatim: true, Count: calls, Linear: true, Calls: all}
}

// What exceeds the server's context is left out, cut or compacted, and counted.
func TestOverflow(t *testing.T) {
	for _, tc := range []struct {
		rule load.Overflow
		want record.Replayed
		sent int
	}{
		{load.Send, record.Replayed{Calls: 10, Known: 10}, 10},
		{load.Skip, record.Replayed{Calls: 4, Known: 4}, 4},
		{load.Cut, record.Replayed{Calls: 10, Cut: 6, Known: 10}, 10},
		{load.Compact, record.Replayed{Calls: 10, Compacted: 6, Known: 10}, 10},
	} {
		t.Run(string(tc.rule), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				run, asked := f.replay(t, long(10), load.Replay{Overflow: tc.rule, Context: 1000}, 1)
				assert.Equal(t, len(asked), tc.sent)
				assert.Equal(t, run.Skipped, 10-tc.sent)
				assert.Equal(t, run.Summary().Replayed, tc.want)
				beginnings := map[string]bool{} // of what was cut, which stays the same for some calls
				for i, q := range asked {
					last := q.Messages[len(q.Messages)-1]
					assert.Assert(t, len(strings.Fields(last.Content)) > 90, "call %d: %q", i, last.Content)
					assert.Assert(t, strings.HasSuffix(q.Messages[0].Content, "be brief"))
					if tc.rule == load.Cut || tc.rule == load.Compact {
						assert.Assert(t, 2*words2(q) <= 1000, "call %d has %d tokens", i, 2*words2(q))
						beginnings[q.Messages[2%len(q.Messages)].Content] = true
					}
					if summary := strings.HasPrefix(q.Messages[2%len(q.Messages)].Content, "Summary"); i > 4 {
						assert.Equal(t, summary, tc.rule == load.Compact)
					}
				}
				assert.Assert(t, len(beginnings) <= 5, "%d of them", len(beginnings))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&fake{}).ServeHTTP)
		_, err := h.Run(t.Context(), load.Load{Sessions: []load.Session{long(2)}, Concurrency: 1,
			Replay: load.Replay{Overflow: load.Cut}})
		assert.Error(t, err, "load load: it has a rule for calls that exceed the "+
			"server's context, but the server does not publish its context; the load must set it")
	})
}

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
	"loadstone/harness/stub"
)

// fake is a server in memory whose every answer takes 100 ms, and which remembers what it was
// asked.
type fake struct {
	mu    sync.Mutex
	asked []question
	busy  int // requests in the server now
	most  int

	// of an answer with so many requests in the server; nil: 100 ms
	took     func(busy int) time.Duration
	refuse   func(n int) bool // the n-th request gets 429
	streamed int              // pieces of an answer, 10 ms apart; 0: in one piece
	cached   int              // tokens that it says were cached
}

type question struct {
	Messages  []client.Message
	MaxTokens int `json:"max_tokens"`
	Tools     []json.RawMessage
	agent     string
}

func (r question) text() string { return r.Messages[len(r.Messages)-1].Content }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	req := question{agent: r.Header.Get("X-Agent-ID")}
	json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	f.asked = append(f.asked, req)
	f.busy++
	n, busy := len(f.asked), f.busy
	f.most = max(f.most, busy)
	took := 100 * ms
	if f.took != nil {
		took = f.took(busy)
	}
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.busy--; f.mu.Unlock() }()
	if f.refuse != nil && f.refuse(n) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if f.streamed == 0 {
		time.Sleep(took)
		fmt.Fprintf(w, `{"choices":[{"message":{"content":"answer %d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":%d}}}`,
			n, max(2*words2(req), f.cached), f.cached)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for range f.streamed {
		select {
		case <-time.After(10 * ms):
		case <-r.Context().Done():
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"la \"}}]}\n\n")
		w.(http.Flusher).Flush()
	}
	fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

func words2(r question) int {
	n := 0
	for _, m := range r.Messages {
		n += len(strings.Fields(m.Content))
	}
	return n
}

// warmUpQuestions is how many requests a plan begins with, to size up the server.
const warmUpQuestions = len(warmUpWords)

// load is a plan's result on the fake, the server's view of it without the warm-up questions.
func (f *fake) load(t *testing.T, plan Plan) ([]record.Run, load.Level, []question) {
	t.Helper()
	h, _ := serve(t, f.ServeHTTP)
	if plan.Runs == 0 {
		plan.Runs = 1
	}
	plan.Loads[0].Name = "test"
	runs, highest, err := plan.Run(t.Context(), h.Client)
	assert.NilError(t, err)
	return runs, highest, f.asked[warmUpQuestions:]
}

// due is when requests were due after the first.
func due(records []record.Record) []time.Duration {
	var all []time.Duration
	for _, r := range records {
		all = append(all, r.Due-records[0].Due)
	}
	return all
}

func TestOpenLoopSendsWhenDue(t *testing.T) {
	for _, tc := range []struct {
		name string
		load load.Load
		want []time.Duration
	}{
		{"constant", load.Load{Rate: load.Constant(20), Requests: 4}, []time.Duration{0, 50 * ms, 100 * ms, 150 * ms}},
		{"for a time", load.Load{Rate: load.Constant(20), Duration: 150 * ms}, []time.Duration{0, 50 * ms, 100 * ms}},
		{"bursts", load.Load{Burst: load.Burst{Size: 2, Every: time.Second}, Requests: 5}, []time.Duration{0, 0, time.Second, time.Second, 2 * time.Second}},
		{"two turns with a pause", load.Load{Rate: load.Constant(1), Duration: 1500 * ms, Turns: load.Fixed(2), Think: load.Fixed(0.2)},
			[]time.Duration{0, 300 * ms, time.Second, 1300 * ms}},
		{"turns beyond the end are not asked", load.Load{Rate: load.Constant(1), Duration: 1200 * ms, Turns: load.Fixed(2), Think: load.Fixed(0.2)},
			[]time.Duration{0, 300 * ms, time.Second}},
		{"a trace at twice its speed", load.Load{Speed: 2, Trace: []load.TraceRequest{{At: time.Second, Input: 9, Output: 1}, {At: 2 * time.Second, Input: 9, Output: 1}}},
			[]time.Duration{0, 500 * ms}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs, _, _ := (&fake{}).load(t, Plan{Loads: []load.Load{tc.load}})
				assert.DeepEqual(t, due(runs[0].Records), tc.want)
				for _, r := range runs[0].Records {
					assert.Equal(t, r.Outcome, record.OK, r.Error)
					assert.Equal(t, r.Sent, r.Due)
				}
			})
		})
	}
}

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		runs, _, asked := f.load(t, Plan{Loads: []load.Load{{Concurrency: 3, Requests: 10, RampUp: 90 * ms, Turns: load.Fixed(2)}}})
		assert.Equal(t, f.most, 3)
		assert.Equal(t, len(asked), 10)
		assert.DeepEqual(t, due(runs[0].Records)[:6], []time.Duration{0, 30 * ms, 60 * ms, 100 * ms, 130 * ms, 160 * ms})
		agents := map[string]int{}
		for _, r := range asked {
			agents[r.agent]++
		}
		assert.Equal(t, len(agents), 6) // the last ones had no second turn
	})
}

// An agent's turns carry the conversation with the server's real answers, after the system prompt
// that it shares with others.
func TestTurnsCarryTheConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tools := []json.RawMessage{json.RawMessage(`{"type":"function","function":{"name":"f"}}`)}
		_, _, asked := (&fake{}).load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 9, Turns: load.Fixed(3), System: 2, SystemTokens: 40, Prompt: load.Fixed(30), Tools: tools}}})
		systems := map[string]bool{}
		for i, r := range asked {
			turn := i % 3
			assert.Equal(t, len(r.Messages), 2+2*turn)
			assert.Equal(t, r.Messages[0].Role, "system")
			systems[r.Messages[0].Content] = true
			assert.Equal(t, string(r.Tools[0]), string(tools[0]))
			if turn > 0 {
				assert.DeepEqual(t, r.Messages[:2*turn], asked[i-1].Messages)
				assert.Equal(t, r.Messages[2*turn].Content, fmt.Sprintf("answer %d", warmUpQuestions+i))
			}
		}
		assert.Equal(t, len(systems), 2)
	})
}

// After each answer three questions are asked in parallel, each going on from the conversation; the
// next turn waits for all of them and begins with their answers.
func TestFanOutJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		runs, _, asked := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 5, Turns: load.Fixed(2), FanOut: load.Fixed(3)}}})
		assert.DeepEqual(t, due(runs[0].Records), []time.Duration{0, 100 * ms, 100 * ms, 100 * ms, 200 * ms})
		assert.Equal(t, f.most, 3)
		names := map[string]bool{}
		for _, r := range asked[1:4] {
			assert.DeepEqual(t, r.Messages[:1], asked[0].Messages)
			assert.Equal(t, r.Messages[1].Role, "assistant")
			names[r.agent] = true
		}
		assert.Equal(t, len(names), 3)
		last := asked[4]
		assert.Equal(t, last.agent, asked[0].agent)
		assert.Equal(t, len(last.Messages), 3)
		for n := range 3 {
			assert.Assert(t, strings.Contains(last.text(), fmt.Sprintf("answer %d\n\n", warmUpQuestions+2+n)), last.text())
		}
	})
}

// Who is refused comes back when the server said, not at once.
func TestRefusedAgentWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: func(n int) bool { return n == warmUpQuestions+1 }}
		runs, _, _ := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 2}}})
		assert.Equal(t, runs[0].Records[0].Outcome, record.Rejected)
		assert.DeepEqual(t, due(runs[0].Records), []time.Duration{0, 2 * time.Second})
	})
}

func TestCancelAndSlowReaders(t *testing.T) {
	for _, tc := range []struct {
		name    string
		load    load.Load
		outcome record.Outcome
		plan    string
		chunks  int
		took    time.Duration
	}{
		{"after a time", load.Load{Cancel: load.Cancel{Share: 1, After: load.Fixed(0.035)}}, record.Cancelled, "cancel after 35ms", 3, 35 * ms},
		{"after pieces", load.Load{Cancel: load.Cancel{Share: 1, Pieces: load.Fixed(2)}}, record.Cancelled, "cancel after 2 pieces", 2, 20 * ms},
		{"the answer was faster", load.Load{Cancel: load.Cancel{Share: 1, After: load.Fixed(0.2)}}, record.OK, "cancel after 200ms", 5, 50 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{streamed: 5}
				tc.load.Concurrency, tc.load.Requests = 1, 1
				runs, _, _ := f.load(t, Plan{Loads: []load.Load{tc.load}})
				r := runs[0].Records[0]
				assert.Equal(t, r.Outcome, tc.outcome, r.Error)
				assert.Equal(t, r.Intent, tc.plan)
				assert.Equal(t, len(r.Chunks), tc.chunks)
				assert.Equal(t, r.End-r.Due, tc.took)
			})
		})
	}
	t.Run("slow reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			runs, _, _ := (&fake{streamed: 5}).load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 1, Slow: load.Slow{Share: 1, Rate: 100}}}})
			r := runs[0].Records[0]
			assert.Equal(t, r.Outcome, record.OK, r.Error)
			assert.Assert(t, r.Slow)
			// Five events of 48 bytes and the last two of 64 and 14 take 3.2 s at 100 bytes a
			// second.
			assert.Assert(t, r.End-r.Due > 2500*ms && r.End-r.Due < 4*time.Second, "%v", r.End-r.Due)
			assert.Equal(t, runs[0].Summary().E2E.N, 0) // its times are not the server's
		})
	})
}

// The same seeds make the same load, request by request; another seed changes what it is for and
// nothing else.
func TestSeeds(t *testing.T) {
	changed := func(change func(*load.Load)) load.Load {
		l := load.Load{Concurrency: 1, Seeds: load.OneSeed(1), Turns: load.Amount{Kind: "uniform", A: 1, B: 5}, Think: load.Amount{Kind: "exponential", A: 1},
			Prompt: load.Amount{Kind: "lognormal", A: 100, B: 50}, Answer: load.Amount{Kind: "normal", A: 50, B: 10}, FollowUp: load.Amount{Kind: "uniform", A: 1, B: 90},
			FanOut: load.Amount{Kind: "uniform", A: 0, B: 3}, System: 3, Prompts: nil, Slow: load.Slow{Share: 0.3, Rate: 100}, Cancel: load.Cancel{Share: 0.3, After: load.Amount{Kind: "exponential", A: 1}}}
		change(&l)
		return l
	}
	type choices struct {
		Lengths, Order, Think, Cancel, Schedule, Text any
	}
	of := func(l load.Load) choices {
		var c choices
		var lengths, order, think, cancel, text []any
		systems := map[string]bool{}
		named, fixed := l, l // where the number of calls depends on no seed, each has its place
		fixed.Turns, fixed.FanOut = load.Fixed(3), load.Fixed(2)
		named.SystemPrompts = []string{"one", "two", "three"}
		for agent := range 40 {
			for call := range l.Session(agent).Calls {
				lengths = append(lengths, call.ID, call.Aside, call.Add[0].Words[0].Tokens, call.Answer)
			}
			s := fixed.Session(agent)
			order = append(order, named.Session(agent).Begin[0].Text)
			text = append(text, s.Secret)
			systems[load.Text(s.Begin[0].Words[0].Seed, 3)] = true
			for call := range s.Calls {
				w := call.Add[0].Words[0]
				think = append(think, call.Turn > 0 && call.Aside == 0, call.Pause)
				cancel = append(cancel, call.Cancel, call.ReadRate)
				text = append(text, load.Text(w.Seed, 3))
			}
		}
		rate := l
		rate.Concurrency, rate.Rate, rate.Gaps, rate.Requests = 0, load.Constant(10), 1, 100
		c.Lengths, c.Order, c.Think, c.Cancel = fmt.Sprint(lengths), fmt.Sprint(order), fmt.Sprint(think), fmt.Sprint(cancel)
		c.Schedule, c.Text = fmt.Sprint(slices.Collect(rate.Arrivals())), fmt.Sprint(text, slices.Sorted(maps.Keys(systems)))
		return c
	}
	base := of(changed(func(*load.Load) {}))
	assert.DeepEqual(t, of(changed(func(*load.Load) {})), base)
	for _, tc := range []struct {
		name   string
		change func(*load.Seeds)
		differ func(*choices) *any
	}{
		{"text", func(s *load.Seeds) { s.Text = 2 }, func(c *choices) *any { return &c.Text }},
		{"length", func(s *load.Seeds) { s.Length = 2 }, func(c *choices) *any { return &c.Lengths }},
		{"order", func(s *load.Seeds) { s.Order = 2 }, func(c *choices) *any { return &c.Order }},
		{"schedule", func(s *load.Seeds) { s.Schedule = 2 }, func(c *choices) *any { return &c.Schedule }},
		{"think", func(s *load.Seeds) { s.Think = 2 }, func(c *choices) *any { return &c.Think }},
		{"cancel", func(s *load.Seeds) { s.Cancel = 2 }, func(c *choices) *any { return &c.Cancel }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := of(changed(func(l *load.Load) { tc.change(&l.Seeds) }))
			want := base
			assert.Assert(t, *tc.differ(&got) != *tc.differ(&want), "another seed, the same choices")
			*tc.differ(&got) = *tc.differ(&want)
			assert.DeepEqual(t, got, want)
		})
	}
}

// Prompts whose traces share blocks begin alike, as far as they share them and no further.
func TestTraceSharesPrefixes(t *testing.T) {
	trace, err := load.ReadTrace("trace.jsonl", strings.NewReader(`
{"timestamp": 0, "input_length": 1200, "output_length": 10, "hash_ids": [1, 2, 3]}
{"timestamp": 10, "input_length": 1536, "output_length": 20, "hash_ids": [1, 2, 4], "more": true}
{"timestamp": 10.5, "input_length": 30, "output_length": 30}
`))
	assert.NilError(t, err)
	synctest.Test(t, func(t *testing.T) {
		_, _, asked := (&fake{}).load(t, Plan{Loads: []load.Load{{Trace: trace, Lengths: 0.5}}})
		assert.Equal(t, len(asked), 3)
		slices.SortFunc(asked, func(a, b question) int { return a.MaxTokens - b.MaxTokens })
		first, second := strings.Fields(asked[0].text()), strings.Fields(asked[1].text())
		same := 0
		for same < len(first) && first[same] == second[same] {
			same++
		}
		assert.Equal(t, same, 2*128) // two blocks of 256 tokens, two tokens to a word
		assert.Equal(t, len(first), (1200/2)/2+4)
		assert.Equal(t, asked[2].MaxTokens, 15)
		assert.Assert(t, strings.Fields(asked[2].text())[0] != first[0])
	})
}

// A server that answers slower the more it has to do holds a limit up to some rate, and the search
// finds it.
func TestSearchFindsTheHighestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// At rate r and latency 100 ms, r/10 requests are in the server at once; each beyond the
		// first adds 100 ms.
		f := &fake{took: func(busy int) time.Duration { return time.Duration(busy) * 100 * ms }}
		most, err := limit.Parse("max-e2e <= 200ms")
		assert.NilError(t, err)
		plan := Plan{Loads: []load.Load{{Rate: load.Constant(1), Requests: 20}}, Search: &scenario.Search{Kind: "rate", Low: 1, High: 64, Within: 0.05, Limits: []limit.Limit{most}}}
		runs, highest, _ := f.load(t, plan)
		// Up to two at a time, and so up to 10 a second.
		assert.Assert(t, highest.Value > 9.5 && highest.Value <= 20, "%v", highest)
		var rates []float64
		for _, r := range runs {
			rates = append(rates, r.Level.Value)
			s := r.Summary()
			stands := most.Judge(&s).Standing
			assert.Equal(t, stands == limit.Met, r.Level.Value <= highest.Value, "at %v", r.Level)
		}
		assert.DeepEqual(t, rates[:4], []float64{1, 2, 4, 8})
		assert.Assert(t, len(runs) <= probes(plan.Search), "%d probes, announced were %d", len(runs), probes(plan.Search))
	})
}

func TestSearchOfConcurrency(t *testing.T) {
	for _, tc := range []struct {
		holds int
		want  load.Level
	}{{0, load.Level{}}, {1, load.Level{Kind: "concurrency", Value: 1}}, {13, load.Level{Kind: "concurrency", Value: 13}}, {99, load.Level{Kind: "concurrency", Value: 32}}} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{took: func(busy int) time.Duration {
				if busy > tc.holds {
					return time.Second
				}
				return 100 * ms
			}}
			most, _ := limit.Parse("max-e2e < 500ms")
			_, highest, _ := f.load(t, Plan{Loads: []load.Load{{Concurrency: 1, Requests: 100}},
				Search: &scenario.Search{Kind: "concurrency", Low: 1, High: 32, Within: 0.01, Limits: []limit.Limit{most}}})
			assert.Equal(t, highest, tc.want)
		})
	}
}

func TestSweepTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels := []load.Level{{Kind: "concurrency", Value: 1}, {Kind: "concurrency", Value: 4}}
		runs, _, asked := (&fake{}).load(t, Plan{Loads: []load.Load{{Requests: 8, Concurrency: 1}}, Levels: levels, Runs: 2})
		var order []string
		for _, r := range runs {
			order = append(order, fmt.Sprintf("%d %v %v", r.Index, r.Level, r.Elapsed))
			assert.Equal(t, r.Records[0].Level, r.Level)
		}
		assert.DeepEqual(t, order, []string{"0 concurrency=1 800ms", "0 concurrency=4 200ms", "1 concurrency=1 800ms", "1 concurrency=4 200ms"})
		texts, agents := map[string]bool{}, map[string]bool{}
		for _, r := range asked {
			texts[r.text()], agents[r.agent] = true, true
		}
		assert.Equal(t, len(texts), 32) // nothing is asked twice: every run is cold
		assert.Equal(t, len(agents), 32)
	})
}

func TestCacheStates(t *testing.T) {
	base := load.Load{Concurrency: 2, Requests: 6, Turns: load.Endless, Prompt: load.Fixed(40)}
	t.Run("warm", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, resets := base, 0
			l.Cache = load.Hot
			f := &fake{}
			runs, _, asked := f.load(t, Plan{Loads: []load.Load{l}, Reset: func(context.Context) error { resets++; return nil }})
			assert.Equal(t, resets, 1)
			assert.Equal(t, len(asked), 8)
			assert.Equal(t, len(runs[0].Records), 6)
			for _, r := range runs[0].Records {
				assert.Assert(t, r.Turn > 0 && !r.Warmup)
				assert.Equal(t, r.Cache, load.Hot)
			}
			assert.Equal(t, len(runs[0].Warmup), 2+warmUpQuestions)
		})
	})
	t.Run("restored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := base
			l.Cache = "restored"
			f := &fake{}
			at := 0
			runs, _, _ := f.load(t, Plan{Loads: []load.Load{l}, Reset: func(context.Context) error { at = len(f.asked); return nil }})
			assert.Equal(t, at, warmUpQuestions+2) // between the first turns and the measured ones
			assert.Equal(t, runs[0].Cache, load.Restored)
		})
	})
	t.Run("not as cold as it was called", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := base
			l.Cache, l.Turns = "cold", load.Amount{}
			h, _ := serve(t, (&fake{cached: 1000}).ServeHTTP)
			runs, _, err := Plan{Loads: []load.Load{l}, Runs: 1}.Run(t.Context(), h.Client)
			assert.ErrorContains(t, err, "it has seen this load before")
			assert.Equal(t, len(runs), 1)
		})
	})
	t.Run("a reset that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, f := base, &fake{}
			l.Cache = "cold"
			h, _ := serve(t, f.ServeHTTP)
			runs, _, err := Plan{Loads: []load.Load{l}, Runs: 1, Reset: func(context.Context) error { return errors.New("no such host") }}.Run(t.Context(), h.Client)
			assert.Error(t, err, "the server could not be reset: no such host")
			assert.Equal(t, len(runs), 0)
			assert.Equal(t, len(f.asked), warmUpQuestions)
		})
	})
}

func TestWarmUpIsCut(t *testing.T) {
	for _, tc := range []struct {
		name   string
		warmUp load.WarmUp
		want   int // requests left out
	}{
		{"none", load.WarmUp{}, 0},
		{"requests", load.WarmUp{Requests: 3}, 3},
		{"a time", load.WarmUp{Duration: 450 * ms}, 5},
		{"until it is steady", load.WarmUp{Auto: true}, 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				f := &fake{took: func(int) time.Duration {
					if n++; n <= 20+warmUpQuestions {
						return 900 * ms // until it has warmed up
					}
					return 100 * ms
				}}
				runs, _, _ := f.load(t, Plan{Loads: []load.Load{{Rate: load.Constant(10), Requests: 100, WarmUp: tc.warmUp}}})
				run := runs[0]
				assert.Equal(t, len(run.Records), 100-tc.want)
				assert.Equal(t, len(run.Warmup), tc.want+warmUpQuestions)
				assert.Equal(t, run.Records[0].Warmup, false)
				assert.DeepEqual(t, run.Steady, record.Steady{Found: true, Requests: 20, From: 2 * time.Second})
			})
		})
	}
}

// A load, or a level of one, of which nothing is measured is told, and not merely missing.
func TestNothingMeasured(t *testing.T) {
	few := load.Load{Name: "x", Concurrency: 1, Requests: 4, WarmUp: load.WarmUp{Requests: 4}}
	slow := load.Load{Name: "x", Rate: load.Constant(1), Gaps: 1, Duration: time.Second}
	rate := func(v float64) load.Level { return load.Level{Kind: "rate", Value: v} }
	for _, tc := range []struct {
		plan Plan
		want string
		runs int
	}{
		{Plan{Loads: []load.Load{few}}, "x: nothing was measured: the warm-up left out all of its 4 requests; it needs a shorter warm-up or more requests", 0},
		{Plan{Loads: []load.Load{slow}, Levels: []load.Level{rate(0.001), rate(20)}}, "x rate=0.001: nothing was measured: no request was due before its end; it needs a longer duration or a higher rate", 1},
		{Plan{Loads: []load.Load{slow}, Search: &scenario.Search{Kind: "rate", Low: 0.001, High: 20, Within: 0.1}}, "x rate=0.001: nothing was measured: no request was due before its end; it needs a longer duration or a higher rate", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, _ := serve(t, (&fake{}).ServeHTTP)
			runs, _, err := tc.plan.Run(t.Context(), h.Client)
			assert.Error(t, err, tc.want)
			assert.Equal(t, len(runs), tc.runs)
		})
	}
}

// A server that does not give back what a run took ends the measurement before the next run begins.
func TestLoadFindsLostBlocks(t *testing.T) {
	for _, leaked := range []int64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			server := &pool{blockTokens: 32}
			h, _ := serve(t, server.ServeHTTP)
			plan := Plan{Loads: []load.Load{{Name: "x", Concurrency: 2, Requests: 6, Cache: "cold"}}, Runs: 2}
			asked := 0
			plan.Progress = func(Progress) {
				if asked++; asked == 1 { // after the warm-up questions
					server.leaked.Store(leaked)
				}
			}
			runs, _, err := plan.Run(t.Context(), h.Client)
			if leaked == 0 {
				assert.NilError(t, err)
				assert.Equal(t, len(runs), 2)
				return
			}
			assert.ErrorContains(t, err, "the server does not recover: ")
			assert.ErrorContains(t, err, " blocks in use 10s after the last answer")
			assert.Equal(t, len(runs), 1)
			assert.Equal(t, len(runs[0].Records), 6)
		})
	}
}

// What ends a load early keeps it.
func TestLoadInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&fake{}).ServeHTTP)
		ctx, cancel := context.WithTimeout(t.Context(), 1250*ms)
		defer cancel()
		var last Progress
		plan := Plan{Loads: []load.Load{{Name: "x", Rate: load.Constant(10), Duration: 2 * time.Second, Cache: "cold"}}, Runs: 2, Progress: func(p Progress) { last = p }}
		runs, _, err := plan.Run(ctx, h.Client)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, len(runs), 1)
		// The warm-up questions took 200 ms, then one was due every 100 ms; the last was on its
		// way.
		assert.Equal(t, len(runs[0].Records), 11)
		assert.Equal(t, runs[0].Records[10].Outcome, record.Cancelled)
		assert.Assert(t, last.Part > 0.5 && last.Part < 1.01, "part %g", last.Part)
	})
}

// A load longer than what is kept of it: the records that are not kept are written, and the figures
// are those of all.
func TestLongLoadIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, stub.Server(ms).ServeHTTP)
		l := load.Load{Name: "long", Cache: "cold", Concurrency: 7, Requests: 5203, Prompt: load.Fixed(5), Answer: load.Fixed(3)}
		var written []record.Record
		plan := Plan{Loads: []load.Load{l}, Runs: 1, Keep: 1000, Write: func(batch []record.Record) error { written = append(written, batch...); return nil }}
		runs, _, err := plan.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		assert.Equal(t, len(runs[0].Records), 1000)
		assert.Equal(t, runs[0].Rest.Requests, 4203)
		assert.Equal(t, len(written), 4203)
		s := runs[0].Summary()
		pooled := record.Pool(runs)
		pooled.Window = s.Window // each run has its own
		assert.DeepEqual(t, pooled, s)
		want := record.Summarize("long", append(written, runs[0].Records...), runs[0].Elapsed, -1)
		want.Window = s.Window // which the run alone knows
		assert.Equal(t, s.Window.Begun, 5203)
		assert.DeepEqual(t, s, want)
		assert.Equal(t, s.Requests, 5203)
		// 744 rounds of seven requests of 2 ms, but for the last.
		assert.Equal(t, s.Elapsed, 744*2*ms)
		assert.Equal(t, len(runs[0].Violations), 0)
	})
}

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

// fake is a server in memory whose every answer takes 100 ms, and which remembers what it was asked.
type fake struct {
	mu    sync.Mutex
	asked []request
	busy  int // requests in the server now
	most  int

	took     func(busy int) time.Duration // of an answer with so many requests in the server; nil: 100 ms
	refuse   func(n int) bool             // the n-th request gets 429
	streamed int                          // pieces of an answer, 10 ms apart; 0: in one piece
	cached   int                          // tokens that it says were cached
}

type request struct {
	Messages  []Message
	MaxTokens int `json:"max_tokens"`
	Tools     []json.RawMessage
	agent     string
}

func (r request) text() string { return r.Messages[len(r.Messages)-1].Content }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	req := request{agent: r.Header.Get("X-Agent-ID")}
	json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	f.asked = append(f.asked, req)
	f.busy++
	n, busy := len(f.asked), f.busy
	f.most = max(f.most, busy)
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.busy--; f.mu.Unlock() }()
	if f.refuse != nil && f.refuse(n) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	took := 100 * ms
	if f.took != nil {
		took = f.took(busy)
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

func words2(r request) int {
	n := 0
	for _, m := range r.Messages {
		n += len(strings.Fields(m.Content))
	}
	return n
}

// warmUpQuestions is how many requests a plan begins with, to size up the server.
const warmUpQuestions = len(warmUpWords)

// load is a plan's result on the fake, the server's view of it without the warm-up questions.
func (f *fake) load(t *testing.T, plan LoadPlan) ([]Run, Level, []request) {
	t.Helper()
	h, _ := serve(t, f.ServeHTTP)
	if plan.Runs == 0 {
		plan.Runs = 1
	}
	if plan.Load.Cache == "" {
		plan.Load.Cache = "cold"
	}
	plan.Load.Name = "test"
	runs, highest, err := h.Client.RunLoad(t.Context(), plan)
	assert.NilError(t, err)
	return runs, highest, f.asked[warmUpQuestions:]
}

// due is when requests were due after the first.
func due(records []Record) []time.Duration {
	var all []time.Duration
	for _, r := range records {
		all = append(all, r.Due-records[0].Due)
	}
	return all
}

func TestOpenLoopSendsWhenDue(t *testing.T) {
	for _, tc := range []struct {
		name string
		load Load
		want []time.Duration
	}{
		{"constant", Load{Rate: Constant(20), Requests: 4}, []time.Duration{0, 50 * ms, 100 * ms, 150 * ms}},
		{"for a time", Load{Rate: Constant(20), Duration: 150 * ms}, []time.Duration{0, 50 * ms, 100 * ms}},
		{"bursts", Load{Burst: Burst{2, time.Second}, Requests: 5}, []time.Duration{0, 0, time.Second, time.Second, 2 * time.Second}},
		{"two turns with a pause", Load{Rate: Constant(1), Duration: 1500 * ms, Turns: Fixed(2), Think: Fixed(0.2)},
			[]time.Duration{0, 300 * ms, time.Second, 1300 * ms}},
		{"turns beyond the end are not asked", Load{Rate: Constant(1), Duration: 1200 * ms, Turns: Fixed(2), Think: Fixed(0.2)},
			[]time.Duration{0, 300 * ms, time.Second}},
		{"a trace at twice its speed", Load{Speed: 2, Trace: []TraceRequest{{At: time.Second, Input: 9, Output: 1}, {At: 2 * time.Second, Input: 9, Output: 1}}},
			[]time.Duration{0, 500 * ms}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs, _, _ := (&fake{}).load(t, LoadPlan{Load: tc.load})
				assert.DeepEqual(t, due(runs[0].Records), tc.want)
				for _, r := range runs[0].Records {
					assert.Equal(t, r.Outcome, OK, r.Error)
					assert.Equal(t, r.Sent, r.Due)
				}
			})
		})
	}
}

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		runs, _, asked := f.load(t, LoadPlan{Load: Load{Concurrency: 3, Requests: 10, RampUp: 90 * ms, Turns: Fixed(2)}})
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

// An agent's turns carry the conversation with the server's real answers, after the system prompt that it shares with others.
func TestTurnsCarryTheConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tools := []json.RawMessage{json.RawMessage(`{"type":"function","function":{"name":"f"}}`)}
		_, _, asked := (&fake{}).load(t, LoadPlan{Load: Load{Concurrency: 1, Requests: 9, Turns: Fixed(3), System: 2, SystemTokens: 40, Prompt: Fixed(30), Tools: tools}})
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

// After each answer three questions are asked in parallel, each going on from the conversation; the next turn waits for all of
// them and begins with their answers.
func TestFanOutJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		runs, _, asked := f.load(t, LoadPlan{Load: Load{Concurrency: 1, Requests: 5, Turns: Fixed(2), FanOut: Fixed(3)}})
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
		runs, _, _ := f.load(t, LoadPlan{Load: Load{Concurrency: 1, Requests: 2}})
		assert.Equal(t, runs[0].Records[0].Outcome, Rejected)
		assert.DeepEqual(t, due(runs[0].Records), []time.Duration{0, 2 * time.Second})
	})
}

func TestCancelAndSlowReaders(t *testing.T) {
	for _, tc := range []struct {
		name    string
		load    Load
		outcome Outcome
		plan    string
		chunks  int
		took    time.Duration
	}{
		{"after a time", Load{Cancel: Cancel{Share: 1, After: Fixed(0.035)}}, Cancelled, "cancel after 35ms", 3, 35 * ms},
		{"after pieces", Load{Cancel: Cancel{Share: 1, Pieces: Fixed(2)}}, Cancelled, "cancel after 2 pieces", 2, 20 * ms},
		{"the answer was faster", Load{Cancel: Cancel{Share: 1, After: Fixed(0.2)}}, OK, "cancel after 200ms", 5, 50 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{streamed: 5}
				tc.load.Concurrency, tc.load.Requests = 1, 1
				runs, _, _ := f.load(t, LoadPlan{Load: tc.load})
				r := runs[0].Records[0]
				assert.Equal(t, r.Outcome, tc.outcome, r.Error)
				assert.Equal(t, r.Plan, tc.plan)
				assert.Equal(t, len(r.Chunks), tc.chunks)
				assert.Equal(t, r.End-r.Due, tc.took)
			})
		})
	}
	t.Run("slow reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			runs, _, _ := (&fake{streamed: 5}).load(t, LoadPlan{Load: Load{Concurrency: 1, Requests: 1, Slow: Slow{Share: 1, Rate: 100}}})
			r := runs[0].Records[0]
			assert.Equal(t, r.Outcome, OK, r.Error)
			assert.Assert(t, r.Slow)
			// Five events of 48 bytes and the last two of 64 and 14 take 3.2 s at 100 bytes a second.
			assert.Assert(t, r.End-r.Due > 2500*ms && r.End-r.Due < 4*time.Second, "%v", r.End-r.Due)
			assert.Equal(t, runs[0].Summary().E2E.N, 0) // its times are not the server's
		})
	})
}

// The same seeds make the same load, request by request; another seed changes what it is for and nothing else.
func TestSeeds(t *testing.T) {
	load := func(change func(*Load)) Load {
		l := Load{Concurrency: 1, Seeds: OneSeed(1), Turns: Amount{Kind: "uniform", A: 1, B: 5}, Think: Amount{Kind: "exponential", A: 1},
			Prompt: Amount{Kind: "lognormal", A: 100, B: 50}, Answer: Amount{Kind: "normal", A: 50, B: 10}, FollowUp: Amount{Kind: "uniform", A: 1, B: 90},
			FanOut: Amount{Kind: "uniform", A: 0, B: 3}, System: 3, Prompts: nil, Slow: Slow{0.3, 100}, Cancel: Cancel{Share: 0.3, After: Amount{Kind: "exponential", A: 1}}}
		change(&l)
		return l
	}
	type choices struct {
		Lengths, Order, Think, Cancel, Schedule, Text any
	}
	of := func(l Load) choices {
		var c choices
		var lengths, order, think, cancel []any
		for agent := range 40 {
			lengths = append(lengths, l.turns(agent))
			order = append(order, l.shares(agent))
			for turn := range 3 {
				t := l.Turn(agent, turn, 0)
				lengths = append(lengths, t.Tokens, t.Answer, t.FanOut, l.Turn(agent, turn, 1).Tokens)
				think = append(think, t.Think)
				cancel = append(cancel, t.Cancel, t.Reading)
			}
		}
		rate := l
		rate.Concurrency, rate.Rate, rate.Gaps, rate.Requests = 0, Constant(10), 1, 100
		x := newLoadRun(l, nil, promptSize{0, 1}, Level{}, 0, "")
		c.Lengths, c.Order, c.Think, c.Cancel, c.Schedule = fmt.Sprint(lengths), fmt.Sprint(order), fmt.Sprint(think), fmt.Sprint(cancel), fmt.Sprint(rate.Arrivals())
		c.Text = x.question(3, 1, 0, Turn{Tokens: 10}) + x.conversation(3).Canary + strings.Join(x.systems, "")
		return c
	}
	base := of(load(func(*Load) {}))
	assert.DeepEqual(t, of(load(func(*Load) {})), base)
	for _, tc := range []struct {
		name   string
		change func(*Seeds)
		differ func(*choices) *any
	}{
		{"text", func(s *Seeds) { s.Text = 2 }, func(c *choices) *any { return &c.Text }},
		{"length", func(s *Seeds) { s.Length = 2 }, func(c *choices) *any { return &c.Lengths }},
		{"order", func(s *Seeds) { s.Order = 2 }, func(c *choices) *any { return &c.Order }},
		{"schedule", func(s *Seeds) { s.Schedule = 2 }, func(c *choices) *any { return &c.Schedule }},
		{"think", func(s *Seeds) { s.Think = 2 }, func(c *choices) *any { return &c.Think }},
		{"cancel", func(s *Seeds) { s.Cancel = 2 }, func(c *choices) *any { return &c.Cancel }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := of(load(func(l *Load) { tc.change(&l.Seeds) }))
			want := base
			assert.Assert(t, *tc.differ(&got) != *tc.differ(&want), "another seed, the same choices")
			*tc.differ(&got) = *tc.differ(&want)
			assert.DeepEqual(t, got, want)
		})
	}
}

// Prompts whose traces share blocks begin alike, as far as they share them and no further.
func TestTraceSharesPrefixes(t *testing.T) {
	trace, err := ReadTrace("trace.jsonl", strings.NewReader(`
{"timestamp": 0, "input_length": 1200, "output_length": 10, "hash_ids": [1, 2, 3]}
{"timestamp": 10, "input_length": 1536, "output_length": 20, "hash_ids": [1, 2, 4], "more": true}
{"timestamp": 10.5, "input_length": 30, "output_length": 30}
`))
	assert.NilError(t, err)
	synctest.Test(t, func(t *testing.T) {
		_, _, asked := (&fake{}).load(t, LoadPlan{Load: Load{Trace: trace, Lengths: 0.5}})
		assert.Equal(t, len(asked), 3)
		slices.SortFunc(asked, func(a, b request) int { return a.MaxTokens - b.MaxTokens })
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

func TestBadTraces(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "t:"},
		{"{\"timestamp\": 0, \"input_length\": 10, \"output_length\": 1}\n\nnonsense", "t:3: no JSON object"},
		{`{"timestamp": 0, "input_length": 10}`, "t:1: want timestamp, input_length and output_length"},
		{`{"timestamp": -1, "input_length": 10, "output_length": 1}`, "t:1: timestamp -1"},
		{`{"timestamp": 0, "input_length": 0, "output_length": 1}`, "t:1: input_length 0"},
		{`{"timestamp": 0, "input_length": 10, "output_length": -4}`, "t:1: output_length -4"},
		{`{"timestamp": 0, "input_length": 1025, "output_length": 1, "hash_ids": [1, 2]}`, "t:1: 2 hash_ids for 1025 tokens: want 3"},
		{"{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1}\n{\"timestamp\": 4, \"input_length\": 1, \"output_length\": 1}", "t:2: timestamp 4 is before the last one, 5"},
	} {
		_, err := ReadTrace("t", strings.NewReader(tc.text))
		assert.ErrorContains(t, err, tc.want)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"timestamp": 0, "input_length": 600, "output_length": 50, "hash_ids": [0, 1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		trace, err := ReadTrace("t", bytes.NewReader(text))
		if err != nil {
			return
		}
		l := Load{Trace: trace}
		if !slices.IsSorted(l.Arrivals()) {
			t.Fatal("not in order")
		}
	})
}

// A server that answers slower the more it has to do holds a limit up to some rate, and the search finds it.
func TestSearchFindsTheHighestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// At rate r and latency 100 ms, r/10 requests are in the server at once; each beyond the first adds 100 ms.
		f := &fake{took: func(busy int) time.Duration { return time.Duration(busy) * 100 * ms }}
		limit, err := ParseLimit("max-e2e <= 200ms")
		assert.NilError(t, err)
		plan := LoadPlan{Load: Load{Rate: Constant(1), Requests: 20}, Search: &Search{Kind: "rate", Low: 1, High: 64, Within: 0.05, Limits: []Limit{limit}}}
		runs, highest, _ := f.load(t, plan)
		// Up to two at a time, and so up to 10 a second.
		assert.Assert(t, highest.Value > 9.5 && highest.Value <= 20, "%v", highest)
		var rates []float64
		for _, r := range runs {
			rates = append(rates, r.Level.Value)
			s := r.Summary()
			_, _, holds := limit.Check(&s)
			assert.Equal(t, holds, r.Level.Value <= highest.Value, "at %v", r.Level)
		}
		assert.DeepEqual(t, rates[:4], []float64{1, 2, 4, 8})
		assert.Assert(t, len(runs) <= plan.Search.probes(), "%d probes, announced were %d", len(runs), plan.Search.probes())
		above := slices.Max(slices.DeleteFunc(slices.Clone(rates), func(v float64) bool { return v > highest.Value*1.0501 }))
		assert.Assert(t, above > 0)
	})
}

func TestSearchOfConcurrency(t *testing.T) {
	for _, tc := range []struct {
		holds int
		want  Level
	}{{0, Level{}}, {1, Level{"concurrency", 1}}, {13, Level{"concurrency", 13}}, {99, Level{"concurrency", 32}}} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{took: func(busy int) time.Duration {
				if busy > tc.holds {
					return time.Second
				}
				return 100 * ms
			}}
			limit, _ := ParseLimit("max-e2e < 500ms")
			_, highest, _ := f.load(t, LoadPlan{Load: Load{Concurrency: 1, Requests: 100},
				Search: &Search{Kind: "concurrency", Low: 1, High: 32, Within: 0.01, Limits: []Limit{limit}}})
			assert.Equal(t, highest, tc.want)
		})
	}
}

func TestSweepTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels := []Level{{"concurrency", 1}, {"concurrency", 4}}
		runs, _, asked := (&fake{}).load(t, LoadPlan{Load: Load{Requests: 8, Concurrency: 1}, Levels: levels, Runs: 2})
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
	load := Load{Concurrency: 2, Requests: 6, Turns: Endless, Prompt: Fixed(40)}
	t.Run("warm", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, resets := load, 0
			l.Cache = "warm"
			f := &fake{}
			runs, _, asked := f.load(t, LoadPlan{Load: l, Reset: func(context.Context) error { resets++; return nil }})
			assert.Equal(t, resets, 1)
			assert.Equal(t, len(asked), 8)
			assert.Equal(t, len(runs[0].Records), 6)
			for _, r := range runs[0].Records {
				assert.Assert(t, r.Turn > 0 && !r.Warmup)
				assert.Equal(t, r.Cache, "warm")
			}
			assert.Equal(t, len(runs[0].Warmup), 2+warmUpQuestions)
		})
	})
	t.Run("restored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := load
			l.Cache = "restored"
			f := &fake{}
			at := 0
			runs, _, _ := f.load(t, LoadPlan{Load: l, Reset: func(context.Context) error { at = len(f.asked); return nil }})
			assert.Equal(t, at, warmUpQuestions+2) // between the first turns and the measured ones
			assert.Equal(t, runs[0].Cache, "restored")
		})
	})
	t.Run("not as cold as it was called", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := load
			l.Cache, l.Turns = "cold", Amount{}
			h, _ := serve(t, (&fake{cached: 1000}).ServeHTTP)
			runs, _, err := h.Client.RunLoad(t.Context(), LoadPlan{Load: l, Runs: 1})
			assert.ErrorContains(t, err, "it has seen this load before")
			assert.Equal(t, len(runs), 1)
		})
	})
	t.Run("a reset that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, f := load, &fake{}
			l.Cache = "cold"
			h, _ := serve(t, f.ServeHTTP)
			runs, _, err := h.Client.RunLoad(t.Context(), LoadPlan{Load: l, Runs: 1, Reset: func(context.Context) error { return errors.New("no such host") }})
			assert.Error(t, err, "the server could not be reset: no such host")
			assert.Equal(t, len(runs), 0)
			assert.Equal(t, len(f.asked), warmUpQuestions)
		})
	})
}

func TestWarmUpIsCut(t *testing.T) {
	for _, tc := range []struct {
		name   string
		warmUp WarmUp
		want   int // requests left out
	}{
		{"none", WarmUp{}, 0},
		{"requests", WarmUp{Requests: 3}, 3},
		{"a time", WarmUp{Duration: 450 * ms}, 5},
		{"until it is steady", WarmUp{Auto: true}, 20},
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
				runs, _, _ := f.load(t, LoadPlan{Load: Load{Rate: Constant(10), Requests: 100, WarmUp: tc.warmUp}})
				run := runs[0]
				assert.Equal(t, len(run.Records), 100-tc.want)
				assert.Equal(t, len(run.Warmup), tc.want+warmUpQuestions)
				assert.Equal(t, run.Records[0].Warmup, false)
				assert.DeepEqual(t, run.Steady, Steady{Found: true, Requests: 20, From: 2 * time.Second})
			})
		})
	}
}

// A server that does not keep up has no steady state, and too few requests show none.
func TestNoSteadyState(t *testing.T) {
	grown := func(latency func(i int) time.Duration) []Record {
		var records []Record
		for i := range 200 {
			at := time.Duration(i) * time.Second
			records = append(records, Record{Due: at, End: at + latency(i), Outcome: OK})
		}
		return records
	}
	assert.DeepEqual(t, findSteady(grown(func(i int) time.Duration { return time.Duration(i) * ms })), Steady{Growing: true})
	assert.DeepEqual(t, findSteady(grown(func(i int) time.Duration { return time.Duration(i*i) * ms })), Steady{Growing: true})
	noise := draw(1, "noise")
	flat := grown(func(int) time.Duration { return time.Duration(50+noise.IntN(100)) * ms })
	assert.Assert(t, findSteady(flat).Found && !findSteady(flat).Growing)
	assert.DeepEqual(t, findSteady(flat[:20]), Steady{})
	half := grown(func(i int) time.Duration { return time.Duration(max(10, 1000-6*i)) * ms })
	assert.DeepEqual(t, findSteady(half), Steady{})
}

func TestAmounts(t *testing.T) {
	number := func(s string) (float64, error) { return quantity(s) }
	for _, tc := range []struct {
		text            string
		mean, deviation float64
	}{
		{"64", 64, 0}, {"uniform 10 20", 15, 3.16}, {"normal 100 10", 100, 10}, {"lognormal 200 300", 200, 300}, {"exponential 50", 50, 50},
	} {
		a, err := ParseAmount(tc.text, number)
		assert.NilError(t, err)
		assert.Equal(t, a.String(), tc.text)
		var sum, squares float64
		const n = 40000
		rng := draw(1, tc.text)
		for range n {
			v := float64(a.count(rng, 0))
			sum, squares = sum+v, squares+v*v
		}
		mean := sum / n
		assert.Assert(t, math.Abs(mean-tc.mean) < 0.03*tc.mean, "%s: mean %g", tc.text, mean)
		assert.Assert(t, math.Abs(math.Sqrt(squares/n-mean*mean)-tc.deviation) < 0.1*tc.deviation+0.1, "%s: deviation %g", tc.text, math.Sqrt(squares/n-mean*mean))
	}
	a, err := ParseAmount("lognormal 200 300 max 250", number)
	assert.NilError(t, err)
	rng := draw(1, "max")
	for range 1000 {
		assert.Assert(t, a.Draw(rng) <= 250)
	}
	for _, bad := range []string{"", "uniform 3", "uniform 5 3", "normal -1 2", "6 7", "weibull 1 2", "5 max 0", "many", "lognormal 0 1"} {
		_, err := ParseAmount(bad, number)
		assert.Assert(t, err != nil, "%q is taken for an amount", bad)
	}
}

func TestLimits(t *testing.T) {
	s := Summarize("x", []Record{{Outcome: OK, FirstContent: 100 * ms, End: 200 * ms}, {Outcome: Rejected}}, time.Second, -1)
	for text, want := range map[string]bool{
		"p95-ttft < 150ms": true, "p95-ttft<100ms": false, "p95-ttft <= 100ms": true, "rejected > 0": true, "rejected == 1": true,
		"failed == 0": true, "reject-ratio <= 50%": true, "error-ratio <= 0": true, "hit-ratio > 0": false, "peak-pool-ratio < 1": false, "req/s >= 1": true,
	} {
		l, err := ParseLimit(text)
		assert.NilError(t, err)
		_, _, holds := l.Check(&s)
		assert.Equal(t, holds, want, text)
	}
	for _, bad := range []string{"", "p95-ttft", "p95-tfft < 1s", "p95-ttft < 200", "ok = 3", "ok > many", "< 3"} {
		_, err := ParseLimit(bad)
		assert.Assert(t, err != nil, "%q is taken for a limit", bad)
	}
}

// A server that does not give back what a run took ends the measurement before the next run begins.
func TestLoadFindsLostBlocks(t *testing.T) {
	for _, leaked := range []int64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			server := &pool{blockTokens: 32}
			h, _ := serve(t, server.ServeHTTP)
			plan := LoadPlan{Load: Load{Name: "x", Concurrency: 2, Requests: 6, Cache: "cold"}, Runs: 2}
			asked := 0
			plan.Progress = func(Progress) {
				if asked++; asked == 1 { // after the warm-up questions
					server.leaked.Store(leaked)
				}
			}
			runs, _, err := h.Client.RunLoad(t.Context(), plan)
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
		plan := LoadPlan{Load: Load{Name: "x", Rate: Constant(10), Duration: 2 * time.Second, Cache: "cold"}, Runs: 2, Progress: func(p Progress) { last = p }}
		runs, _, err := h.Client.RunLoad(ctx, plan)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, len(runs), 1)
		// The warm-up questions took 200 ms, then one was due every 100 ms; the last was on its way.
		assert.Equal(t, len(runs[0].Records), 11)
		assert.Equal(t, runs[0].Records[10].Outcome, Cancelled)
		assert.Assert(t, last.Part > 0.5 && last.Part < 1.01, "part %g", last.Part)
	})
}

// A load longer than what is kept of it: the records that are not kept are written, and the figures are those of all.
func TestLongLoadIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, NullServer(ms).ServeHTTP)
		load := Load{Name: "long", Cache: "cold", Concurrency: 7, Requests: 5203, Prompt: Fixed(5), Answer: Fixed(3)}
		var written []Record
		plan := LoadPlan{Load: load, Runs: 1, Keep: 1000, Write: func(batch []Record) error { written = append(written, batch...); return nil }}
		runs, _, err := h.Client.RunLoad(t.Context(), plan)
		assert.NilError(t, err)
		assert.Equal(t, len(runs[0].Records), 1000)
		assert.Equal(t, runs[0].Rest.Requests, 4203)
		assert.Equal(t, len(written), 4203)
		s := runs[0].Summary()
		assert.DeepEqual(t, Pool(runs), s)
		want := Summarize("long", append(written, runs[0].Records...), runs[0].Elapsed, -1)
		assert.DeepEqual(t, s, want)
		assert.Equal(t, s.Requests, 5203)
		// 744 rounds of seven requests of 2 ms, but for the last.
		assert.Equal(t, s.Elapsed, 744*2*ms)
		assert.Equal(t, len(runs[0].Rest.Violations), 0)
	})
}

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

// pipes is a network in memory, so that client and server can share a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serve returns a harness whose server is h, and what kills that server.
func serve(t *testing.T, h http.HandlerFunc) (*StressTestHarness, func()) {
	network := &pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: h}
	go server.Serve(network)
	c := newClient("http://server", &http.Transport{DialContext: network.Dial, MaxIdleConnsPerHost: 100})
	t.Cleanup(func() {
		c.Close()
		server.Shutdown(context.Background()) // waits for its handlers
	})
	return &StressTestHarness{Client: c}, func() { server.Close() }
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
		records, err := h.RunSustained(t.Context(), 2, 4, func(int) Prompt { return Prompt{} })
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
		assert.Equal(t, h.InFlight(), 0)
	})
}

// An agent's next turn is due when its last answer ends and has the whole conversation in it, but for turns that were
// not answered.
func TestAgentsKeepTheirConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Messages []Message }
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
		assert.Equal(t, records[1].Outcome, Rejected)
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
		assert.Equal(t, records[2].Outcome, OK)
		assert.Equal(t, records[3].Outcome, Refused)
	})
}

// pool is a server with a KV pool of 1000 blocks, of which a request holds those it may need for 100 ms.
type pool struct {
	blockTokens        int64
	used, leaked, most atomic.Int64 // blocks in use, lost by each request, needed by the largest
}

func (p *pool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		used := p.used.Load()
		fmt.Fprintf(w, "loadstone_pool_blocks{state=\"used\"} %d\nloadstone_pool_blocks{state=\"free\"} %d\n", used, 1000-used)
		fmt.Fprintf(w, "loadstone_pool_block_tokens %d\nloadstone_pool_utilization_ratio %g\n", p.blockTokens, float64(used)/1000)
		return
	}
	var body struct {
		MaxTokens int `json:"max_tokens"`
		Messages  []Message
	}
	json.NewDecoder(r.Body).Decode(&body)
	prompt := 60 // the template's own, and two a word
	for _, m := range body.Messages {
		prompt += 2 * len(strings.Fields(m.Content))
	}
	blocks := (int64(prompt+body.MaxTokens) + p.blockTokens - 1) / p.blockTokens
	p.used.Add(blocks)
	p.most.Store(max(p.most.Load(), blocks))
	time.Sleep(100 * ms)
	p.used.Add(-blocks)
	p.used.Add(p.leaked.Load())
	fmt.Fprintf(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":1}}`, prompt)
}

func TestRunRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&pool{blockTokens: 32}).ServeHTTP)
		var last Progress
		plan := Plan{Scenarios: Scenarios, Runs: 2, Reps: 3, PromptTokens: 300, MaxTokens: 20, Seed: 1, Progress: func(p Progress) { last = p }}
		runs, err := h.Client.Run(t.Context(), plan)
		assert.NilError(t, err)
		var order []string
		for _, r := range runs {
			order = append(order, fmt.Sprintf("%d %s %d", r.Index, r.Scenario, len(r.Records)))
			s := r.Summary()
			assert.Equal(t, s.Outcomes[OK], len(r.Records))
			assert.Equal(t, s.Reps, 3)
			if r.Scenario != "pool-pressure" {
				assert.Equal(t, s.E2E.Max, 100*ms)
				assert.Equal(t, s.Elapsed, 300*ms) // one after the other, without the first turns
			}
			for _, record := range r.Records {
				assert.Equal(t, record.Turn > 0, r.Scenario != "single-cold" && r.Scenario != "pool-pressure")
			}
		}
		assert.DeepEqual(t, order, []string{
			"0 single-cold 3", "0 single-cached 3", "0 concurrent-5 15", "0 concurrent-10 30", "0 pool-pressure 48",
			"1 single-cold 3", "1 single-cached 3", "1 concurrent-5 15", "1 concurrent-10 30", "1 pool-pressure 48",
		})
		pressed := runs[4].PeakPool
		assert.Equal(t, pressed, 0.89) // every block of it
		both := Pool([]Run{runs[4], runs[9]})
		assert.Equal(t, both.PeakPool, max(pressed, runs[9].PeakPool))
		assert.Equal(t, both.Reps, 6)
		assert.Equal(t, both.Elapsed, runs[4].Elapsed+runs[9].Elapsed)
		assert.Equal(t, last.Done, 30)
		assert.Equal(t, last.Total, 30)
		assert.Equal(t, last.Outcomes[OK], 2*(3+3+15+30+48))
	})
}

func TestPromptSize(t *testing.T) {
	for _, tc := range []struct {
		name          string
		tokens        [2]int // of 50 and of 200 words
		want          promptSize
		words, ofMore int // for 64 tokens in a first prompt, and for 8 more
		tokensOf10    int
	}{
		{"a template's constant", [2]int{130, 430}, promptSize{30, 2}, 17, 4, 50},
		{"a word is a token", [2]int{50, 200}, promptSize{0, 1}, 64, 8, 10},
		{"longer than asked for already", [2]int{150, 300}, promptSize{100, 1}, 1, 8, 110},
		{"no usage", [2]int{-1, -1}, promptSize{0, 4.0 / 3}, 48, 6, 13},
		{"usage that means nothing", [2]int{7, 7}, promptSize{0, 4.0 / 3}, 48, 6, 13},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := fitPromptSize(warmUpWords, tc.tokens)
			assert.Equal(t, got, tc.want)
			assert.Equal(t, got.words(64), tc.words)
			assert.Equal(t, got.more(8), tc.ofMore)
			assert.Equal(t, got.tokens(10), tc.tokensOf10)
		})
	}
}

// Blocks that do not come back after a load end the measurement, and what was measured stays.
func TestRunFindsLostBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pool{blockTokens: 32}
		server.leaked.Store(1)
		h, _ := serve(t, server.ServeHTTP)
		pressure, err := FindScenario("pool-pressure")
		assert.NilError(t, err)
		runs, err := h.Client.Run(t.Context(), Plan{Scenarios: []Scenario{pressure}, Runs: 1, Reps: 3, PromptTokens: 300, MaxTokens: 20})
		assert.Error(t, err, "pool-pressure: the pool does not recover: 18 blocks still reserved 10s after the last answer, 2 before the load")
		assert.Equal(t, len(runs[0].Records), 16)
	})
}

// A pool that 16 requests of a sane length cannot fill gets more of them.
func TestPressureOnALargePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pool{blockTokens: 512}
		h, _ := serve(t, server.ServeHTTP)
		pressure, err := FindScenario("pool-pressure")
		assert.NilError(t, err)
		runs, err := h.Client.Run(t.Context(), Plan{Scenarios: []Scenario{pressure}, Runs: 1, Reps: 1, PromptTokens: 300, MaxTokens: 20})
		assert.NilError(t, err)
		assert.Equal(t, len(runs[0].Records), 19) // 0.89*512000/24576
		assert.Assert(t, server.most.Load()*512 <= 24<<10)
		assert.Assert(t, runs[0].PeakPool > 0.8, "%g of the pool", runs[0].PeakPool)
	})
}

// What ends a measurement early keeps it.
func TestRunInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			time.Sleep(100 * ms)
			fmt.Fprint(w, answered)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 550*ms)
		defer cancel()
		runs, err := h.Client.Run(ctx, Plan{Scenarios: Scenarios[:1], Runs: 10, Reps: 2, PromptTokens: 300, MaxTokens: 20})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		// The warm-up took the first 200 ms; the fourth request was on its way.
		assert.Equal(t, len(runs), 2)
		assert.Equal(t, runs[1].Records[0].Outcome, OK)
		assert.Equal(t, runs[1].Records[1].Outcome, Cancelled)
		assert.Equal(t, runs[1].PeakPool, -1.0)
	})
}

func TestRecordsOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	records := []Record{
		{Scenario: "x", Agent: "a", Chunks: []time.Duration{1, 2}, Outcome: OK, Answer: "secret"},
		{Scenario: "x", Outcome: Refused, Error: "no"},
	}
	assert.NilError(t, WriteRecords(path, records, false))
	info, err := os.Stat(path)
	assert.NilError(t, err)
	assert.Equal(t, info.Mode().Perm(), os.FileMode(0o600))
	f, err := os.Open(path)
	assert.NilError(t, err)
	defer f.Close()
	got, err := ReadRecords(f)
	assert.NilError(t, err)
	records[0].Answer = ""
	assert.DeepEqual(t, got, records)

	got, err = ReadRecords(strings.NewReader(`{"scenario":"x"}` + "\n" + `{"scena`))
	assert.ErrorContains(t, err, "record 2")
	assert.Equal(t, len(got), 1)
}

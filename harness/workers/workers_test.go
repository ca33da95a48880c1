package workers_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/workers"
	"loadstone/internal/broker"
	"loadstone/internal/peer"
)

// echoing is a server whose answer is a function of the prompt alone.
func echoing(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var asked struct{ Messages []json.RawMessage }
	json.NewDecoder(r.Body).Decode(&asked)
	h, words := sha256.New(), 0
	for _, m := range asked.Messages {
		h.Write(m)
		words += len(strings.Fields(string(m)))
	}
	fmt.Fprintf(w, `{"choices":[{"message":{"content":"so %x"},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":%d,"completion_tokens":9}}`, h.Sum(nil)[:4], words)
}

// natsWith starts a NATS server with n workers in this process.
func natsWith(t testing.TB, n int) (url string, end []func()) {
	t.Helper()
	s, err := broker.Serve("127.0.0.1:0", "")
	assert.NilError(t, err)
	t.Cleanup(s.Close)
	return s.URL, join(t, s.URL, broker.Access{}, n)
}

// join lets n workers in this process join a NATS server.
func join(t testing.TB, url string, access broker.Access, n int) (end []func()) {
	t.Helper()
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		nc, err := broker.Connect(url, access, "worker")
		assert.NilError(t, err)
		w := workers.Worker{Log: io.Discard}
		running.Go(func() {
			defer nc.Close()
			assert.Check(t, w.Run(ctx, nc))
		})
		end = append(end, cancel)
	}
	return end
}

// crew is a coordinator with all workers.
func crew(t *testing.T, url string, n int, target string, c *client.Client) *workers.Coordinator {
	t.Helper()
	return crewOf(t, url, broker.Access{}, n, workers.Target{URL: target}, c)
}

func crewOf(t *testing.T, url string, access broker.Access, n int, target workers.Target,
	c *client.Client) *workers.Coordinator {
	t.Helper()
	nc, err := broker.Connect(url, access, "coordinator")
	assert.NilError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	co, err := workers.Call(ctx, nc, n)
	assert.NilError(t, err)
	t.Cleanup(co.Close)
	assert.NilError(t, co.Claim(t.Context(), target, c.Since))
	return co
}

// measure carries a plan out, by n workers, or by this process where there are none.
func measure(t *testing.T, n int, plan harness.Plan) record.Run {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(echoing))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	if n > 0 {
		url, _ := natsWith(t, n)
		plan.Crew = crew(t, url, n, server.URL, c)
	}
	runs, _, err := plan.Run(t.Context(), c)
	assert.NilError(t, err)
	assert.Equal(t, len(runs), 1)
	assert.Equal(t, len(runs[0].Violations), 0, "%v", runs[0].Violations)
	return runs[0]
}

// requests are those of a run, a line each, in the order of their agents: who asked, what, and, in
// an open loop, when the session began. The endings of agents' names, which are new in every run,
// are left out.
func requests(run *record.Run, open bool) []string {
	first := time.Duration(1 << 62)
	for _, r := range run.Records {
		first = min(first, r.Due)
	}
	var all []string
	for _, r := range slices.Concat(run.Warmup, run.Records) {
		if r.Intent == record.IntentAgain || !strings.HasPrefix(r.Agent, "load-") {
			continue
		}
		parts := strings.SplitN(r.Agent, "-", 3)
		_, aside, _ := strings.Cut(parts[2], ":")
		when := ""
		if open && r.Begins {
			when = (r.Due - first).String()
		}
		all = append(all, fmt.Sprintf("%s%s turn %d round %d %s asks %s for %d, %s", parts[1], aside, r.Turn, r.Rep,
			r.Intent, r.AskedDigest, r.MaxTokens, when))
	}
	slices.Sort(all)
	return all
}

// What four workers ask together is what one process asks, request by request: the same agents with
// the same prompts, answers' bounds and fates, at the same times. That is so of every kind of load.
// The run can be made again from its seeds, and conservation holds across processes.
func TestSameRequests(t *testing.T) {
	source := func(name string) []load.Session {
		s, err := load.OpenSource(filepath.Join("..", "load", "testdata", "sources", name), 0)
		assert.NilError(t, err)
		return s.Sessions
	}
	for name, l := range map[string]load.Load{
		"closed":   {Concurrency: 10, Jobs: 34, Turns: load.Fixed(3), FanOut: load.Fixed(2), System: 2, SystemTokens: 30},
		"requests": {Concurrency: 6, Requests: 45},
		"few":      {Concurrency: 2, Requests: 5},
		"rounds":   {Together: 6, Rounds: 5, Turns: load.Fixed(2), Cache: load.Hot},
		"even":     {Rate: load.Constant(200), Requests: 50},
		"Poisson":  {Rate: load.Constant(150), Gaps: 1, Jobs: 45, Turns: load.Fixed(2), Think: load.Fixed(0.01)},
		// One turn each: whether a second one is due in time is for the server to decide.
		"timed": {Rate: load.Constant(150), Gaps: 1, Duration: 300 * time.Millisecond},
		"burst": {Burst: load.Burst{Size: 23}},
		"agents": {Concurrency: 3, Jobs: 9, Turns: load.Fixed(4), Compact: load.Compaction{At: load.Fixed(300), To: load.Fixed(40)},
			SubAgents: load.SubAgents{Number: load.Fixed(2), Calls: load.Fixed(2), Share: 0.5}},
		"trace": {Trace: []load.TraceRequest{{Input: 90, Output: 3}, {At: 20 * time.Millisecond, Input: 70, Output: 9},
			{At: 20 * time.Millisecond, Input: 64, Output: 1}, {At: 40 * time.Millisecond, Input: 5, Output: 5}}},
		"recorded":    {Sessions: source("agentperf.jsonl"), Concurrency: 2, Replay: load.Replay{Idle: time.Millisecond}},
		"as recorded": {Sessions: source("weka.json"), AsRecorded: true, Speed: 1e6, Replay: load.Replay{Idle: time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			l.Name = "load"
			open := l.Concurrency+l.Together == 0
			plan := harness.Plan{Loads: []load.Load{l}, Again: 2}
			alone := measure(t, 0, plan)
			want := requests(&alone, open)
			assert.Assert(t, len(want) > 3)
			run := measure(t, 4, plan)
			assert.DeepEqual(t, requests(&run, open), want)
			sameCeilings(t, &alone, &run, l.System > 0 || l.Sessions != nil || l.SubAgents.Share > 0)
			assert.Assert(t, run.Window != nil)
			assert.Equal(t, run.Window.Begun, len(want))
			if run.Asked == nil {
				return
			}
			assert.Equal(t, run.Asked.Parts, 4)
			d := harness.Derivation{Scenario: "load", Run: 0, Complete: true}
			records := slices.DeleteFunc(slices.Concat(run.Warmup, run.Records),
				func(r record.Record) bool { return strings.HasPrefix(r.Agent, "warm-up") })
			n, found, err := d.Derive(run.Asked, records)
			assert.NilError(t, err)
			assert.Equal(t, len(found), 0, "%v", found)
			assert.Equal(t, n, len(records))
		})
	}
}

// sameCeilings holds what an endless cache would have had of each prompt of workers to that of one
// process: of each request, or, where agents share beginnings of prompts, so that it depends on
// which of them comes first, of all together.
func sameCeilings(t *testing.T, alone, run *record.Run, shared bool) {
	t.Helper()
	ceilings := func(run *record.Run) (of map[string]int, sum int) {
		of = map[string]int{}
		for _, r := range slices.Concat(run.Warmup, run.Records) {
			if parts := strings.SplitN(r.Agent, "-", 3); len(parts) == 3 && r.Intent != record.IntentAgain {
				_, aside, _ := strings.Cut(parts[2], ":")
				of[fmt.Sprintf("%s%s turn %d round %d asks %s", parts[1], aside, r.Turn, r.Rep, r.AskedDigest)] += r.CeilingTokens
				sum += r.CeilingTokens
			}
		}
		return of, sum
	}
	want, all := ceilings(alone)
	have, together := ceilings(run)
	if shared {
		assert.Assert(t, all > 0 && together > all*9/10 && together < all*11/10, "%d, and of one process %d", together, all)
		return
	}
	assert.DeepEqual(t, have, want)
}

// Recorded traffic comes to a worker as it was read, whatever its form.
func TestRecordedTrafficOnTheWire(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "load", "testdata", "sources", "*"))
	assert.NilError(t, err)
	n := 0
	for _, name := range files {
		source, err := load.OpenSource(name, 0)
		if err != nil || strings.HasSuffix(name, ".golden") {
			continue
		}
		l := load.Load{Sessions: source.Sessions, Trace: source.Requests}
		got, err := workers.OverTheWire(l)
		assert.NilError(t, err)
		assert.Assert(t, reflect.DeepEqual(got.Trace, l.Trace), name)
		assert.Equal(t, len(got.Sessions), len(l.Sessions), name)
		for i := range l.Sessions {
			n++
			want, have := slices.Collect(l.Sessions[i].Calls), slices.Collect(got.Sessions[i].Calls)
			assert.DeepEqual(t, have, want, cmpopts.EquateEmpty())
			for k := range want { // where nil is not the same as none
				assert.Equal(t, have[k].Tools == nil, want[k].Tools == nil)
				assert.Equal(t, have[k].Fields == nil, want[k].Fields == nil)
			}
			got.Sessions[i].Calls, l.Sessions[i].Calls = nil, nil
			assert.Assert(t, reflect.DeepEqual(got.Sessions[i], l.Sessions[i]), name)
		}
	}
	assert.Assert(t, n > 5)
}

// A worker that is stopped in the middle ends its part: the others go on to the end, and the error
// says whose part is missing and how much of it.
func TestLostWorker(t *testing.T) {
	var asked atomic.Int64
	stop := func() {}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/chat/completions" && asked.Add(1) == 60 {
			stop()
		}
		echoing(w, r)
	}))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	url, end := natsWith(t, 3)
	stop = end[1]
	co := crew(t, url, 3, server.URL, c)
	l := load.Load{Name: "load", Rate: load.Constant(100), Requests: 150}
	runs, _, err := harness.Plan{Loads: []load.Load{l}, Crew: co}.Run(t.Context(), c)
	var lost *harness.LostError
	assert.Assert(t, errors.As(err, &lost), "%v", err)
	assert.Equal(t, lost.Of, 3)
	assert.Equal(t, len(runs), 1)
	assert.Equal(t, len(runs[0].Records)+lost.Unsent, 150)
	assert.Assert(t, lost.Unsent > 10 && lost.Told > 2, "%v", lost)
	assert.ErrorContains(t, err, "it was stopped")
	var names []string
	for _, w := range co.Workers() {
		if w.Lost != "" {
			names = append(names, w.Name)
		}
		assert.Assert(t, w.Clock.Error > 0 && w.Clock.Error < time.Second)
	}
	assert.DeepEqual(t, names, []string{lost.Name})
}

// Agents that ask together do not wait for those of a worker that is gone.
func TestLostWorkerOfRounds(t *testing.T) {
	var mu sync.Mutex
	n := 0
	var end []func()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if n++; n == 20 {
			end[0]()
		}
		mu.Unlock()
		echoing(w, r)
	}))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	url, stops := natsWith(t, 3)
	mu.Lock()
	end = stops
	mu.Unlock()
	co := crew(t, url, 3, server.URL, c)
	l := load.Load{Name: "load", Together: 5, Rounds: 12}
	runs, _, err := harness.Plan{Loads: []load.Load{l}, Crew: co}.Run(t.Context(), c)
	assert.Assert(t, errors.As(err, new(*harness.LostError)), "%v", err)
	last := slices.MaxFunc(runs[0].Records, func(a, b record.Record) int { return cmp.Compare(a.Rep, b.Rep) })
	assert.Equal(t, last.Rep, 11, "the others did not go on to the last round")
}

// What a worker cannot or must not do, it says before anything is sent.
func TestClaims(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echoing))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	url, _ := natsWith(t, 1)
	connect := func() *nats.Conn {
		nc, err := broker.Connect(url, broker.Access{}, "coordinator")
		assert.NilError(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	// inVain calls n workers and wants an error. A busy machine's may take long to answer.
	inVain := func(n int, want string) {
		t.Helper()
		var err error
		for wait := time.Second; wait < 2*time.Minute; wait *= 5 {
			timed, cancel := context.WithTimeout(t.Context(), wait)
			_, err = workers.Call(timed, connect(), n)
			cancel()
			if err == nil || strings.Contains(err.Error(), want) {
				break
			}
		}
		assert.ErrorContains(t, err, want)
	}
	inVain(2, "too few workers have joined: 1, want 2")
	co, err := workers.Call(t.Context(), connect(), 1)
	assert.NilError(t, err)
	assert.ErrorContains(t, co.Claim(t.Context(), workers.Target{URL: "http://192.0.2.1"}, c.Since),
		"is not this machine")
	assert.ErrorContains(t, co.Claim(t.Context(), workers.Target{URL: "http://127.0.0.1:1"}, c.Since), "it cannot reach")
	assert.NilError(t, co.Claim(t.Context(), workers.Target{URL: server.URL}, c.Since))
	inVain(1, "works for another coordinator")
	co.Close()
	again, err := workers.Call(t.Context(), connect(), 1)
	assert.NilError(t, err)
	again.Close()
}

// A load goes over NATS with users and TLS, to a server with TLS, as it does without.
func TestWorkersOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(echoing))
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	assert.NilError(t, err)
	write := func(name string, text []byte) string {
		file := filepath.Join(t.TempDir(), name)
		assert.NilError(t, os.WriteFile(file, text, 0o600))
		return file
	}
	cert := write("cert.pem", authority)
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	s, err := broker.Serve("127.0.0.1:0", write("nats.conf", fmt.Appendf(nil, "tls {cert_file: %q, "+
		"key_file: %q}\nauthorization {user: me, password: secret}\n", cert, key)))
	assert.NilError(t, err)
	defer s.Close()
	url := strings.Replace(s.URL, "://", "://me:secret@", 1)
	access := broker.Access{CA: cert}
	join(t, url, access, 2)
	roots, err := peer.Roots(authority)
	assert.NilError(t, err)
	c := harness.Target{TLS: &tls.Config{RootCAs: roots}}.NewClient(server.URL)
	defer c.Close()
	co := crewOf(t, url, access, 2, workers.Target{URL: server.URL, CA: authority}, c)
	plan := harness.Plan{Loads: []load.Load{{Name: "load", Concurrency: 4, Requests: 20}}, Crew: co}
	runs, _, err := plan.Run(t.Context(), c)
	assert.NilError(t, err)
	assert.Equal(t, len(runs[0].Records), 20)
}

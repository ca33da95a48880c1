package deploy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/internal/broker"
	"loadstone/internal/freeport"
)

// replicas are three servers behind a proxy.
type replicas struct {
	url   string
	addrs [3]string
	proxy *program
	flags []string

	mu  sync.Mutex
	now [3]*proc.Process
}

// nginx is the command of an nginx that listens on front and has those replicas.
func nginx(t *testing.T, front string, addrs [3]string) []string {
	t.Helper()
	program := installed(t, "nginx")
	text, err := os.ReadFile("nginx.conf")
	assert.NilError(t, err)
	dir := t.TempDir()
	change := []string{"/run/nginx-loadstone.pid", filepath.Join(dir, "pid"), "listen 127.0.0.1:8080", "listen " + front,
		"    access_log off;", "    access_log off;\n    client_body_temp_path " + dir + "/body;\n    proxy_temp_path " + dir +
			"/proxy;\n    fastcgi_temp_path " + dir + "/fastcgi;\n    uwsgi_temp_path " + dir + "/uwsgi;\n    scgi_temp_path " +
			dir + "/scgi;"}
	for i, addr := range addrs {
		change = append(change, fmt.Sprintf("server 127.0.0.1:%d ", 8081+i), "server "+addr+" ")
	}
	file := filepath.Join(dir, "nginx.conf")
	assert.NilError(t, os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600))
	return []string{program, "-c", file, "-p", dir, "-e", "stderr", "-g", "daemon off; master_process off;"}
}

// startBehind starts three servers behind a proxy, whose command is made once their addresses are
// known.
func startBehind(
	t *testing.T, proxy func(t *testing.T, front string, addrs [3]string) []string, flags ...string,
) *replicas {
	t.Helper()
	r := &replicas{flags: flags}
	for i := range r.now {
		r.addrs[i] = freeport.Address()
		r.now[i] = serve(t, r.addrs[i], flags...)
	}
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range r.now {
			p.Kill()
		}
	})
	front := freeport.Address()
	r.url = "http://" + front
	r.proxy = &program{command: proxy(t, front, r.addrs)}
	r.startProxy(t)
	return r
}

// startProxy starts the proxy, and again after it was killed, and waits until it has found all
// replicas.
func (r *replicas) startProxy(t *testing.T) {
	t.Helper()
	r.proxy.start(t)
	found := map[string]bool{}
	until(t, "the proxy has all replicas", func() bool {
		res, err := http.Get(r.url + "/health/ready") // goes anywhere
		if err != nil {
			return false
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			found[answeredBy(res)] = true
		}
		return len(found) == len(r.addrs)
	})
}

// answeredBy is the replica that has answered, the last of those that were asked.
func answeredBy(res *http.Response) string {
	asked := strings.Split(res.Header.Get("X-Replica"), ", ")
	return asked[len(asked)-1]
}

// restart ends a replica as a deployment does, and starts it again at its address.
func (r *replicas) restart(t *testing.T, i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Check(t, r.now[i].Stop(30*time.Second), "a replica did not end cleanly")
	r.now[i] = serve(t, r.addrs[i], r.flags...)
}

// ask asks for an agent, and returns the replica that answered.
func (r *replicas) ask(t *testing.T, header, agent string) string {
	t.Helper()
	body := `{"max_tokens":2,"messages":[{"role":"user","content":"so"}]}`
	q, err := http.NewRequest("POST", r.url+"/v1/chat/completions", strings.NewReader(body))
	assert.NilError(t, err)
	q.Header.Set(header, agent)
	res, err := http.DefaultClient.Do(q)
	assert.NilError(t, err)
	res.Body.Close()
	assert.Equal(t, res.StatusCode, 200)
	return answeredBy(res)
}

// An agent comes back to its replica, by either header. One that is killed moves its own agents and
// no others, and has them again once it is back.
func TestAgentsKeepTheirReplica(t *testing.T) { behind(t, keepTheirReplica) }

func keepTheirReplica(t *testing.T, r *replicas) {
	own := map[string]string{}
	where := map[string]int{}
	for i := range 30 {
		header, agent := "X-Agent-ID", fmt.Sprintf("agent-%d", i)
		if i%3 == 0 {
			header = "X-Session-ID"
		}
		own[header+" "+agent] = r.ask(t, header, agent)
		where[own[header+" "+agent]]++
	}
	assert.Equal(t, len(where), 3, "%v", where)
	for key, want := range own {
		header, agent, _ := strings.Cut(key, " ")
		assert.Equal(t, r.ask(t, header, agent), want)
	}
	r.mu.Lock()
	r.now[1].Kill()
	r.mu.Unlock()
	for key, before := range own {
		header, agent, _ := strings.Cut(key, " ")
		now := r.ask(t, header, agent)
		assert.Assert(t, (now == before) == (before != r.addrs[1]), "%s was at %s, and is at %s", key, before, now)
	}
	r.mu.Lock()
	r.now[1] = serve(t, r.addrs[1])
	r.mu.Unlock()
	until(t, "its agents are back", func() bool {
		for key, before := range own {
			header, agent, _ := strings.Cut(key, " ")
			if before == r.addrs[1] && r.ask(t, header, agent) != before {
				return false
			}
		}
		return true
	})
}

// conversations are what agents ask, turn by turn. Each turn has the answers before it: the
// server's own, or as they were written here. A server knows its own answers by their tokens, and
// those of others by their text alone, whose tokens may be others.
func conversations(n, turns int, own bool) (all []load.Session) {
	for i := range n {
		var calls []load.Call
		for k := range turns {
			c := load.Call{ID: k, From: k - 1, Turn: k, Answer: 12, Pause: 100 * time.Millisecond}
			if !own {
				c.Recorded = &load.Recorded{Text: "so it is"}
			}
			if k > 0 && !own {
				c.Add = []load.Message{{Reply: true, Role: "assistant", Text: "so it is"}}
			}
			words := load.Words{Seed: uint64(100*i + k), Tokens: 40}
			c.Add = append(c.Add, load.Message{Role: "user", Words: []load.Words{words}})
			calls = append(calls, c)
		}
		all = append(all, load.Session{Name: fmt.Sprint(i), Count: turns, Linear: true, Calls: slices.Values(calls)})
	}
	return all
}

// atATime is how many agents of a load work at a time.
const atATime = 6

// carryOut puts a load on a server, while something happens beside it once the load is under way.
// own is that of conversations.
func carryOut(t *testing.T, url string, own bool, beside func(started <-chan struct{})) (run record.Run, err error) {
	t.Helper()
	c := client.New(url)
	defer c.Close()
	started := make(chan struct{})
	var once sync.Once
	plan := harness.Plan{Loads: []load.Load{{Name: "load", Concurrency: atATime, Sessions: conversations(36, 6, own),
		Replay: load.Replay{AsAsked: !own}, Seeds: load.OneSeed(3)}},
		Progress: func(p harness.Progress) {
			if p.Outcomes[record.OK] > 20 {
				once.Do(func() { close(started) })
			}
		}}
	done := make(chan struct{})
	go func() { defer close(done); beside(started) }()
	runs, _, err := plan.Run(t.Context(), c)
	<-done
	assert.Equal(t, len(runs), 1, "%v", err)
	return runs[0], err
}

// turnOf names a request by its agent's number and turn.
func turnOf(r *record.Record) string {
	return fmt.Sprintf("%s turn %d", strings.SplitN(r.Agent, "-", 3)[1], r.Turn)
}

// answers are those of a load of which no request fails, by agent's number and turn.
func answers(
	t *testing.T, url string, own bool, beside func(started <-chan struct{}),
) (all map[string]string, run record.Run) {
	t.Helper()
	run, err := carryOut(t, url, own, beside)
	assert.NilError(t, err)
	all = map[string]string{}
	for _, r := range run.Records {
		assert.Check(t, r.Outcome == record.OK, "%s: %s %d: %s", turnOf(&r), r.Outcome, r.Status, r.Error)
		all[turnOf(&r)] = r.Answer
	}
	return all, run
}

// oneServer is what one server answers, which is nothing that a proxy changes: it is measured once.
var oneServer struct {
	sync.Mutex
	all map[string]string
	run record.Run
}

func ofOneServer(t *testing.T) (all map[string]string, run record.Run) {
	t.Helper()
	oneServer.Lock()
	defer oneServer.Unlock()
	if oneServer.all == nil {
		alone := serve(t, "127.0.0.1:0")
		defer alone.Kill()
		oneServer.all, oneServer.run = answers(t, alone.URL, false, func(<-chan struct{}) {})
	}
	return oneServer.all, oneServer.run
}

// Three replicas are restarted one after the other while agents work: no request fails, each answer
// is that of one server without a restart, and what was cached is computed anew once, not at every
// turn.
func TestRollingRestart(t *testing.T) { behind(t, rollingRestart) }

func rollingRestart(t *testing.T, r *replicas) {
	want, before := ofOneServer(t)
	b, a := restartedUnderLoad(t, r, false, want, before)
	assert.Assert(t, a.HitRatio > b.HitRatio/2)
}

// restartedUnderLoad compares what one server has done with a load with what replicas do that are
// restarted meanwhile.
func restartedUnderLoad(t *testing.T, r *replicas, own bool, want map[string]string, before record.Run) (
	one, several record.Summary,
) {
	t.Helper()
	restarts := 0
	got, after := answers(t, r.url, own, func(started <-chan struct{}) {
		<-started
		for i := range r.now {
			r.restart(t, i)
			restarts++
		}
	})
	assert.Equal(t, restarts, 3)
	assert.Equal(t, len(want), 36*6)
	assert.DeepEqual(t, got, want)
	one, several = before.Summary(), after.Summary()
	t.Logf("hits: %.3f of one server, %.3f of three that were restarted; p95 %v and %v", one.HitRatio,
		several.HitRatio, one.E2E.P95, several.E2E.P95)
	return one, several
}

// The same with memories in a folder that the replicas share, or in an object store: an agent's
// memory is where its next request is, so that as much is cached as by one server, and the agents'
// own answers may be what they go on from.
func TestRollingRestartShared(t *testing.T) {
	t.Parallel()
	alone := serve(t, "127.0.0.1:0")
	defer alone.Kill()
	want, before := answers(t, alone.URL, true, func(<-chan struct{}) {})
	t.Run("folder", func(t *testing.T) {
		rollingRestartShared(t, want, before, "-agents-dir", t.TempDir(), "-agents-shared")
	})
	t.Run("store", func(t *testing.T) {
		store, err := broker.ServeStore("127.0.0.1:0", "", t.TempDir())
		assert.NilError(t, err)
		defer store.Close()
		rollingRestartShared(t, want, before, "-agents-store", store.URL+"/agents")
	})
}

func rollingRestartShared(t *testing.T, want map[string]string, before record.Run, where ...string) {
	// A replica that is slow to save is waited for; on a machine with much else to do, too.
	r := startBehind(t, nginx, append(where, "-agents-lease", "1m")...)
	b, a := restartedUnderLoad(t, r, true, want, before)
	assert.Assert(t, a.HitRatio > b.HitRatio-0.02)
	for i, p := range r.now {
		scrape, _ := get(p.URL + "/metrics")
		assert.Check(t, strings.Contains(string(scrape), `loadstone_save_failures_total{reason="superseded"} 0`), "%d", i)
	}
}

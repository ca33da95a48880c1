package deploy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/record"
)

// envoyFile is what Envoy has in a cluster.
var envoyFile = filepath.Join("kubernetes", "envoy.yaml")

// envoy is the command of an Envoy that listens on front and has those replicas.
func envoy(t *testing.T, front string, addrs [3]string) []string {
	t.Helper()
	program := installed(t, "envoy")
	text, err := os.ReadFile(envoyFile)
	assert.NilError(t, err)
	place := func(addr string) string {
		host, port, err := net.SplitHostPort(addr)
		assert.NilError(t, err)
		return host + ", port_value: " + port
	}
	change := []string{"0.0.0.0, port_value: 8080", place(front), "interval: 2s", "interval: 0.2s"}
	for i, addr := range addrs {
		change = append(change, fmt.Sprintf("loadstone-%d.loadstone-replicas, port_value: 8080", i), place(addr))
	}
	for i := 0; i < len(change); i += 2 {
		assert.Assert(t, strings.Contains(string(text), change[i]), "%s has no %s", envoyFile, change[i])
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	assert.NilError(t, os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600))
	return []string{program, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"}
}

// proxies are the proxies that there are files for.
var proxies = map[string]func(t *testing.T, front string, addrs [3]string) []string{"nginx": nginx, "envoy": envoy}

// behind runs a test behind each proxy.
func behind(t *testing.T, test func(t *testing.T, r *replicas)) {
	t.Parallel()
	for name, proxy := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startBehind(t, proxy))
		})
	}
}

// Envoy takes the file as it is, and no mistake in it.
func TestEnvoyFile(t *testing.T) {
	program := installed(t, "envoy")
	text, err := os.ReadFile(envoyFile)
	assert.NilError(t, err)
	validate := func(text string) (said []byte, err error) {
		file := filepath.Join(t.TempDir(), "envoy.yaml")
		assert.NilError(t, os.WriteFile(file, []byte(text), 0o600))
		return exec.Command(program, "--mode", "validate", "-c", file, "--disable-hot-restart").CombinedOutput()
	}
	said, err := validate(string(text))
	assert.NilError(t, err, "%s", said)
	for _, edit := range [][2]string{{"hash_policy: &agent", "hash_polizy: &agent"}, {"lb_policy: RING_HASH", "lb_policy: RING"},
		{"minimum_ring_size: 1024", "minimum_ring_size: -1"}, {"cluster: replicas", "cluster: replica"}} {
		wrong := strings.ReplaceAll(string(text), edit[0], edit[1])
		assert.Assert(t, wrong != string(text))
		said, err = validate(wrong)
		assert.Check(t, err != nil, "%s passes: %s", edit[1], said)
	}
}

// question is long enough for a cache to keep some of it.
var question = strings.Repeat("so it is said, and so it is. ", 20)

// An answered is what came of a question.
type answered struct {
	replica, text string
	cached        int // tokens of the prompt
}

// question asks for an agent and reads the answer to its end.
func (r *replicas) question(t *testing.T, agent string) (a answered) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"max_tokens": 8, "temperature": 0, "messages": []any{map[string]string{"role": "user",
		"content": agent + " " + question}}})
	assert.NilError(t, err)
	q, err := http.NewRequest("POST", r.url+"/v1/chat/completions", strings.NewReader(string(text)))
	assert.NilError(t, err)
	q.Header.Set("X-Agent-ID", agent)
	res, err := http.DefaultClient.Do(q)
	assert.NilError(t, err)
	defer res.Body.Close()
	assert.Equal(t, res.StatusCode, http.StatusOK)
	var said struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	assert.NilError(t, json.NewDecoder(res.Body).Decode(&said))
	return answered{answeredBy(res), said.Choices[0].Message.Content, said.Usage.Details.Cached}
}

// What a user sees whose replica is killed, as kill -9 does it: an answer that is under way breaks
// off, and is told from one that ended; the question, asked again, has its answer from another
// replica, the same, computed anew. Once the replica is back, so are its agents.
func TestReplicaKilled(t *testing.T) {
	behind(t, func(t *testing.T, r *replicas) {
		const agent = "ada"
		before := r.question(t, agent)
		i := 0
		for r.addrs[i] != before.replica {
			i++
		}
		q, err := http.NewRequest("POST", r.url+"/v1/chat/completions",
			strings.NewReader(`{"stream":true,"max_tokens":4000,"min_tokens":4000,"messages":[{"role":"user","content":"go on"}]}`))
		assert.NilError(t, err)
		q.Header.Set("X-Agent-ID", agent)
		res, err := http.DefaultClient.Do(q)
		assert.NilError(t, err)
		defer res.Body.Close()
		assert.Equal(t, res.StatusCode, http.StatusOK)
		body := bufio.NewReader(res.Body)
		first, err := body.ReadString('\n')
		assert.NilError(t, err)
		r.mu.Lock()
		r.now[i].Kill()
		r.mu.Unlock()
		rest, err := io.ReadAll(body)
		assert.Check(t, errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
		answer := client.ReadAnswer(client.Chat, res.Header.Get("Content-Type"), []client.Piece{{Text: []byte(first + string(rest))}})
		assert.Equal(t, answer.Outcome, record.Truncated, "%s", rest)

		after := r.question(t, agent)
		assert.Assert(t, after.replica != before.replica)
		assert.Equal(t, after.text, before.text)
		assert.Equal(t, after.cached, 0)
		assert.Assert(t, r.question(t, agent).cached > 0) // it is that replica's now
		r.mu.Lock()
		r.now[i] = serve(t, r.addrs[i])
		r.mu.Unlock()
		until(t, "the agent is back", func() bool { return r.question(t, agent).replica == before.replica })
	})
}

// What becomes of a load while a replica is killed and comes back: answers that were under way
// there break off, no more of them than there were requests at a time, and all others are those of
// one server.
func TestLoadWhileAReplicaIsKilled(t *testing.T) {
	behind(t, func(t *testing.T, r *replicas) {
		want, _ := ofOneServer(t)
		run, err := carryOut(t, r.url, false, func(started <-chan struct{}) {
			<-started
			r.mu.Lock()
			defer r.mu.Unlock()
			r.now[1].Kill()
			r.now[1] = serve(t, r.addrs[1])
		})
		assert.NilError(t, err)
		assert.Equal(t, len(run.Records), len(want))
		broken := 0
		for i := range run.Records {
			q := &run.Records[i]
			if q.Outcome == record.OK {
				assert.Check(t, q.Answer == want[turnOf(q)], turnOf(q))
				continue
			}
			broken++
			assert.Check(t, q.Outcome == record.Truncated, "%s: %s %d: %s", turnOf(q), q.Outcome, q.Status, q.Error)
		}
		assert.Assert(t, broken <= atATime, "%d", broken)
	})
}

// What a user sees while the proxy is gone: a load ends at once and says so. The replicas keep all
// that they have, and once it is back each agent finds its replica and its memory there.
func TestProxyKilled(t *testing.T) {
	behind(t, func(t *testing.T, r *replicas) {
		before := map[string]answered{}
		for i := range 12 {
			agent := fmt.Sprintf("agent-%d", i)
			before[agent] = r.question(t, agent)
		}
		run, err := carryOut(t, r.url, false, func(started <-chan struct{}) {
			<-started
			r.proxy.kill()
		})
		assert.Assert(t, errors.Is(err, harness.ErrServerGone), "%v", err)
		lost := 0
		for i := range run.Records {
			q := &run.Records[i]
			switch q.Outcome {
			case record.OK:
			case record.Refused, record.Truncated, record.Cancelled:
				lost++
			default:
				t.Errorf("%s: %s %d: %s", turnOf(q), q.Outcome, q.Status, q.Error)
			}
		}
		assert.Assert(t, lost > 0 && lost <= atATime, "%d", lost)
		r.startProxy(t)
		for agent, a := range before {
			now := r.question(t, agent)
			assert.Check(t, now.replica == a.replica && now.text == a.text && now.cached > 0, "%s: %+v, before %+v", agent, now, a)
		}
	})
}

// A proxy's own paths are no way around what it keeps from others.
func TestMetricsStayInside(t *testing.T) {
	behind(t, func(t *testing.T, r *replicas) {
		for _, path := range []string{"/metrics", "//metrics", "/x/../metrics", "/%6detrics"} {
			body, status := get(r.url + path)
			assert.Check(t, status != http.StatusOK || !strings.Contains(string(body), "loadstone_"), "%s: %d", path, status)
		}
	})
}

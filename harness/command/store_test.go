package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"gotest.tools/v3/assert"

	"loadstone/harness/proc"
)

// startStore starts loadstone store on a free port, or on one.
func startStore(t *testing.T, dir, listen string) (s *exec.Cmd, url string) {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	s = exec.Command(self, "store", "-dir", dir, "-listen", listen)
	s.Stderr = os.Stderr
	out, err := s.StdoutPipe()
	assert.NilError(t, err)
	assert.NilError(t, s.Start())
	t.Cleanup(func() {
		s.Process.Kill()
		s.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	assert.NilError(t, err)
	_, url, _ = strings.Cut(line, "listening on ")
	url, _, _ = strings.Cut(url, ";")
	return s, url
}

// A replica is loadstone serve as a process.
type replica struct{ *proc.Process }

func startReplica(t *testing.T, more ...string) *replica {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	args := append([]string{"serve", "-addr", "127.0.0.1:0", "-model", "tiny", "-backend", "ref",
		"-kv-bytes", "32MiB", "-access-log", ""}, more...)
	p, err := proc.Start(t.Context(), os.Stderr, self, args...)
	assert.NilError(t, err)
	t.Cleanup(p.Kill)
	return &replica{p}
}

// A turn is what an agent is answered.
type turn struct {
	Choices []struct{ Message json.RawMessage }
	Usage   struct {
		Prompt  int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
}

// ask asks a question of an agent's talk. The turn is kept when the answer is there.
func (r *replica) ask(t *testing.T, agent string, talk []json.RawMessage) turn {
	t.Helper()
	got, durable := r.send(t, agent, talk)
	assert.Equal(t, durable, "saved")
	return got
}

// send asks a question of an agent's talk, and returns what became of the turn as well.
func (r *replica) send(t *testing.T, agent string, talk []json.RawMessage) (got turn, durable string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"max_tokens": 8, "temperature": 0, "messages": talk})
	assert.NilError(t, err)
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/v1/chat/completions", bytes.NewReader(body))
	assert.NilError(t, err)
	q.Header.Set("X-Agent-ID", agent)
	q.Header.Set("X-Durable", "wait")
	resp, err := http.DefaultClient.Do(q)
	assert.NilError(t, err)
	defer resp.Body.Close()
	assert.NilError(t, json.NewDecoder(resp.Body).Decode(&got))
	assert.Equal(t, resp.StatusCode, http.StatusOK)
	assert.Equal(t, len(got.Choices), 1)
	return got, resp.Header.Get("X-Durable")
}

// Agents that go from server to server, which share an object store, get the answers of one server,
// and each finds what the one before has kept: one that still runs, one that was killed, and one
// that has ended.
func TestServersShareAStore(t *testing.T) {
	t.Run("nats", func(t *testing.T) {
		_, url := startStore(t, t.TempDir(), "127.0.0.1:0")
		shareAStore(t, url+"/agents")
	})
	t.Run("s3", func(t *testing.T) { shareAStore(t, s3Store(t)) })
}

// s3Store starts a store of the S3 API in this process, and gives its credentials to processes.
func s3Store(t *testing.T) (address string) {
	t.Helper()
	backend := s3mem.New()
	assert.NilError(t, backend.CreateBucket("memories"))
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "me")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	return "s3://memories/of/agents"
}

func shareAStore(t *testing.T, store string) {
	alone := startReplica(t, "-agents-dir", t.TempDir())
	// A server that stands still for some seconds, as a virtual machine does, keeps what it has.
	serve := func() *replica { return startReplica(t, "-agents-store", store, "-agents-lease", "1m") }
	replicas := []*replica{serve(), serve()}
	const agents = 3
	var talks [agents][]json.RawMessage
	var before [agents]int // tokens of each talk that have KV
	for n := range 5 {
		for i := range talks {
			agent := fmt.Sprint("agent-", i)
			question, err := json.Marshal(map[string]string{"role": "user",
				"content": fmt.Sprintf("Question %d of %s: %s", n, agent, strings.Repeat("why? ", 20+i))})
			assert.NilError(t, err)
			talks[i] = append(talks[i], question)
			want, got := alone.ask(t, agent, talks[i]), replicas[(n+i)%2].ask(t, agent, talks[i])
			assert.Equal(t, string(got.Choices[0].Message), string(want.Choices[0].Message))
			assert.Equal(t, got.Usage.Details.Cached, before[i], "turn %d of %s", n, agent)
			before[i] = got.Usage.Prompt + got.Usage.Output - 1
			talks[i] = append(talks[i], got.Choices[0].Message)
		}
		switch n {
		case 1:
			idle := idleAgents(t, replicas[0])
			replicas[0].Kill()
			idle.found(t, replicas[1])
			replicas[0] = serve()
		case 3:
			assert.NilError(t, replicas[1].Signal(syscall.SIGTERM))
			<-replicas[1].Exited()
			replicas[1] = serve()
		}
	}
}

// idle are agents that have each asked a server one question.
type idle []struct {
	talk []json.RawMessage // with the next question
	kept int               // tokens that have KV
}

func idleAgents(t *testing.T, of *replica) (all idle) {
	t.Helper()
	for i := range 20 {
		talk := []json.RawMessage{[]byte(fmt.Sprintf(`{"role":"user","content":"Idle question %d: why?"}`, i))}
		got := of.ask(t, fmt.Sprint("idle-", i), talk)
		all = append(all, struct {
			talk []json.RawMessage
			kept int
		}{append(talk, got.Choices[0].Message, talk[0]), got.Usage.Prompt + got.Usage.Output - 1})
	}
	return all
}

// found asks another server for one after the other until it has one with its memory. That the
// server that had them was killed it knows, where that held a lease, when the lease is over; what
// it is asked sooner it does not keep.
func (all idle) found(t *testing.T, by *replica) {
	t.Helper()
	for i, a := range all {
		got, durable := by.send(t, fmt.Sprint("idle-", i), a.talk)
		if got.Usage.Details.Cached == a.kept && durable == "saved" {
			return
		}
	}
	t.Fatal("the memories of a server that was killed are not found")
}

// The directory of a store outlives it, also when it is killed, and is of one server at a time.
func TestStoreAgain(t *testing.T) {
	dir := t.TempDir()
	s, url := startStore(t, dir, "127.0.0.1:0")
	code, stdout, stderr := loadstone(t, "", "store", "-dir", dir, "-listen", "127.0.0.1:0")
	assert.Equal(t, code, exitFailed)
	assert.Equal(t, stdout, "")
	assert.Equal(t, stderr, "loadstone: "+dir+" is another server's that runs\n")
	address := strings.TrimPrefix(url, "nats://")
	code, _, stderr = loadstone(t, "", "store", "-dir", t.TempDir(), "-listen", address)
	assert.Equal(t, code, exitFailed)
	assert.Assert(t, strings.Contains(stderr, "the NATS server cannot listen: listen tcp "+address), stderr)

	const talk = `{"role":"user","content":"Why is the sky blue, and the sea?"}`
	first := startReplica(t, "-agents-store", url+"/agents")
	got := first.ask(t, "ada", []json.RawMessage{[]byte(talk)})
	assert.NilError(t, first.Signal(syscall.SIGTERM))
	<-first.Exited()
	s.Process.Kill()
	s.Wait()
	_, url = startStore(t, dir, "127.0.0.1:0")
	second := startReplica(t, "-agents-store", url+"/agents")
	again := second.ask(t, "ada", []json.RawMessage{[]byte(talk), got.Choices[0].Message, []byte(talk)})
	assert.Equal(t, again.Usage.Details.Cached, got.Usage.Prompt+got.Usage.Output-1)
}

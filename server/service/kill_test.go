package service

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A conversation of an agent with a server that may be killed at any moment.
type conversation struct {
	agent string
	talk  []message
	turns []acknowledged
}

// An acknowledged turn has been answered: its client has seen the end of the answer.
type acknowledged struct {
	at     time.Time
	tokens int // of the whole conversation that have KV
}

// turn asks the next question and reports whether it was answered.
func (c *conversation) turn(p *process) bool {
	c.talk = append(c.talk, message{"user", fmt.Sprint("Question ", len(c.talk), "?")})
	body, err := json.Marshal(map[string]any{"messages": c.talk, "max_tokens": 12, "temperature": 0,
		"session_id": c.agent})
	if err != nil {
		panic(err)
	}
	resp, err := http.Post(p.url+"/v1/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var a struct {
		Choices []struct{ Message message }
		Usage   struct {
			Prompt int `json:"prompt_tokens"`
			Output int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || len(a.Choices) != 1 {
		return false
	}
	// The answer's last token has no KV.
	c.turns = append(c.turns, acknowledged{time.Now(), a.Usage.Prompt + a.Usage.Output - 1})
	c.talk = append(c.talk, a.Choices[0].Message)
	return true
}

// savedTokens returns how much of an agent's conversation the disk has, 0 if the server does not
// know the agent.
func (p *process) savedTokens(t *testing.T, agent string) int {
	t.Helper()
	resp, err := http.Get(p.url + "/v1/agents/" + agent)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Saved int `json:"saved_tokens"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a.Saved
}

func (p *process) kill() (at time.Time) {
	at = time.Now()
	p.Process.Signal(syscall.SIGKILL)
	io.Copy(io.Discard, p.stdout)
	p.Wait()
	return at
}

// memoryDir returns a directory in memory where the system has such a file system: syncing it never
// has to wait for what other processes write. A kill takes as little from it as from a disk.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "loadstone-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// talk asks on behalf of an agent that never rests, in one conversation after another as the
// context allows, until a turn of the conversation that it is in is on disk, and then for some
// turns more. It returns the conversations and, of each, how many tokens the server has said to be
// on disk.
func talk(t *testing.T, p *process, name string, more int) (all []*conversation, promised []int) {
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); {
		c := &conversation{agent: fmt.Sprint(name, "-", len(all))}
		all, promised = append(all, c), append(promised, 0)
		last := len(all) - 1
		for n := range 500 {
			if !c.turn(p) {
				t.Errorf("%s: no answer to turn %d", c.agent, n)
				return all, promised
			}
			if promised[last] = p.savedTokens(t, c.agent); promised[last] == 0 {
				continue
			}
			if more--; more < 0 {
				return all, promised
			}
		}
	}
	t.Errorf("%s: in two minutes no turn of a conversation that goes on was saved", name)
	return all, promised
}

// TestKillNeverRests: a server saves while agents ask without a pause, which only -save-within has
// it do, and is killed then. What it said to be on disk is there when it is started again, in whole
// turns. How old a turn is that was lost is in the log alone: on a busy machine nothing between two
// processes is in time, and engine's TestNeverRests holds the bound exactly, on a clock of its own.
func TestKillNeverRests(t *testing.T) {
	const bound, agents, kills = time.Second, 2, 8
	rng := rand.New(rand.NewPCG(3, 4))
	dir := memoryDir(t)
	serve := func() *process {
		return start(t, "-agents-dir", filepath.Join(dir, "agents"), "-save-within", bound.String())
	}
	p := serve()
	answered, lost, oldest := 0, 0, time.Duration(0)
	for round := range kills {
		var all [agents][]*conversation
		var promised [agents][]int
		var talking sync.WaitGroup
		for i := range agents {
			more := rng.IntN(8)
			talking.Go(func() { all[i], promised[i] = talk(t, p, fmt.Sprint("agent-", round, "-", i), more) })
		}
		talking.Wait()
		killed := p.kill()
		p = serve()
		for i := range agents {
			for k, c := range all[i] {
				saved := p.savedTokens(t, c.agent)
				if saved < promised[i][k] {
					t.Errorf("%s: %d tokens are on disk after the kill, %d before it", c.agent, saved, promised[i][k])
				}
				whole := saved == 0
				for _, turn := range c.turns {
					answered++
					whole = whole || turn.tokens == saved
					if turn.tokens > saved {
						lost++
						oldest = max(oldest, killed.Sub(turn.at))
					}
				}
				if !whole {
					t.Errorf("%s: %d tokens are on disk, which is no turn's end: %+v", c.agent, saved, c.turns)
				}
			}
		}
	}
	t.Logf("%d turns answered, %d of them lost at a kill; the oldest of these was %v old, with a bound of %v",
		answered, lost, oldest, bound)
}

// A durableRequest is one of those that tests send to have a turn on disk.
type durableRequest struct{ path, body string }

var durableRequests = []durableRequest{
	{"/v1/chat/completions",
		`{"messages":[{"role":"user","content":"Hello"}],"max_tokens":9,"temperature":0}`},
	{"/v1/chat/completions",
		`{"messages":[{"role":"user","content":"Hello"}],"max_tokens":9,"temperature":0,"stream":true}`},
	{"/v1/completions", `{"prompt":"Once upon a time","max_tokens":9,"temperature":0,"stream":true}`},
	{"/v1/messages",
		`{"model":"tiny","messages":[{"role":"user","content":"Hello"}],"max_tokens":9}`},
	{"/v1/messages",
		`{"model":"tiny","messages":[{"role":"user","content":"Hello"}],"max_tokens":9,"stream":true}`},
}

// killAt sends a request for an agent, with further headers, and kills the server at the moment at
// which the answer has come to its end. The answer must have said that the turn is saved.
func (q durableRequest) killAt(t *testing.T, p *process, agent string, headers ...string) {
	t.Helper()
	r, err := http.NewRequest("POST", p.url+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Agent-ID", agent)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	if strings.Contains(q.body, "stream") { // killed at the last event, before the trailers
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() && lines.Text() != "data: [DONE]" &&
			lines.Text() != "event: message_stop" {
			text.WriteString(lines.Text() + "\n")
		}
		if !strings.Contains(text.String(), "\n: X-Durable: saved\n") {
			t.Errorf("%s: the stream does not say that the turn is saved:\n%s", q.path, &text)
		}
	} else {
		io.Copy(&text, resp.Body)
		if got := resp.Header.Get("X-Durable"); got != "saved" {
			t.Errorf("%s: X-Durable: %q, %s", q.path, got, &text)
		}
	}
	p.kill()
}

// TestKillDurable: a turn whose request said X-Durable: wait survives a kill at the moment at which
// its answer has come to its end, on every API.
func TestKillDurable(t *testing.T) {
	dir := t.TempDir()
	// Nothing but the header has the memory saved in time.
	serve := func() *process { return start(t, "-agents-dir", dir, "-save-within", "1h") }
	p := serve()
	for round := range 20 {
		q, agent := durableRequests[round%len(durableRequests)], fmt.Sprint("agent-", round)
		q.killAt(t, p, agent, "X-Durable", "wait")
		p = serve()
		if n := p.savedTokens(t, agent); n < 9 {
			t.Errorf("round %d, %s: %d tokens are on disk after the kill", round, q.path, n)
		}
	}
}

// TestKillDurableAgent: every turn of an agent that was created durable survives a kill at the end
// of its answer, although no request says so, and the agent is durable afterwards.
func TestKillDurableAgent(t *testing.T) {
	dir := t.TempDir()
	serve := func() *process { return start(t, "-agents-dir", dir, "-save-within", "1h") }
	p := serve()
	status, body := p.post(t, "/v1/agents", `{"agent_id":"ada","durable":true}`)
	if status != http.StatusCreated || !strings.Contains(body, `"durable":true`) {
		t.Fatalf("%d %s", status, body)
	}
	p.kill()
	p = serve()
	for round := range 10 {
		q := durableRequests[round%len(durableRequests)]
		// Each turn is another one, so that the one before is not enough.
		q.body = strings.NewReplacer("Hello", fmt.Sprint("Hello ", round), "Once", fmt.Sprint(round,
			" times")).Replace(q.body)
		q.killAt(t, p, "ada")
		p = serve()
		// The same request finds all of its prompt but the last token.
		if cached, prompt := p.cachedTokens(t, q, "ada"); cached < prompt-1 {
			t.Errorf("round %d, %s: %d tokens of the prompt of %d are cached after the kill", round,
				q.path, cached, prompt)
		}
	}
}

// cachedTokens sends a request again, and returns how long its prompt is and how much of it was
// cached.
func (p *process) cachedTokens(t *testing.T, q durableRequest, agent string) (cached, prompt int) {
	t.Helper()
	whole := strings.Replace(q.body, `,"stream":true`, "", 1)
	r, err := http.NewRequest("POST", p.url+q.path, strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Agent-ID", agent)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Usage struct {
			Prompt  int `json:"prompt_tokens"`
			Input   int `json:"input_tokens"`
			Created int `json:"cache_creation_input_tokens"`
			Read    int `json:"cache_read_input_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(resp.Header.Get("X-Cached-Tokens"), &cached)
	return cached, a.Usage.Prompt + a.Usage.Input + a.Usage.Created + a.Usage.Read
}

// post sends a body and returns the answer.
func (p *process) post(t *testing.T, path, body string) (status int, answer string) {
	t.Helper()
	resp, err := http.Post(p.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

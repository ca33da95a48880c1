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

// stall writes and syncs a file again and again until stop is closed, and returns the longest time
// that this took: how far the disk, or the machine, lagged behind.
func stall(t *testing.T, dir string, stop chan struct{}) (longest time.Duration) {
	name := filepath.Join(dir, "probe")
	for {
		began := time.Now()
		f, err := os.Create(name)
		if err == nil {
			f.Write(make([]byte, 1<<16))
			f.Sync()
			err = f.Close()
		}
		if err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(began))
		select {
		case <-stop:
			return longest
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestKillNeverRests: a server is killed at random moments while agents ask without a pause. No
// turn that was answered longer ago than -save-within is missing when the server is started again.
// The promise holds while the disk keeps up, so the time by which it did not is added: four times
// that of one write, since a save waits for the file, its sync, its name and the directory's sync.
// Half a second more is for a machine that others keep busy, on which 1.03 s was seen; engine's
// TestNeverRests holds the bound exactly, on a clock of its own.
func TestKillNeverRests(t *testing.T) {
	const bound, agents, kills = time.Second, 2, 16
	rng := rand.New(rand.NewPCG(3, 4))
	dir := memoryDir(t)
	serve := func() *process {
		return start(t, "-agents-dir", filepath.Join(dir, "agents"), "-save-within", bound.String())
	}
	p := serve()
	old, answered, oldest := 0, 0, time.Duration(0)
	for round := range kills {
		ended := make(chan []*conversation, agents)
		for i := range agents {
			go func() {
				var all []*conversation
				for ok := true; ok; {
					c := &conversation{agent: fmt.Sprint("agent-", round, "-", i, "-", len(all))}
					all = append(all, c)
					for n := 0; n < 20 && ok; n++ { // and then another one, for want of context
						ok = c.turn(p)
					}
				}
				ended <- all
			}()
		}
		stop, lag := make(chan struct{}), make(chan time.Duration, 1)
		go func() { lag <- stall(t, dir, stop) }()
		time.Sleep(time.Duration(200+rng.IntN(1800)) * time.Millisecond)
		killed := p.kill()
		close(stop)
		limit := bound + 4*<-lag + bound/2
		p = serve()
		for range agents {
			for _, c := range <-ended {
				saved := p.savedTokens(t, c.agent)
				for n, turn := range c.turns {
					answered++
					age := killed.Sub(turn.at)
					if age > bound {
						old++
					}
					if turn.tokens > saved {
						oldest = max(oldest, age)
						if age > limit {
							t.Errorf("round %d: turn %d of %s was answered %v before the kill and is "+
								"lost: %d of its %d tokens are saved", round, n, c.agent, age, saved,
								turn.tokens)
						}
					}
				}
			}
		}
	}
	if old < kills {
		t.Errorf("only %d turns were older than the bound: the test has seen too little", old)
	}
	t.Logf("%d turns answered, %d of them older than %v at a kill; the oldest that was lost was %v old",
		answered, old, bound, oldest)
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

// TestKillDurableAgent: every turn of an agent that was created durable survives a kill at the end of
// its answer, although no request says so, and the agent is durable afterwards.
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

// cachedTokens sends a request again, and returns how long its prompt is and how much of it was cached.
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

package server

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"loadstone/engine"
)

// The agents API under concurrent clients is linearizable: each call has its effect at one moment
// between its request and its response, so that one order of all calls explains all answers. Three
// routes are two calls each, because other clients may come between. An answer of pin, unpin and
// import shows the agent as it is afterwards. And generate looks whether there is the agent, and
// leaves it its memory when the answer ends.

// An agentState is what the API tells of an agent.
type agentState struct {
	exists, pinned bool
	tokens         int
}

// An agentCall is what a client asks, and an agentReply what it is told.
type (
	agentCall struct {
		agent, verb string
		tokens      int // that the call leaves the agent
	}
	agentReply struct {
		code  int // 0: of the two calls of a route, the one that has no code of its own
		state agentState
	}
)

// callAgent is the specification: the states that the agent may have after a call, none if the
// reply is wrong in this state.
func callAgent(s agentState, call agentCall, got agentReply) []agentState {
	if got.code == http.StatusNotFound && !s.exists {
		return []agentState{s}
	}
	set := func(ok bool, to agentState) []agentState {
		if !ok {
			return nil
		}
		return []agentState{to}
	}
	gone := agentState{}
	left := agentState{exists: true, pinned: s.pinned, tokens: call.tokens}
	pinned := agentState{exists: true, pinned: call.verb == "pin", tokens: s.tokens}
	switch call.verb {
	case "create":
		if got.code == http.StatusConflict {
			return set(s.exists, s)
		}
		return set(got.code == http.StatusCreated && !s.exists, agentState{exists: true})
	case "delete":
		return set(got.code == http.StatusNoContent && s.exists, gone)
	case "read":
		return set(got.code == http.StatusOK && got.state == s, s)
	case "export":
		return set(got.code == http.StatusOK && s.exists && got.state.tokens == s.tokens, s)
	case "know":
		return set(got.code == http.StatusOK && s.exists, s)
	case "leave", "import":
		return set(got.code == http.StatusOK, left)
	case "pin", "unpin":
		return set(got.code == http.StatusOK && s.exists, pinned)
	case "try to pin", "try to unpin": // the agent was gone before or after it
		pinned.pinned = call.verb == "try to pin"
		if !s.exists {
			return []agentState{s}
		}
		return []agentState{s, pinned}
	}
	panic(call.verb)
}

var agentModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{agentState{}} },
	Step: func(state, input, output any) (next []any) {
		for _, s := range callAgent(state.(agentState), input.(agentCall), output.(agentReply)) {
			next = append(next, s)
		}
		return next
	},
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := map[string]int{}
		for _, o := range history {
			agent := o.Input.(agentCall).agent
			i, ok := at[agent]
			if !ok {
				i = len(parts)
				at[agent] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], o)
		}
		return parts
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprint(input, " -> ", output) },
}).ToModel()

// A chorus is clients that call the agents API at once, and what they were told.
type chorus struct {
	t      *testing.T
	url    string
	began  time.Time
	serial atomic.Int64 // makes each conversation as long as no other

	mu      sync.Mutex
	history []porcupine.Operation
	files   []agentFile
}

// An agentFile is an export, and what an import of it leaves.
type agentFile struct {
	agent  string
	tokens int
	data   []byte
}

// sing has so many clients make so many requests each, and checks all of them, for as long as
// patience lasts.
func sing(t *testing.T, seed uint64, patience time.Duration,
	wrap func(http.Handler) http.Handler) porcupine.CheckResult {
	s, e := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: t.TempDir(),
		KVBytes: 4 * 32 * 24, SaveAfter: time.Millisecond}, byteText{})
	defer e.Close()
	web := httptest.NewServer(wrap(s))
	defer web.Close()
	c := &chorus{t: t, url: web.URL, began: time.Now()}
	const clients, requests, agents = 8, 40, 3
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range requests {
				c.call(i, fmt.Sprint("agent", r.IntN(agents)), r.IntN(10), r.IntN(1000))
			}
		})
	}
	all.Wait()
	result, info := porcupine.CheckOperationsVerbose(agentModel, c.history, patience)
	if result == porcupine.Illegal && testing.Verbose() {
		path := t.ArtifactDir() + "/history.html"
		if err := porcupine.VisualizePath(agentModel, info, path); err == nil {
			t.Log("the history is in ", path)
		}
	}
	return result
}

// call makes one request. which chooses it, and file one of the exports so far.
func (c *chorus) call(client int, agent string, which, file int) {
	path := "/v1/agents/" + agent
	switch which {
	case 0:
		c.do(client, agent, "create", "POST", "/v1/agents", `{"agent_id":"`+agent+`"}`)
	case 1, 2, 3:
		// The number comes first, so that no conversation begins like another.
		n := c.serial.Add(1)
		text := fmt.Sprintf("%03d%s", n, strings.Repeat("x", int(n)))
		c.do(client, agent, "generate", "POST", path+"/generate",
			`{"max_tokens":3,"temperature":0,"messages":[{"role":"user","content":"`+text+`"}]}`)
	case 4:
		c.do(client, agent, "read", "GET", path, "")
	case 5:
		c.do(client, agent, "pin", "POST", path+"/pin", "")
	case 6:
		c.do(client, agent, "unpin", "POST", path+"/unpin", "")
	case 7:
		c.do(client, agent, "delete", "DELETE", path, "")
	case 8:
		c.do(client, agent, "export", "GET", path+"/export", "")
	case 9:
		c.mu.Lock()
		var f agentFile
		if len(c.files) > 0 {
			f = c.files[file%len(c.files)]
		}
		c.mu.Unlock()
		if f.data != nil {
			c.do(client, f.agent, "import", "POST", "/v1/agents/import", string(f.data))
		}
	}
}

// do sends a request and notes the calls that it is.
func (c *chorus) do(client int, agent, verb, method, path, body string) {
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return
	}
	began := int64(time.Since(c.began)) // not the time of day, which may be set back
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Error(err)
		return
	}
	answer, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	ended := int64(time.Since(c.began))
	if err != nil {
		c.t.Error(err)
		return
	}
	note := func(verb string, tokens int, got agentReply) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.history = append(c.history, porcupine.Operation{ClientId: client, Call: began,
			Return: ended, Input: agentCall{agent, verb, tokens}, Output: got})
	}
	got := agentReply{code: resp.StatusCode}
	if got.code >= 400 && got.code != http.StatusNotFound && got.code != http.StatusConflict {
		c.t.Errorf("%s %s: %d %s", method, path, got.code, answer)
		return
	}
	switch found := got.code == http.StatusOK; {
	case verb == "export" && found:
		f := agentFile{agent: agent, tokens: exportedTokens(answer), data: answer}
		got.state.tokens = f.tokens
		c.mu.Lock()
		c.files = append(c.files, f)
		c.mu.Unlock()
		note(verb, 0, got)
	case verb == "generate" && found:
		note("know", 0, got)
		note("leave", usedTokens(answer)-1, got) // the KV of the last token is not computed
	case verb == "generate":
		note("know", 0, got)
	case (verb == "pin" || verb == "unpin") && !found:
		note("try to "+verb, 0, agentReply{})
		note("read", 0, got)
	case found: // pin, unpin, import and read show the agent
		got.state = shownAgent(answer)
		if verb != "read" {
			note(verb, exportedTokens([]byte(body)), got)
		}
		note("read", 0, got)
	default:
		note(verb, 0, got)
	}
}

// exportedTokens returns how many tokens an export has, 0 for what is none.
func exportedTokens(file []byte) int {
	if len(file) < 8 {
		return 0
	}
	n := binary.LittleEndian.Uint64(file)
	if n > uint64(len(file)-8) {
		return 0
	}
	var head struct {
		Meta map[string]string `json:"__metadata__"`
	}
	if json.Unmarshal(bytes.TrimRight(file[8:8+n], " "), &head) != nil {
		return 0
	}
	var tokens int
	fmt.Sscan(head.Meta["tokens"], &tokens)
	return tokens
}

// usedTokens returns how many tokens a chat had, prompt and answer together.
func usedTokens(answer []byte) int {
	var a struct {
		Usage struct {
			Total int `json:"total_tokens"`
		}
	}
	json.Unmarshal(answer, &a)
	return a.Usage.Total
}

func shownAgent(answer []byte) agentState {
	var a agentInfo
	json.Unmarshal(answer, &a)
	return agentState{exists: true, pinned: a.Pinned, tokens: a.Tokens}
}

var chorusSeeds = flag.Int("chorus", 6, "seeds of TestLinearizable")

func TestLinearizable(t *testing.T) {
	for seed := range uint64(*chorusSeeds) {
		got := sing(t, seed, 5*time.Minute, func(h http.Handler) http.Handler { return h })
		if got != porcupine.Ok {
			t.Fatalf("seed %d: the history is %s", seed, got)
		}
	}
}

// meanwhile is how many requests come between what a planted bug does wrong and its end. It is no
// time, which a machine decides how much happens in.
const meanwhile = 24

// staleReads answers a read of an agent with what the last one saw, if that was a few requests ago.
func staleReads(h http.Handler) http.Handler {
	type answer struct {
		*httptest.ResponseRecorder
		at int // how many requests had come
	}
	var mu sync.Mutex
	seen, came := map[string]answer{}, 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		came++
		a, ok := seen[r.URL.Path]
		old, now := !ok || came-a.at > meanwhile, came
		mu.Unlock()
		if r.Method != "GET" || strings.HasSuffix(r.URL.Path, "/export") {
			h.ServeHTTP(w, r)
			return
		}
		if old {
			a = answer{httptest.NewRecorder(), now}
			h.ServeHTTP(a, r)
			mu.Lock()
			seen[r.URL.Path] = a
			mu.Unlock()
		}
		w.WriteHeader(a.Code)
		w.Write(a.Body.Bytes())
	})
}

// lateDeletes answers a DELETE a few requests before it is done.
func lateDeletes(h http.Handler) http.Handler {
	type deletion struct {
		*http.Request
		at int // how many requests will have come
	}
	var mu sync.Mutex
	var waiting []deletion
	came := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		came++
		var due []deletion
		for len(waiting) > 0 && waiting[0].at <= came {
			due, waiting = append(due, waiting[0]), waiting[1:]
		}
		mu.Unlock()
		for _, d := range due {
			h.ServeHTTP(httptest.NewRecorder(), d.Request)
		}
		if r.Method != "DELETE" {
			h.ServeHTTP(w, r)
			return
		}
		as := func(method string) *http.Request {
			same := httptest.NewRequest(method, r.URL.Path, nil)
			same.Host = r.Host
			return same
		}
		looked := httptest.NewRecorder()
		h.ServeHTTP(looked, as("GET"))
		if looked.Code == http.StatusNotFound {
			h.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		waiting = append(waiting, deletion{as("DELETE"), came + meanwhile})
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
}

// The check finds planted bugs.
func TestLinearizableFinds(t *testing.T) {
	for name, bug := range map[string]func(http.Handler) http.Handler{
		"stale reads": staleReads, "late deletes": lateDeletes,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if sing(t, seed, 20*time.Second, bug) == porcupine.Illegal {
					t.Logf("found in history %d", seed+1)
					return
				}
			}
			t.Error("not found in 20 histories")
		})
	}
}

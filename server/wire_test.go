package server

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// A transcript has the bytes that go over the wire, and is compared with a file in testdata. It is
// made in synctest's time, in which only the model's delay takes time, so the latencies are a part
// of it. Ids and the figures of the process are not.
type transcript struct {
	strings.Builder
	log strings.Builder // the access log
	// joined leaves out where chunks end, which may be in the middle of an id
	joined bool
}

var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"encrypted_content":"loadstone:[^"]+"`), `"encrypted_content":"loadstone:SEALED"`},
	{regexp.MustCompile(`\b(chatcmpl-|cmpl-|req_|msg_|call_|agent_|resp_|item_|fc_|ctc_|lsh_|rs_)[A-Z2-7]{26}`), "${1}ID"},
	{regexp.MustCompile(`(?m)^((?:process|go)_\w+) .*$`), "$1 N"},
	{regexp.MustCompile(`Content-Length: \d{4,}`), "Content-Length: N"}, // of the metrics
	{regexp.MustCompile(`\r\n`), "\n"},
}

// exchange returns the response.
func (tr *transcript) exchange(t *testing.T, l *memListener, what, request string) string {
	t.Helper()
	tr.log.Reset()
	response := l.exchange(t, request)
	if tr.joined {
		response = joinChunks(response)
	}
	synctest.Wait() // for the log line, which is written after the answer
	fmt.Fprintf(tr, "### %s\n%s\n\n--- answer\n%s\n--- log\n%s\n", what,
		strings.TrimRight(request, "\r\n"), response, tr.log.String())
	return response
}

// joinChunks returns a response without the lines between its chunks.
func joinChunks(response string) string {
	head, body, _ := strings.Cut(response, "\r\n\r\n")
	if !strings.Contains(head, "Transfer-Encoding: chunked") {
		return response
	}
	var b strings.Builder
	b.WriteString(head + "\r\n\r\n")
	for {
		size, rest, _ := strings.Cut(body, "\r\n")
		n, err := strconv.ParseUint(size, 16, 32)
		if err != nil || n == 0 || len(rest) < int(n)+2 {
			b.WriteString(rest)
			return b.String()
		}
		b.WriteString(rest[:n])
		body = rest[n+2:]
	}
}

func (tr *transcript) check(t *testing.T, name string) {
	t.Helper()
	got := tr.String()
	for _, v := range volatile {
		got = v.pattern.ReplaceAllString(got, v.with)
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./server -update", err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d: the wire has changed\n got %q\nwant %q\naccept it with: go test ./server -update", path, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", path, len(g), len(w))
}

func TestWireChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)},
			engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "an answer in one piece", post(say("Hi!", `"model":"echo"`)))
		tr.exchange(t, l, "a stream; 🙂 is four tokens", post(say("Hi 🙂", `"stream":true`)))
		tr.exchange(t, l, "a stream with usage, cut off at max_completion_tokens",
			post(say("Hello", `"stream":true`, `"stream_options":{"include_usage":true}`,
				`"max_tokens":9`, `"max_completion_tokens":3`)))
		tr.exchange(t, l, "an empty stream", post(say("", `"stream":true`)))
		// The stop string is complete with the last token. Where the engine must be cancelled for
		// it, it may or may not make one more step.
		tr.exchange(t, l, "a stop string over several tokens",
			post(say("one, two, three", `"stop":[", t"]`, `"max_tokens":6`)))
		tr.exchange(t, l, "the same as a stream",
			post(say("one, two, three", `"stop":[", t"]`, `"max_tokens":6`, `"stream":true`)))
		tr.exchange(t, l, "an agent's first turn",
			post(say("What I said before."), "X-Agent-ID: ada", "X-Request-ID: mine-1"))
		tr.exchange(t, l, "its second turn, in which the answer is cached as well",
			post(`{"messages":[{"role":"user","content":"What I said before."},{"role":"assistant","content":"What I said before."},{"role":"user","content":[{"type":"text","text":"And "},{"type":"text","text":"now"}]}]}`, "X-Agent-ID: ada"))
		tr.exchange(t, l, "the same from another agent",
			post(`{"messages":[{"role":"user","content":"What I said before."},{"role":"assistant","content":"What I said before."},{"role":"user","content":"And now"}]}`, "X-Agent-ID: bob"))
		tr.check(t, "chat")
	})
}

func TestWireRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t,
			Config{AccessLog: LineLog(&tr.log), Origins: []string{"https://app.example"}},
			engine.Config{Model: &echoModel{}}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "models", get("/v1/models"))
		tr.exchange(t, l, "one model", get("/v1/models/echo"))
		tr.exchange(t, l, "an unknown model", get("/v1/models/gpt-4"))
		tr.exchange(t, l, "an unknown path, which could break the log",
			get("/v2/x%0AREQUEST:%20GET"))
		tr.exchange(t, l, "a path that is not clean", get("//v1/../v1/models"))
		tr.exchange(t, l, "a wrong method", get("/v1/chat/completions"))
		tr.exchange(t, l, "preflight from a page on this machine",
			strings.Replace(get("/v1/chat/completions", "Origin: http://localhost:3000",
				"Access-Control-Request-Method: POST",
				"Access-Control-Request-Headers: content-type, x-agent-id"), "GET", "OPTIONS", 1))
		tr.exchange(t, l, "a configured origin", get("/health/live", "Origin: https://app.example"))
		tr.exchange(t, l, "preflight from any other page",
			strings.Replace(get("/v1/chat/completions", "Origin: https://evil.example",
				"Access-Control-Request-Method: POST"), "GET", "OPTIONS", 1))
		tr.exchange(t, l, "a post from any other page",
			post(say("hi"), "Origin: https://evil.example"))
		tr.exchange(t, l, "a post from a configured one",
			post(say("hi"), "Origin: https://app.example"))
		tr.check(t, "routes")
	})
}

// TestWireErrors has an exchange for the rows of the table in errors.go that a request can cause,
// and one for every 400 of a chat's fields.
func TestWireErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		model := &echoModel{delay: time.Millisecond}
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log), MaxBody: 300},
			engine.Config{Model: model, KVBytes: 4 * 32 * 64}, byteText{})
		l := listen(t, s)
		message := func(m string) string { return post(`{"messages":[` + m + `]}`) }
		for _, e := range []struct{ what, request string }{
			{"not JSON", post(`{"messages":[}`)},
			{"half of it", post(`{"messages":[`)},
			{"more than one", post(say("a") + say("b"))},
			{"a wrong type", post(`{"messages":"hi"}`)},
			{"a body of a wrong type", post(`[]`)},
			{"a fraction of a token", post(say("a", `"max_tokens":3.5`))},
			{"a wrong type deeper down", message(`{"role":7}`)},
			{"no messages", post(`{}`)},
			{"an unknown role", message(`{"role":"robot","content":"x"}`)},
			{"no content", message(`{"role":"user"}`)},
			{"content of a wrong type", message(`{"role":"user","content":7}`)},
			{"a part that is no text", message(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]}`)},
			{"a conversation that the template refuses", message(`{"role":"user","content":"refuse me"}`)},
			{"temperature", post(say("a", `"temperature":3`))},
			{"top_p", post(say("a", `"top_p":-0.1`))},
			{"top_k", post(say("a", `"top_k":-2`))},
			{"max_tokens", post(say("a", `"max_tokens":0`))},
			{"too many stop strings", post(say("a", `"stop":["1","2","3","4","5"]`))},
			{"an empty stop string", post(say("a", `"stop":""`))},
			{"stop of a wrong type", post(say("a", `"stop":7`))},
			{"stream_options without stream", post(say("a", `"stream_options":{"include_usage":true}`))},
			{"n", post(say("a", `"n":9`))},
			{"functions", post(say("a", `"functions":[{"name":"f"}]`))},
			{"a tool's name", post(say("a", `"tools":[{"type":"function","function":{"name":"f x"}}]`))},
			{"a tool that is not there", post(say("a", `"tool_choice":{"type":"function","function":{"name":"f"}}`))},
			{"response_format", post(say("a", `"response_format":{"type":"xml"}`))},
			{"top_logprobs", post(say("a", `"top_logprobs":2`))},
			{"a token that the model does not have", post(say("a", `"logit_bias":{"5000":1}`))},
			{"a penalty", post(say("a", `"presence_penalty":-3`))},
			{"a penalty of nothing", post(say("a", `"repetition_penalty":0`))},
			{"an agent's name", post(say("a"), "X-Agent-ID: ../../etc")},
			{"another model", post(say("a", `"model":"gpt-4"`))},
			{"a body over the limit", post(say(strings.Repeat("a", 300)))},
			{"longer than the context", postTo("/v1/messages", messagesBody("a", `"max_tokens":5000`))},
			{"larger than the pool", postTo("/v1/messages", messagesBody("a", `"max_tokens":4000`))},
			{"larger than the pool, which costs length", post(say("a", `"max_tokens":4000`))},
		} {
			tr.exchange(t, l, e.what, e.request)
		}
		model.broken = errors.New("step: out of luck")
		tr.exchange(t, l, "the model fails", post(say("a")))
		tr.exchange(t, l, "the model fails before a stream began", post(say("a", `"stream":true`)))
		tr.check(t, "errors")
	})
}

// TestWireStates goes through the states of a server: loading, ready, full, draining.
func TestWireStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		model := &echoModel{gate: make(chan struct{})}
		e, err := engine.New(engine.Config{Model: model, KVBytes: 4 * 32 * 64, MaxBatch: 1,
			MaxQueue: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s := newTestServer(Config{AccessLog: LineLog(&tr.log)})
		l := listen(t, s)
		tiers := func(state string) {
			for _, path := range []string{"/health/live", "/health/startup", "/health/ready"} {
				tr.exchange(t, l, state, get(path))
			}
		}
		s.Loading(187, 300)
		tiers("loading")
		tr.exchange(t, l, "loading", post(say("hi")))

		s.Ready(e, byteText{})
		tiers("ready")

		// One request runs and one waits, so the queue is full. Then a request runs that may take
		// nearly the whole pool.
		finished := make(chan string, 2)
		begin := func(maxTokens int) {
			go func() {
				finished <- l.exchange(t,
					post(say("hi", fmt.Sprintf(`"max_tokens":%d`, maxTokens))))
			}()
			synctest.Wait()
		}
		begin(8)
		begin(8)
		tr.exchange(t, l, "the queue is full", post(say("hi")))
		for range 2 {
			for len(finished) == 0 {
				model.gate <- struct{}{}
				synctest.Wait()
			}
			<-finished
		}
		begin(2020)
		tiers("the pool is nearly full and the engine is stuck in a step")
		tr.exchange(t, l, "the same", get("/admin/status"))
		time.Sleep(61 * time.Second)
		tiers("the engine has been stuck for 61 s")
		tr.exchange(t, l, "the same", get("/health"))
		tr.exchange(t, l, "the pool is nearly full", post(say("hi")))

		drained := make(chan error, 1)
		go func() { drained <- s.Drain(t.Context()) }()
		synctest.Wait()
		tiers("draining")
		tr.exchange(t, l, "draining", post(say("hi")))
		tr.exchange(t, l, "draining", get("/admin/drain"))
		for len(finished) == 0 {
			model.gate <- struct{}{}
			synctest.Wait()
		}
		if answer := <-finished; !strings.Contains(answer, `"content":"hi"`) {
			t.Errorf("the answer in flight when the drain began: %q", answer)
		}
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		tr.exchange(t, l, "drained", get("/metrics"))
		tr.check(t, "states")
	})
}

// A lostModel computes nothing any more once lost is set.
type lostModel struct {
	echoModel
	lost atomic.Pointer[error]
}

func (m *lostModel) Lost() error {
	if err := m.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// TestWireLost: a server whose model is lost says so, and takes no work.
func TestWireLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		model := &lostModel{}
		e, err := engine.New(engine.Config{Model: model, KVBytes: 4 * 32 * 64})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s := newTestServer(Config{AccessLog: LineLog(&tr.log)})
		l := listen(t, s)
		s.Ready(e, byteText{})
		tr.exchange(t, l, "ready", get("/health/ready"))
		lost := errors.New("part 1 is lost: it has ended; start all parts again")
		model.lost.Store(&lost)
		for _, path := range []string{"/health/live", "/health/ready", "/health", "/admin/status"} {
			tr.exchange(t, l, "a part of the model is lost", get(path))
		}
		tr.exchange(t, l, "the same", post(say("hi")))
		tr.check(t, "lost")
	})
}

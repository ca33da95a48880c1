package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// A scene is an agent, a proxy and a server, and what the proxy records.
type scene struct {
	t        *testing.T
	server   *httptest.Server
	front    *httptest.Server
	recorder *Recorder
	file     bytes.Buffer
	seen     [][]byte // the bodies that the server got
	mu       sync.Mutex
}

// newScene begins a recording of a server.
func newScene(t *testing.T, o Options, answer http.HandlerFunc) *scene {
	s := &scene{t: t}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			s.mu.Lock()
			s.seen = append(s.seen, body)
			s.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}))
	t.Cleanup(s.server.Close)
	var err error
	s.recorder, err = NewRecorder(&s.file, o)
	assert.NilError(t, err)
	to, err := url.Parse(s.server.URL)
	assert.NilError(t, err)
	s.front = httptest.NewServer(New(to, s.recorder))
	t.Cleanup(s.front.Close)
	return s
}

// post sends a body through the proxy and returns what came of it.
func (s *scene) post(path, body string, headers ...string) string {
	req, err := http.NewRequest("POST", s.front.URL+path, strings.NewReader(body))
	assert.NilError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	assert.NilError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	assert.NilError(s.t, err)
	return string(text)
}

// sessions ends the recording and reads it.
func (s *scene) sessions() []load.Session {
	s.front.Close()
	assert.NilError(s.t, s.recorder.Close())
	sessions, err := load.ReadRecording("recording", bytes.NewReader(s.file.Bytes()))
	assert.NilError(s.t, err, "%s", &s.file)
	return sessions
}

func calls(s load.Session) []load.Call { return slices.Collect(s.Calls) }

// replay is the body that a client sends for each call of a session, of answers as they were
// recorded. It is what a load does that replays the session (see harness.execution), in short.
func replay(t *testing.T, s load.Session, model string) (bodies []string) {
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	c.API, c.Model = client.API(s.API), model
	asked := map[int][]client.Message{}
	for _, call := range calls(s) {
		messages := slices.Clone(asked[call.From])
		if call.Keep > 0 {
			messages = messages[:call.Keep]
		}
		for _, m := range call.Add {
			messages = append(messages, client.Message{Role: m.Role, Content: m.Text, ToolCalls: m.ToolCalls, Raw: m.Raw})
		}
		asked[call.ID] = messages
		c.Ask(t.Context(), 0, client.Prompt{Form: client.API(s.API), Fields: call.Fields, Tools: call.Tools,
			Messages: messages, MaxTokens: call.Answer})
		bodies = append(bodies, string(got))
	}
	return bodies
}

// claude answers as Anthropic's API does, each turn with what the test gives it.
func claude(turns ...string) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		turn := turns[0]
		turns = turns[1:]
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":1}}}

`)
		w.(http.Flusher).Flush()
		kind, text, _ := strings.Cut(turn, ":")
		if kind == "tool" {
			fmt.Fprintf(w, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":%q,\"input\":{}}}\n\n", text)
			io.WriteString(w, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"x\\\":1}\"}}\n\n")
		} else {
			fmt.Fprintf(w, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", text)
		}
		io.WriteString(w, `event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}

event: message_stop
data: {"type":"message_stop"}

`)
	}
}

// These are the parts of requests as Claude Code makes them: a line of the system's text changes in
// every request, marks of what is to be cached move on with the conversation.
const (
	claudeTools = `"tools":[{"name":"Bash","description":"<runs> & returns","input_schema":{"type":"object"}},{"name":"Task","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}]`
	claudeMeta  = `"metadata":{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"5f0e\"}"}`
)

func claudeSystem(n int) string {
	return fmt.Sprintf(`"system":[{"type":"text","text":"x-anthropic-billing-header: cch=%04x;"},{"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral"}}]`, n)
}

func claudeBody(n int, messages ...string) string {
	return `{"model":"claude","max_tokens":32000,"messages":[` + strings.Join(messages, ",") + `],` + claudeSystem(n) + `,` +
		claudeTools + `,` + claudeMeta + `,"stream":true}`
}

const (
	userHi       = `{"role":"user","content":[{"type":"text","text":"<system-reminder>be good</system-reminder>"},{"type":"text","text":"Fix it"}]}`
	userHiMarked = `{"role":"user","content":[{"type":"text","text":"<system-reminder>be good</system-reminder>"},{"type":"text","text":"Fix it","cache_control":{"type":"ephemeral"}}]}`
	toolUse      = `{"role":"assistant","content":[{"type":"text","text":"I'll look."},{"type":"tool_use","id":"t1","name":"Task","input":{"x":1}}]}`
	toolResult   = `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"7 \u003e 3"}],"cache_control":{"type":"ephemeral"}}]}`
	toolResult1  = `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"7 \u003e 3"}]}]}`
	done         = `{"role":"assistant","content":"Done."}`
	thanks       = `{"role":"user","content":[{"type":"text","text":"Thanks. And that?","cache_control":{"type":"ephemeral"}}]}`
	summary      = `{"role":"user","content":"This session is being continued. Summary: it is fixed."}`
)

// Traffic of Claude Code's shape becomes one session: its own conversation with calls of tools and
// a new question, a sub-agent that it waits for, a history that was compacted. Each body is sent
// again byte for byte.
func TestClaudeCode(t *testing.T) {
	s := newScene(t, Options{}, claude("tool:Task", "text:found it", "text:Done.", "text:Yes.", "text:Go on."))
	sub := `{"model":"claude","max_tokens":8000,"messages":[{"role":"user","content":"Search"}],"system":[{"type":"text","text":"You search."}],` + claudeMeta + `,"stream":true}`
	bodies := []string{
		claudeBody(1, userHiMarked),
		sub,
		claudeBody(2, userHi, toolUse, toolResult),
		claudeBody(3, userHi, toolUse, toolResult1, done, thanks),
		claudeBody(4, summary),
	}
	for _, body := range bodies {
		s.post("/v1/messages?beta=true", body, "X-Claude-Code-Session-Id", "5f0e", "X-Api-Key", "sk-ant-123456789")
	}
	sessions := s.sessions()
	assert.Equal(t, len(sessions), 1)
	assert.Equal(t, sessions[0].API, "messages")
	var got []string
	for _, c := range calls(sessions[0]) {
		got = append(got, fmt.Sprintf("%d from %d keep %d after %v add %d sub %d turn %d person %t answer %d was %q %d/%d/%d", c.ID, c.From, c.Keep,
			c.After, len(c.Add), c.Sub, c.Turn, c.Person, c.Answer, c.Recorded.Text+string(c.Recorded.ToolCalls), c.Recorded.Prompt, c.Recorded.Cached, c.Recorded.Output))
	}
	assert.DeepEqual(t, got, []string{
		`0 from -1 keep 0 after [] add 2 sub 0 turn 0 person false answer 32000 was "[{\"type\":\"function\",\"function\":{\"name\":\"Task\",\"arguments\":\"{\\\"x\\\":1}\"}}]" 330/300/7`,
		`1 from -1 keep 0 after [0] add 2 sub 1 turn 0 person false answer 8000 was "found it" 330/300/7`,
		`2 from 0 keep 1 after [1] add 3 sub 0 turn 0 person false answer 32000 was "Done." 330/300/7`,
		`3 from 2 keep 3 after [] add 3 sub 0 turn 1 person true answer 32000 was "Yes." 330/300/7`,
		`4 from 3 keep 1 after [] add 1 sub 0 turn 1 person false answer 32000 was "Go on." 330/300/7`,
	})
	assert.DeepEqual(t, replay(t, sessions[0], "claude"), bodies)
	assert.Assert(t, !strings.Contains(s.file.String(), "sk-ant"))
	assert.Equal(t, s.recorder.Stats().Cached, 1500)
}

// codex answers as the responses API does, with an id for each answer: items, or a text.
func codex(turns ...string) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		turn := turns[n]
		n++
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_%d\",\"status\":\"in_progress\",\"output\":[]}}\n\n", n)
		fmt.Fprintf(w, "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"item\":%s}\n\n", turn)
		fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_%d\",\"status\":\"completed\",\"output\":[%s],"+
			"\"usage\":{\"input_tokens\":50,\"input_tokens_details\":{\"cached_tokens\":32},\"output_tokens\":4,\"output_tokens_details\":{\"reasoning_tokens\":0}}}}\n\n", n, turn)
	}
}

const (
	developer = `{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions>none</permissions>"}]}`
	asked     = `{"type":"message","role":"user","content":[{"type":"input_text","text":"Fix it"}]}`
	thought   = `{"type":"reasoning","summary":[],"encrypted_content":"Z2g="}`
	shell     = `{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}`
	output    = `{"type":"function_call_output","call_id":"c1","output":"a\nb"}`
	told      = `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Fixed."}]}`
	more      = `{"type":"message","role":"user","content":[{"type":"input_text","text":"Why?"}]}`
)

func codexBody(items ...string) string {
	return `{"model":"gpt","instructions":"You are Codex.","input":[` + strings.Join(items, ",") + `],"tools":[{"type":"function","name":"shell","strict":false,"parameters":{}}],` +
		`"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"019a"}`
}

// Traffic of Codex's shape becomes one session by its prompt_cache_key, without any header. Each
// body is sent again byte for byte.
func TestCodex(t *testing.T) {
	s := newScene(t, Options{}, codex(shell, told, told))
	bodies := []string{
		codexBody(developer, asked),
		codexBody(developer, asked, thought, shell, output),
		codexBody(developer, asked, thought, shell, output, told, more),
	}
	for _, body := range bodies {
		s.post("/v1/responses", body)
	}
	sessions := s.sessions()
	assert.Equal(t, len(sessions), 1)
	all := calls(sessions[0])
	assert.Equal(t, len(all), 3)
	assert.Equal(t, string(all[0].Recorded.ToolCalls), `[{"type":"function","function":{"name":"shell","arguments":"{\"command\":[\"ls\"]}"}}]`)
	assert.Equal(t, all[1].From, 0)
	assert.Equal(t, all[1].Person, false)
	assert.Equal(t, all[2].From, 1)
	assert.Equal(t, all[2].Person, true)
	assert.Equal(t, all[2].Recorded.Text, "Fixed.")
	assert.DeepEqual(t, []int{all[2].Recorded.Prompt, all[2].Recorded.Cached, all[2].Recorded.Output, len(all[2].Add)}, []int{50, 32, 4, 2})
	assert.DeepEqual(t, replay(t, sessions[0], "gpt"), bodies)
}

// A request that goes on from an answer by its name is replayed with the whole conversation, since
// the name is another server's.
func TestPreviousResponse(t *testing.T) {
	s := newScene(t, Options{}, codex(told, told, told))
	s.post("/v1/responses", `{"model":"m","input":"Fix it","stream":true}`)
	s.post("/v1/responses", `{"model":"m","previous_response_id":"resp_1","input":[`+more+`],"stream":true}`)
	s.post("/v1/responses", `{"model":"m","previous_response_id":"resp_9","input":[`+more+`],"stream":true}`)
	sessions := s.sessions()
	assert.Equal(t, len(sessions), 2) // what goes on from an answer that nobody saw is a session of its own
	assert.DeepEqual(t, replay(t, sessions[0], ""), []string{
		`{"model":"m","input":"Fix it","stream":true}`,
		`{"model":"m","input":[{"role":"user","content":"Fix it"},` + told + `,` + more + `],"stream":true}`})
	assert.Equal(t, s.recorder.Stats().Orphans, 1)
}

// chat answers as the chat API does.
func chat(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"so"},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":8}}}`)
}

func chatBody(messages ...string) string {
	return `{"messages":[` + strings.Join(messages, ",") + `],"model":"m","max_tokens":5}`
}

// Agents that name no session are told apart by their histories, and each of their calls goes on
// from the one whose history it has.
func TestGrowingHistories(t *testing.T) {
	s := newScene(t, Options{}, chat)
	said := func(role, text string) string { return `{"role":"` + role + `","content":"` + text + `"}` }
	a1, b1 := said("user", "from a"), said("user", "from b")
	so := said("assistant", "so")
	bodies := [][]string{
		{chatBody(a1), chatBody(a1, so, said("user", "a again")), chatBody(a1, so, said("user", "a again"), so, said("user", "a last"))},
		{chatBody(b1), chatBody(b1, so, said("user", "b again"))}}
	for _, turn := range []string{bodies[0][0], bodies[1][0], bodies[1][1], bodies[0][1], bodies[0][2]} {
		s.post("/v1/chat/completions", turn)
	}
	sessions := s.sessions()
	assert.Equal(t, len(sessions), 2)
	for i := range sessions {
		assert.DeepEqual(t, replay(t, sessions[i], "m"), bodies[i])
		for j, c := range calls(sessions[i]) {
			assert.Equal(t, c.From, j-1)
			assert.Equal(t, c.Keep, 0)
			assert.Equal(t, c.Recorded.Text, "so")
		}
	}
}

// What passes is what was sent, byte for byte: bodies, compressed or chunked or not, headers,
// trailers, addresses. What is compressed is read aside.
func TestNothingChanges(t *testing.T) {
	zip := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		io.WriteString(w, text)
		w.Close()
		return b.String()
	}
	answer := zip(`{"choices":[{"message":{"role":"assistant","content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`)
	type request struct {
		method, uri, body string
		header            http.Header
	}
	var got request
	server := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = request{r.Method, r.RequestURI, string(body), r.Header}
		h := w.Header()
		h.Set("Content-Encoding", "gzip")
		h["Content-Type"], h["Date"] = nil, nil
		h["X-Twice"] = []string{"a", "b"}
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Trailer", "X-Total")
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, answer)
		h.Set("X-Total", "19")
	}
	s := newScene(t, Options{}, server)
	ask := func(base string) (request, string, http.Header, http.Header) {
		req, err := http.NewRequest("POST", base+"/v1/chat/completions?a=%2Fb;c&d", strings.NewReader(zip(chatBody(`{"role":"user","content":"hi"}`))))
		assert.NilError(t, err)
		req.Header = http.Header{"Content-Encoding": {"gzip"}, "Accept-Encoding": {"gzip, br"}, "X-Forwarded-For": {"me"}, "X-Odd": {"1", "2"},
			"Connection": {"X-Private"}, "X-Private": {"1"}, "User-Agent": nil}
		res, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
		assert.NilError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		assert.NilError(t, err)
		return got, string(text), res.Header, res.Trailer
	}
	wantRequest, wantText, wantHeader, wantTrailer := ask(s.server.URL)
	gotRequest, gotText, gotHeader, gotTrailer := ask(s.front.URL)
	for _, h := range []http.Header{wantRequest.header, wantHeader} {
		h.Del("X-Private")
		h.Del("X-Hop")
		h.Del("Connection")
	}
	assert.Equal(t, gotRequest.method+gotRequest.uri+gotRequest.body, wantRequest.method+wantRequest.uri+wantRequest.body)
	assert.DeepEqual(t, gotRequest.header, wantRequest.header)
	assert.Equal(t, gotText, wantText)
	assert.DeepEqual(t, gotHeader, wantHeader)
	assert.DeepEqual(t, gotTrailer, wantTrailer)
	sessions := s.sessions()
	assert.Equal(t, calls(sessions[0])[0].Recorded.Text, "so")
	assert.Equal(t, calls(sessions[0])[0].Add[0].Text, "hi")
}

// An event is passed on when it comes, not when the next one does.
func TestEventsAtOnce(t *testing.T) {
	next := make(chan bool)
	s := newScene(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
		io.WriteString(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	res, err := http.Post(s.front.URL+"/v1/chat/completions", "application/json", strings.NewReader(chatBody(`{"role":"user","content":"hi"}`)))
	assert.NilError(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for range 3 { // each event is read before the server is told to go on: else this waits for ever
		assert.Assert(t, lines.Scan() && strings.HasPrefix(lines.Text(), "data: {") && lines.Scan())
		next <- true
	}
	for lines.Scan() {
	}
	sessions := s.sessions()
	was := calls(sessions[0])[0].Recorded
	assert.Equal(t, was.Text, "xxx")
	assert.Equal(t, was.Failure, "")
	assert.Assert(t, was.First > 0 && was.First <= was.Took)
}

// An answer that breaks off breaks off for the agent as well, an agent that goes away ends the
// server's work, and a server that is not there is a 502: each is recorded as far as it came, and
// the proxy goes on.
func TestBreaks(t *testing.T) {
	gone := make(chan bool, 1)
	s := newScene(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n")
		w.(http.Flusher).Flush()
		if strings.Contains(string(body), "the server") {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
		gone <- true
	})
	body := func(who string) io.Reader {
		return strings.NewReader(chatBody(`{"role":"user","content":"break ` + who + `"}`))
	}
	res, err := http.Post(s.front.URL+"/v1/chat/completions", "application/json", body("the server"))
	assert.NilError(t, err)
	_, err = io.ReadAll(res.Body)
	assert.ErrorContains(t, err, "unexpected EOF")
	res.Body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.front.URL+"/v1/chat/completions", body("the agent"))
	assert.NilError(t, err)
	res, err = http.DefaultClient.Do(req)
	assert.NilError(t, err)
	res.Body.Read(make([]byte, 1))
	cancel()
	<-gone
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		if s.recorder.Stats().Calls == 2 {
			return poll.Success()
		}
		return poll.Continue("%+v", s.recorder.Stats())
	}, poll.WithTimeout(time.Minute), poll.WithDelay(10*time.Millisecond))

	s.server.Close()
	assert.Assert(t, strings.Contains(s.post("/v1/chat/completions", chatBody()), "loadstone record cannot reach 127.0.0.1:"))
	sessions := s.sessions()
	var failures []string
	for _, session := range sessions {
		for _, c := range calls(session) {
			assert.Equal(t, c.Recorded.Text, "half")
			assert.Equal(t, c.Recorded.Output, 1)
			failures = append(failures, c.Recorded.Failure)
		}
	}
	assert.DeepEqual(t, failures, []string{"the server broke off", "the agent broke off"})
	stats := s.recorder.Stats()
	assert.Equal(t, stats.Broken, 2)
	assert.Equal(t, stats.Unsent, 1)
	assert.Assert(t, strings.Contains(stats.WhyUnsent, "connection refused"), stats.WhyUnsent)
}

// No key that an agent shows in a header, a cookie or an address is written, also where it stands
// in a text. The server gets all of them.
func TestKeys(t *testing.T) {
	s := newScene(t, Options{}, chat)
	body := chatBody(`{"role":"user","content":"my key is sk-secret-1, the cookie c00kie-secret, q-secret-9 and \"quoted-\\secret\""}`)
	s.post("/v1/chat/completions?api_key=q-secret-9", body, "Authorization", "Bearer sk-secret-1", "Cookie", "session=c00kie-secret",
		"X-Api-Key", `"quoted-\secret"`, "X-Agent-Id", "q-secret-9")
	assert.Equal(t, string(s.seen[0]), body)
	s.sessions()
	text := s.file.String()
	assert.Assert(t, !strings.Contains(text, "secret"), text)
	assert.Assert(t, strings.Contains(text, "my key is [key], the cookie [key], [key] and"), text)
	assert.Equal(t, s.recorder.Stats().Masked, 5)
}

// A private recording has the lengths, and equal words for equal texts, and nothing of what was
// said. It is replayed as any other.
func TestPrivate(t *testing.T) {
	s := newScene(t, Options{Private: true}, claude("tool:Confidential", "text:Geheim", "text:Secreto"))
	long := strings.Repeat("Nobody must read this. ", 100)
	sub := strings.Replace(userHiMarked, "Fix it", long, 1)
	s.post("/v1/messages", claudeBody(1, sub), "X-Agent-Id", "alice")
	s.post("/v1/messages", claudeBody(1, sub, toolUse, toolResult), "X-Agent-Id", "alice")
	s.post("/v1/messages", claudeBody(1, sub), "X-Agent-Id", "bob")
	sessions := s.sessions()
	text := s.file.String()
	for _, word := range []string{"Nobody", "Claude", "look", "Confidential", "Geheim", "Secreto", "alice", "bob", "Bash", "5f0e", "127.0.0.1"} {
		assert.Assert(t, !strings.Contains(text, word), "%s in %s", word, text)
	}
	assert.Equal(t, len(sessions), 2)
	alice, bob := calls(sessions[0]), calls(sessions[1])
	assert.DeepEqual(t, alice[0].Add, bob[0].Add)
	tokens := 0
	for _, m := range alice[0].Add {
		for _, w := range m.Words {
			tokens += w.Tokens
		}
	}
	assert.Assert(t, tokens > 320 && tokens < 340, tokens) // the server counted 330
	assert.Equal(t, alice[1].From, 0)
	assert.Equal(t, alice[1].Keep, 0)
	assert.Equal(t, alice[1].Add[0].Reply, true)
	assert.Equal(t, alice[0].Recorded.Output, 7)
}

// Whatever breaks off when, and however the pieces are cut, the agent has what the server sent up
// to there, the recording can be read, and what it says of an answer is a beginning of it.
func FuzzBreaks(f *testing.F) {
	f.Add(uint8(0), uint16(40), uint8(7), false)
	f.Add(uint8(1), uint16(3), uint8(1), true)
	f.Add(uint8(2), uint16(500), uint8(64), false)
	f.Add(uint8(3), uint16(0), uint8(200), true)
	const whole = "data: {\"choices\":[{\"delta\":{\"content\":\"a \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b \"}}]}\n\n" +
		"data: {\"choices\":[{\"delta\":{\"content\":\"c \"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	f.Fuzz(func(t *testing.T, who uint8, at uint16, cut uint8, length bool) {
		end := min(int(at), len(whole))
		s := newScene(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			if length {
				w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			}
			for i := 0; i < len(whole); i += int(cut) + 1 {
				next := min(i+int(cut)+1, len(whole))
				if who%2 == 0 && next > end {
					io.WriteString(w, whole[i:max(i, end)])
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
				if _, err := io.WriteString(w, whole[i:next]); err != nil {
					return
				}
				http.NewResponseController(w).Flush()
			}
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.front.URL, "http://"))
		assert.NilError(t, err)
		body := chatBody(`{"role":"user","content":"hi"}`)
		request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if who%4 == 3 { // the agent goes in the middle of its own request
			request = request[:min(len(request), int(at))]
		}
		io.WriteString(conn, request)
		if who%4 == 3 {
			conn.Close()
		} else {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				var got []byte
				if who%4 == 1 {
					got = make([]byte, end)
					n, _ := io.ReadFull(res.Body, got)
					got = got[:n]
				} else {
					got, err = io.ReadAll(res.Body)
					assert.Assert(t, err != nil || string(got) == whole || who%2 == 0 && end == len(whole), "an answer that broke off looks whole: %q", got)
				}
				assert.Assert(t, strings.HasPrefix(whole, string(got)), "%q", got)
			}
			conn.Close()
		}
		s.front.Close()
		assert.NilError(t, s.recorder.Close())
		if st := s.recorder.Stats(); st.Calls == 0 {
			return
		}
		sessions, err := load.ReadRecording("recording", bytes.NewReader(s.file.Bytes()))
		assert.NilError(t, err)
		was := calls(sessions[0])[0].Recorded
		assert.Assert(t, strings.HasPrefix("a b c ", was.Text), was.Text)
		assert.Assert(t, was.Failure != "" || was.Text == "a b c ")
	})
}

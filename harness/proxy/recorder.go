package proxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Recorder groups the exchanges of a Proxy into sessions and writes each call when it has ended.
// It works in its own goroutine, in the order in which exchanges ended.
type Recorder struct {
	start   time.Time
	out     *load.Recording
	mask    *mask
	private *private // nil if texts are recorded

	mu     sync.Mutex
	more   sync.Cond
	queue  []*exchange
	closed bool
	done   chan struct{}
	stats  Stats
	err    error
	bodies sync.Pool // *[]byte, memory of requests' bodies that have been recorded

	// Only the goroutine uses these.
	named     map[string]*session // by API and name
	ends      map[hash][]*call    // by the hash of the whole prompt
	responses map[string]*call    // by the ID of the answer
	normals   map[hash]hash       // normal hash by hash, of messages that were seen before
	taken     map[string]bool     // names of sessions that are in use
	texts     []*session          // unnamed sessions of the completions API, the latest last
	sessions  int                 // number of sessions so far
}

// Stats counts what was recorded so far.
type Stats struct {
	Sessions, Calls        int
	Prompt, Cached, Output int    // tokens, as the server counted them
	Refused                int    // requests that the server refused; they are not recorded
	Unsent                 int    // requests that did not reach the server
	WhyUnsent              string // the error of the first Unsent
	Broken                 int    // incomplete answers; they are recorded as far as they came
	Unread                 int    // requests or answers that could not be parsed; not recorded
	Why                    string // the error of the first Unread
	Others                 int    // requests on other routes; they are only forwarded
	Masked                 int    // keys that were replaced in texts
	Orphans                int    // calls that continue an answer that was not recorded
	InFlight               int    // requests whose answer has not ended
	Waiting                int    // exchanges that have ended and are not written yet
}

// Options configure a recording.
type Options struct {
	Source  string // describes what is recorded, for the header
	Private bool   // records lengths and hashes of blocks in place of texts
}

// NewRecorder begins a recording and writes its header to w. Each call is one Write of one line.
func NewRecorder(w io.Writer, o Options) (*Recorder, error) {
	r := &Recorder{start: time.Now(), mask: &mask{to: w}, done: make(chan struct{}),
		named: map[string]*session{}, ends: map[hash][]*call{}, responses: map[string]*call{},
		normals: map[hash]hash{}, taken: map[string]bool{}}
	r.more.L = &r.mu
	if o.Private {
		r.private = newPrivate()
	}
	var err error
	r.out, err = load.NewRecording(r.mask, load.RecordingHeader{Source: o.Source,
		Began: r.start.UTC().Truncate(time.Second), Private: o.Private})
	if err != nil {
		return nil, err
	}
	go r.work()
	return r, nil
}

// Stats returns the counts so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Close waits until all exchanges that have ended are written. It returns the first write error.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	r.more.Signal()
	r.mu.Unlock()
	<-r.done
	return r.err
}

// apis maps the end of a recorded route to its API.
var apis = map[string]client.API{"/chat/completions": client.Chat,
	"/completions": client.Completions, "/messages": client.Messages,
	"/responses": client.Responses}

// apiOf returns the API of a request, or "" if its route is not recorded.
func apiOf(r *http.Request) client.API {
	if r.Method != http.MethodPost {
		return ""
	}
	path := strings.TrimRight(r.URL.Path, "/")
	for _, end := range []string{"/chat/completions", "/completions", "/messages", "/responses"} {
		if strings.HasSuffix(path, end) {
			return apis[end]
		}
	}
	return ""
}

// agentHeaders lists the headers that name a session. The first that a request has is used.
var agentHeaders = []string{"X-Agent-Id", "X-Claude-Code-Session-Id", "X-Session-Id", "Session-Id",
	"Session_id", "Conversation-Id", "Conversation_id", "Thread-Id", "X-Opencode-Session",
	"X-Session-Affinity"}

// begin returns the exchange of a request that has arrived.
func (r *Recorder) begin(req *http.Request) *exchange {
	x := &exchange{api: apiOf(req), began: r.since(), clock: r.since,
		requestEncoding: req.Header.Get("Content-Encoding"), keys: keysOf(req)}
	for _, header := range agentHeaders {
		if x.name = req.Header.Get(header); x.name != "" {
			if x.agent = header == "X-Agent-Id"; x.agent {
				x.name, x.part = parted(x.name)
			}
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight++
	return x
}

// parts matches the end of an agent's name that names a part of the agent, as Loadstone's own load
// has them: NAME:s1 is the agent's first sub-agent, NAME:3:2 its second question beside turn 3.
var parts = regexp.MustCompile(`:(s\d+|\d+:\d+)$`)

// parted cuts the part off an agent's name.
func parted(name string) (agent, part string) {
	i := len(name)
	if at := parts.FindStringIndex(name); at != nil && at[0] > 0 {
		i = at[0]
	}
	return name[:i], name[i:]
}

func (r *Recorder) since() time.Duration { return time.Since(r.start) }

// end queues an exchange that has ended.
func (r *Recorder) end(x *exchange) {
	x.ended = r.since()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight--
	r.stats.Waiting++
	r.queue = append(r.queue, x)
	r.more.Signal()
}

// work records queued exchanges until the recorder is closed.
func (r *Recorder) work() {
	defer close(r.done)
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.closed {
			r.more.Wait()
		}
		if len(r.queue) == 0 {
			r.mu.Unlock()
			return
		}
		x := r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		r.take(x)
		r.free(x)
		r.count(func(s *Stats) { s.Waiting-- })
	}
}

// room returns memory for a body of n bytes. New memory of 400 kB for every request would cost the
// agent more than the copy of its bytes.
func (r *Recorder) room(n int) []byte {
	if b, ok := r.bodies.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:0]
	}
	return make([]byte, 0, n+n/4) // the session's next body is longer
}

// free takes back the memory of a recorded exchange's body. Nothing refers to it then.
func (r *Recorder) free(x *exchange) {
	if x.request == nil {
		return
	}
	if text := x.request.release(); cap(text) > 0 {
		r.bodies.Put(&text)
	}
}

// count changes the stats.
func (r *Recorder) count(change func(s *Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

// take records an exchange, or counts why it is not recorded.
func (r *Recorder) take(x *exchange) {
	r.mask.add(x.keys)
	switch {
	case x.unsent != nil:
		r.count(func(s *Stats) {
			s.Unsent++
			s.WhyUnsent = cmp.Or(s.WhyUnsent, without(x.unsent))
		})
		return
	case x.api == "":
		r.count(func(s *Stats) { s.Others++ })
		return
	case x.status != http.StatusOK && x.status != 0:
		r.count(func(s *Stats) { s.Refused++ })
		return
	case x.status == 0:
		r.count(func(s *Stats) { s.Broken++ })
		return
	}
	if err := r.record(x); err != nil {
		r.count(func(s *Stats) {
			s.Unread++
			s.Why = cmp.Or(s.Why, err.Error())
		})
	}
}

// record writes an exchange that was answered.
func (r *Recorder) record(x *exchange) error {
	sent, whole := x.request.sent()
	if !whole || x.size > maxBody {
		return fmt.Errorf("a body is empty or longer than %d MiB", maxBody>>20)
	}
	text, err := decoded(x.requestEncoding, sent)
	if err != nil {
		return err
	}
	b, err := parseBody(x.api, text)
	if err != nil {
		return err
	}
	a, items, id, err := x.answer()
	if err != nil {
		return err
	}
	p := r.promptOf(b)
	s, fresh := r.sessionOf(x, b, p)
	c, now := r.link(s, p, b, x)
	c.Recorded = was(x, a)
	if r.private != nil {
		r.private.hide(s, &c, b, p)
	}
	before := r.mask.found
	if err := r.out.Write(&s.Session, &c); err != nil {
		r.err = cmp.Or(r.err, err)
		return err
	}
	r.keep(now)
	if x.api == client.Completions && len(b.said) > 0 {
		s.text = bytes.Clone(b.said[0])
	}
	if b.stores && id != "" && items != nil {
		now.name, now.raw, now.said = id, p.copied(len(b.said)), items
		r.responses[id] = now
	}
	r.count(func(st *Stats) {
		st.add(&a)
		st.Masked += r.mask.found - before
		if fresh {
			st.Sessions++
		}
		if c.Recorded.Failure != "" {
			st.Broken++
		}
		if b.previous != "" && r.responses[b.previous] == nil {
			st.Orphans++
		}
	})
	return nil
}

// add counts a call and its tokens.
func (s *Stats) add(a *record.Record) {
	s.Calls++
	s.Prompt += max(a.PromptTokens, 0)
	s.Cached += max(a.CachedTokens, 0)
	s.Output += max(a.OutputTokens, 0)
}

// promptOf returns the conversation of a body. For a body with a previous_response_id it is the
// conversation of that response, the response, and the body's own messages.
func (r *Recorder) promptOf(b *body) *prompt {
	before := r.responses[b.previous]
	if before == nil {
		return r.prompt(b.said, b.system)
	}
	raw := slices.Concat(before.raw, before.said, b.said)
	p := r.prompt(raw, nil)
	p.replied = len(before.said)
	return p
}

// sessionOf returns the session of an exchange: the one that its headers or its body name, or that
// of the conversation that it continues, or a new one. fresh reports whether it is new.
func (r *Recorder) sessionOf(x *exchange, b *body, p *prompt) (s *session, fresh bool) {
	if from := r.responses[b.previous]; from != nil {
		return from.session, false
	}
	name := cmp.Or(x.name, b.name)
	key := string(x.api) + " " + name
	if name != "" {
		if s = r.named[key]; s != nil {
			return s, false
		}
	} else if s = r.grown(x.api, b); s != nil {
		return s, false
	} else if from, _ := r.before(x, p, nil); from != nil {
		return from.session, false
	}
	r.sessions++
	s = &session{api: x.api, began: x.began}
	s.Name, s.API, s.At = fmt.Sprintf("s%d", r.sessions), string(x.api), x.began
	if x.agent && r.private == nil {
		s.Name = x.name
		for n := 2; r.taken[s.Name]; n++ { // the same agent used another API before
			s.Name = fmt.Sprintf("%s-%d", x.name, n)
		}
	}
	r.taken[s.Name] = true
	if x.api == client.Completions && name == "" {
		r.texts = append(r.texts[max(0, len(r.texts)-maxRecent):], s)
	}
	if name != "" {
		r.named[key] = s
	}
	return s, true
}

// grown returns the session of the completions API whose last prompt is a prefix of the body's, or
// nil.
func (r *Recorder) grown(api client.API, b *body) *session {
	if api != client.Completions || len(b.said) == 0 {
		return nil
	}
	for _, s := range slices.Backward(r.texts) {
		// The last byte of the text is its quote.
		if n := len(s.text); n > 1 && bytes.HasPrefix(b.said[0], s.text[:n-1]) {
			return s
		}
	}
	return nil
}

// answer parses the answer of an exchange. items and id are the output items and the ID of a
// response of the responses API.
func (x *exchange) answer() (a record.Record, items []json.RawMessage, id string, err error) {
	pieces := x.pieces
	if x.encoding != "" {
		text, err := decoded(x.encoding, textOf(pieces))
		if err != nil {
			return a, nil, "", err
		}
		at := x.ended // the times of single pieces are not known
		pieces = []client.Piece{{At: at, Text: text}}
	}
	a = client.ReadAnswer(x.api, x.contentType, pieces)
	if x.api == client.Responses {
		items, id = outputOf(textOf(pieces))
	}
	return a, items, id, nil
}

func textOf(pieces []client.Piece) (all []byte) {
	for _, p := range pieces {
		all = append(all, p.Text...)
	}
	return all
}

// outputOf returns the output items of a response of the responses API, in the form in which agents
// send them back, and its ID.
func outputOf(text []byte) (items []json.RawMessage, id string) {
	type response struct {
		ID     string            `json:"id"`
		Output []json.RawMessage `json:"output"`
	}
	var whole response
	if json.Unmarshal(text, &whole) != nil {
		for line := range bytes.Lines(text) {
			line, ok := bytes.CutPrefix(line, []byte("data:"))
			if !ok || !bytes.Contains(line, []byte(`"response"`)) {
				continue
			}
			var e struct {
				Type     string   `json:"type"`
				Response response `json:"response"`
			}
			if json.Unmarshal(line, &e) == nil && e.Type == "response.completed" {
				whole = e.Response
			}
		}
	}
	for _, item := range whole.Output {
		// Reasoning that only the server stores has no text that could be sent back.
		encrypted := bytes.Contains(item, []byte(`"encrypted_content":"`))
		if look(item).kind != "reasoning" || encrypted {
			items = append(items, item)
		}
	}
	return items, whole.ID
}

// was returns the recorded result of a call.
func was(x *exchange, a record.Record) *load.Recorded {
	w := &load.Recorded{Text: a.Answer, Thought: a.Thought, ToolCalls: toolCalls(a.Calls),
		Finish: a.Finish, Failure: x.failure, Prompt: a.PromptTokens, Cached: a.CachedTokens,
		Output: max(a.OutputTokens, a.Claimed), Reasoning: -1, Took: x.ended - x.began}
	if a.ReasoningTokens > 0 {
		w.Reasoning = a.ReasoningTokens
	}
	if a.Outcome != record.OK && w.Failure == "" {
		w.Failure = a.Error
	}
	if w.Output < 0 || a.Outcome == record.Truncated {
		w.Output = len(a.Chunks) // servers send about one piece for each token
	}
	first := a.FirstContent
	if len(a.Chunks) > 0 {
		first = a.Chunks[0]
	}
	if first >= 0 {
		w.First = first - x.began
	}
	return w
}

// toolCalls converts the tool calls of a record, one line each with the tool and its arguments, to
// the form of OpenAI's chat API. Arguments may contain line ends.
func toolCalls(text string) json.RawMessage {
	type function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	type toolCall struct {
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	var calls []toolCall
	for rest := strings.TrimPrefix(text, "\n"); rest != ""; rest = strings.TrimPrefix(rest, "\n") {
		name, after, _ := strings.Cut(rest, " ")
		arguments := after
		values := json.NewDecoder(strings.NewReader(after))
		var value json.RawMessage
		if values.Decode(&value) == nil {
			arguments, rest = string(value), after[values.InputOffset():]
		} else {
			arguments, rest, _ = strings.Cut(after, "\n")
		}
		calls = append(calls, toolCall{"function", function{name, arguments}})
	}
	if calls == nil {
		return nil
	}
	raw, _ := json.Marshal(calls)
	return raw
}

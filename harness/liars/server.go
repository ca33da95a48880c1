package liars

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The times of the truthful server at scale 1. They do not depend on its load.
const (
	firstToken  = 100 * time.Millisecond // until the first token of an empty prompt
	promptToken = time.Millisecond       // of each prompt token that is not cached
	eachToken   = 10 * time.Millisecond  // from one token of an answer to the next
)

// Options are how a server is made.
type Options struct {
	Scale float64 // by which all times are multiplied; 0 is 1
	Seed  uint64  // of the answers
}

// A Server is the truthful server, or one with a liar's lie. It answers OpenAI's chat API, with
// words that depend on the whole prompt, and keeps the truth about every request. It is safe for
// concurrent use.
//
// Beside the API it serves GET /liar/truth, the Truth in JSON, and POST /liar/restart, after which
// it behaves as a server that was restarted.
type Server struct {
	liar  *Liar
	scale float64
	seed  uint64
	start time.Time

	mu       sync.Mutex
	log      []Request
	memories map[uint64]int // tokens of the prompts and answers that are cached, by their hash
	asked    map[uint64]bool
	inFlight int
	lost     int // cancelled requests that run on
	restarts int
	answers  int
	last     *question // the last request
	counted  struct{ answers, prompt, output int }
}

// Server makes a server that tells the liar's lie.
func (l *Liar) Server(o Options) *Server {
	if o.Scale <= 0 {
		o.Scale = 1
	}
	return &Server{liar: l, scale: o.Scale, seed: o.Seed, start: time.Now(),
		memories: map[uint64]int{}, asked: map[uint64]bool{}}
}

// times is a duration at the server's scale.
func (s *Server) times(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.scale)
}

// model is the only model.
const model = "truthful-1b"

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.liar.accepts {
		w.Header().Set("Connection", "close") // so that the next request waits, too
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/chat/completions":
		s.chat(w, r)
	case "GET /v1/models":
		fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"object":"model","created":1,`+
			`"owned_by":"loadstone","max_model_len":131072}]}`, model)
	case "GET /health", "GET /health/ready", "GET /health/live":
	case "GET /metrics":
		s.metrics(w)
	case "POST /tokenize":
		s.tokenize(w, r)
	case "GET /liar/truth":
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.Truth())
	case "POST /liar/restart":
		s.Restart()
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":{"message":"there is no such route"}}`)
	}
}

// Restart makes the server one that was restarted and has kept its cache on disk.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
	s.counted.answers, s.counted.prompt, s.counted.output = 0, 0, 0
}

// metrics publishes what vLLM does.
func (s *Server) metrics(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	output := s.counted.output
	if s.liar.undercuts {
		output /= 2
	}
	fmt.Fprintf(w, `vllm:num_requests_running %d
vllm:num_requests_waiting 0
vllm:request_success_total %d
vllm:prompt_tokens_total %d
vllm:generation_tokens_total %d
`, s.inFlight+s.lost, s.counted.answers, s.counted.prompt, output)
}

// CountTokens is the number of tokens of a text by the server's tokenizer: its words.
func CountTokens(text string) (int, error) { return len(strings.Fields(text)), nil }

// tokenize answers as vLLM does.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var body struct{ Prompt string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n, _ := CountTokens(body.Prompt)
	fmt.Fprintf(w, `{"count":%d}`, n)
}

// A question is a request as the server reads it.
type question struct {
	Model    string
	Messages []struct {
		Role    string
		Content json.RawMessage
	}
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
	Stream              bool
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Logprobs    bool
	Temperature float64

	texts  []string // of the messages
	prefix []uint64 // hashes of the first message, the first two, and so on
	tokens []int    // of the same

	came  time.Time // of its connection, where that had to wait
	begun time.Time // when the server began with it
}

// secret is the first word of the conversation, by which load tools tell agents apart.
func (q *question) secret() string {
	for i, m := range q.Messages {
		if first, _, ok := strings.Cut(q.texts[i], " "); ok && m.Role == "user" {
			return first
		}
	}
	return ""
}

// length is how many tokens the answer is to have.
func (q *question) length() int {
	const usual, longest = 16, 4096
	if n := max(q.MaxTokens, q.MaxCompletionTokens); n > 0 {
		return min(n, longest)
	}
	return usual
}

// hash identifies the whole prompt.
func (q *question) hash() uint64 { return q.prefix[len(q.prefix)-1] }

// prompt is the number of tokens of the whole prompt.
func (q *question) prompt() int { return q.tokens[len(q.tokens)-1] }

// read reads a request's body. principal is whose request it is.
func read(body io.Reader, principal string) (*question, error) {
	q := &question{}
	if err := json.NewDecoder(body).Decode(q); err != nil {
		return nil, err
	}
	if len(q.Messages) == 0 {
		return nil, fmt.Errorf("messages: want at least one")
	}
	h := fnv.New64a()
	io.WriteString(h, principal)
	n := 0
	for _, m := range q.Messages {
		text := textOf(m.Content)
		tokens, _ := CountTokens(text)
		n += tokens
		fmt.Fprintf(h, "\x00%s\x00%s", m.Role, text)
		q.texts = append(q.texts, text)
		q.prefix, q.tokens = append(q.prefix, h.Sum64()), append(q.tokens, max(n, 1))
	}
	return q, nil
}

// textOf is the text of a message, which may be in parts.
func textOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	json.Unmarshal(content, &parts)
	for _, p := range parts {
		text += p.Text
	}
	return text
}

// after is the hash of a prompt and its answer.
func after(principal string, q *question, answer string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, principal)
	for i, m := range q.Messages {
		fmt.Fprintf(h, "\x00%s\x00%s", m.Role, q.texts[i])
	}
	fmt.Fprintf(h, "\x00assistant\x00%s", answer)
	return h.Sum64()
}

// chat answers a chat request.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	principal := r.Header.Get("Authorization")
	if s.liar.shares {
		principal = ""
	}
	q, err := read(r.Body, principal)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"message":%q}}`, err.Error())
		return
	}
	a := s.begin(q, cameOf(r.Context()))
	if s.liar.says != nil {
		s.liar.says(a)
	}
	a.compose()
	if s.liar.wire != nil && q.Stream {
		s.liar.wire(a)
	}
	whole := false
	defer func() { s.end(a, principal, whole) }()
	whole = a.send(r.Context(), w)
	if a.hangsUp {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
}

// begin takes a request in.
func (s *Server) begin(q *question, came time.Time) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if came.IsZero() {
		came = time.Now()
	}
	q.came, q.begun = came, time.Now()
	s.inFlight++
	s.answers++
	a := &reply{s: s, q: q, n: s.answers, alone: s.inFlight == 1, other: s.last,
		status: http.StatusOK, header: http.Header{}, model: model, outcome: Answered}
	if s.last != nil && s.last.secret() == q.secret() {
		a.other = nil
	}
	cached := 0
	for i, h := range q.prefix {
		if _, known := s.memories[h]; known {
			cached = q.tokens[i]
		}
	}
	a.cached = min(cached, q.prompt()-1)
	a.asked = s.asked[q.hash()]
	s.asked[q.hash()] = true
	s.last = q
	a.plan()
	return a
}

// end keeps the truth about a request.
func (s *Server) end(a *reply, principal string, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if !whole && a.outcome == Answered {
		a.outcome = Cancelled
		if s.liar.leaks {
			s.lost++
		}
	}
	if a.outcome == Answered {
		s.counted.answers++
		s.counted.prompt += a.q.prompt()
		s.counted.output += a.usage.Completion
		for i, h := range a.q.prefix {
			s.memories[h] = a.q.tokens[i]
		}
		s.memories[after(principal, a.q, strings.Join(a.words, ""))] = a.q.prompt() + len(a.words)
	}
	s.log = append(s.log, a.truth())
}

// awake is when the server goes on that is to do something at a time: at once, or at the end of a
// pause.
func (s *Server) awake(at time.Time) time.Time {
	if !s.liar.pauses {
		return at
	}
	every, pause := s.times(pauseEvery), s.times(pauseFor)
	if in := at.Sub(s.start) % every; in >= every-pause {
		return at.Add(every - in)
	}
	return at
}

// A server that pauses stands still at the end of every such time.
const pauseEvery, pauseFor = 4 * time.Second, time.Second

// wait waits until a time, and reports whether the context lasted as long.
func wait(ctx context.Context, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

package liars

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// A reply is the server's answer to a question: what it says, which a lie may change, and then how
// that is sent, which another may.
type reply struct {
	s      *Server
	q      *question
	n      int       // of the request, from 1 on
	alone  bool      // no other request is in flight
	other  *question // the last request of another conversation; nil: there is none
	cached int       // tokens of the prompt that are in the cache
	asked  bool      // somebody has sent this very prompt before

	words         []string // of the answer, a token each
	first         time.Duration
	interval      time.Duration
	cold          time.Duration // first, of a prompt that nobody has asked
	finish, model string
	usage         usage
	status        int
	header        http.Header
	outcome       Outcome
	lied          bool

	events  []event
	body    string // in place of the events, at the time of the last one
	hangsUp bool   // the connection is closed in the middle

	tokens []time.Duration // when they were written
	ended  time.Duration
}

// A usage is the server's token counts, as OpenAI writes them.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
	Details    struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	Output struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// An event is a piece of the answer's body. One without a text sends what was written, the head at
// least.
type event struct {
	at     time.Duration // after the server began with the request
	text   string
	tokens int // of the answer that come with it for the first time
}

// plan makes the truthful answer.
func (a *reply) plan() {
	s, q := a.s, a.q
	a.words = s.answer(q.hash(), q.length())
	a.finish = "length"
	a.cold = firstToken + time.Duration(q.prompt())*promptToken
	a.first = a.cold - time.Duration(a.cached)*promptToken
	a.interval = eachToken
	a.count()
}

// count makes the usage that of the words.
func (a *reply) count() {
	a.usage.Prompt, a.usage.Completion = a.q.prompt(), len(a.words)
	a.usage.Total = a.usage.Prompt + a.usage.Completion
	a.usage.Details.Cached = a.cached
}

// answer makes n words that depend on all of the prompt.
func (s *Server) answer(prompt uint64, n int) []string {
	h := fnv.New64a()
	fmt.Fprint(h, prompt)
	rng := rand.New(rand.NewPCG(s.seed, h.Sum64()))
	all := make([]string, n)
	for i := range all {
		all[i] = " " + vocabulary[rng.IntN(len(vocabulary))]
	}
	return all
}

// vocabulary are words that are one token, with the blank before them, in the vocabulary of every
// common model.
var vocabulary = strings.Fields(`
	the of and to in for is on that by this with you it not or be are from at as your all have new more an was we will home can us about if page my has search free but our
	one other do no information time they site he up may what which their news out use any there see
	only so his when contact here business who web also now help get view online first been would how
	were services some these click its like service than find`)

// compose makes the events of what the answer says.
func (a *reply) compose() {
	a.events = nil
	for i := range a.words {
		a.add(a.at(i), a.chunk(content(a.words[i]), ""), 1)
	}
	end := a.at(len(a.words) - 1)
	a.add(end, a.chunk("{}", a.finish), 0)
	if a.q.StreamOptions.IncludeUsage {
		a.add(end, a.usageEvent(), 0)
	}
	a.add(end, done, 0)
	if !a.q.Stream {
		a.events, a.body = nil, a.whole()
	}
}

// at is when the i-th token is made.
func (a *reply) at(i int) time.Duration { return a.first + time.Duration(max(i, 0))*a.interval }

func (a *reply) add(at time.Duration, text string, tokens int) {
	a.events = append(a.events, event{at, text, tokens})
}

// ahead puts an event before all others.
func (a *reply) ahead(at time.Duration, text string) {
	a.events = append([]event{{at, text, 0}}, a.events...)
}

const done = "data: [DONE]\n\n"

// content is a delta with a text.
func content(text string) string {
	t, _ := json.Marshal(text)
	return fmt.Sprintf(`{"content":%s}`, t)
}

// chunk is an event of the stream; a finish of "" is null.
func (a *reply) chunk(delta, finish string) string {
	reason := "null"
	if finish != "" {
		reason = `"` + finish + `"`
	}
	return fmt.Sprintf(`data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":1,`+
		`"model":%q,"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`+"\n\n",
		a.n, a.model, delta, reason)
}

// usageEvent is the event with the usage alone.
func (a *reply) usageEvent() string {
	u, _ := json.Marshal(a.usage)
	return fmt.Sprintf(`data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":1,`+
		`"model":%q,"choices":[],"usage":%s}`+"\n\n", a.n, a.model, u)
}

// whole is the answer in one piece, with how likely its tokens were if that was asked for.
func (a *reply) whole() string {
	u, _ := json.Marshal(a.usage)
	text, _ := json.Marshal(strings.Join(a.words, ""))
	logprobs := "null"
	if a.q.Logprobs {
		type choice struct {
			Token   string   `json:"token"`
			Logprob float64  `json:"logprob"`
			Top     []choice `json:"top_logprobs,omitempty"`
		}
		var all []choice
		for _, w := range a.words {
			all = append(all, choice{w, -0.05, []choice{{w, -0.05, nil}, {" other", -4, nil}}})
		}
		l, _ := json.Marshal(map[string]any{"content": all})
		logprobs = string(l)
	}
	return fmt.Sprintf(`{"id":"chatcmpl-%d","object":"chat.completion","created":1,"model":%q,`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%s},"logprobs":%s,`+
		`"finish_reason":%q}],"usage":%s}`, a.n, a.model, text, logprobs, a.finish, u)
}

// send writes the answer. It is false where the client has gone away.
func (a *reply) send(ctx context.Context, w http.ResponseWriter) (whole bool) {
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	if a.body != "" {
		head.Set("Content-Type", "application/json")
	}
	for name, values := range a.header {
		head[name] = values
	}
	start := a.s.awake(a.q.begun)
	until := func(at time.Duration) bool {
		return wait(ctx, a.s.awake(start.Add(a.s.times(at))))
	}
	written := func(tokens int) {
		a.ended = time.Since(a.q.came)
		for range tokens {
			a.tokens = append(a.tokens, a.ended)
		}
	}
	if a.body != "" {
		if !until(a.at(len(a.words) - 1)) {
			return false
		}
		w.WriteHeader(a.status)
		w.Write([]byte(a.body))
		written(len(a.words))
		return true
	}
	w.WriteHeader(a.status)
	flush := w.(http.Flusher).Flush
	for _, e := range a.events {
		if !until(e.at) {
			return false
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			return false
		}
		flush()
		written(e.tokens)
	}
	return true
}

// truth is what is kept of the request.
func (a *reply) truth() Request {
	r := Request{Number: a.n, Came: a.q.came, Outcome: a.outcome, Lied: a.lied, First: -1,
		End: a.ended.Seconds(), Cold: a.s.times(a.cold).Seconds(),
		Asked: a.q.length(), Again: a.asked, Prompt: a.q.prompt(), Cached: a.cached}
	for _, t := range a.tokens {
		r.Tokens = append(r.Tokens, t.Seconds())
	}
	if len(r.Tokens) > 0 {
		r.First = r.Tokens[0]
	}
	return r
}

// every reports whether the request is one of each k that meet the lie. The first few never do, so
// that a tool that tries a server before it loads it finds nothing.
func (a *reply) every(k int) bool {
	a.lied = a.n > 4 && a.n%k == 0
	return a.lied
}

package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/harness/load"
)

// A Liar is a server with memories and a pool of blocks that answers with words made from the whole
// prompt, right but for one bug.
type Liar struct {
	Bug    string // what it does wrong, by the words that its methods compare it with; "" nothing
	Silent bool   // it reports no log-probabilities

	mu       sync.Mutex
	memories map[string]int // tokens of each conversation, by its secret
	last     string         // the secret of the last request
	lastText string         // its prompt
	inFlight int
	crowded  bool // it has had several requests at once
	lost     int  // blocks, requests or goroutines that are never given back

	restarts, answers atomic.Int64

	ok, prompt, output int // requests and tokens, as /metrics counts them
}

// A question is a request as the Liar reads it.
type question struct {
	Messages  []struct{ Content string }
	MaxTokens int `json:"max_tokens"`
	Logprobs  bool

	agent, prompt, secret string
	tokens                int
}

// A reply is the Liar's answer to a question.
type reply struct {
	alone    bool          // nothing else is in flight
	slowness time.Duration // by which every wait is multiplied
	// The secret and the prompt of the last request of another conversation.
	other, otherText string

	words          []string
	output, cached int // tokens, as its usage says
	whole          bool
}

func (l *Liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		l.metrics(w)
		return
	}
	q := question{agent: r.Header.Get("X-Agent-ID")}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, m := range q.Messages {
		q.prompt += m.Content + " "
	}
	q.secret, _, _ = strings.Cut(q.prompt, " ")
	q.tokens = len(strings.Fields(q.prompt))

	a := l.begin(&q)
	defer l.end(&q, a)
	select {
	case <-time.After(l.prefill(&q, a)):
	case <-r.Context().Done():
		l.mu.Lock()
		l.lost++
		l.mu.Unlock()
		return
	}
	if l.Bug == "503 without Retry-After" && !a.alone {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	l.lie(&q, a)
	switch {
	case q.Logprobs && l.Silent:
		w.WriteHeader(http.StatusBadRequest)
		return
	case q.Logprobs:
		l.logprobs(w, a)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	l.stream(r.Context(), w, &q, a)
}

// prefill is how long a prompt takes: four fifths of the time are for what is not cached.
func (l *Liar) prefill(q *question, a *reply) time.Duration {
	full := 20 * time.Millisecond * a.slowness
	switch {
	case l.Bug == "what is called cached is computed",
		l.Bug == "what is called cached is computed after a restart" && l.restarts.Load() > 0:
		return full
	}
	return full - full*4/5*time.Duration(a.cached)/time.Duration(max(q.tokens, 1))
}

func (l *Liar) begin(q *question) *reply {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
	a := &reply{alone: l.inFlight == 1, cached: min(l.memories[q.secret], q.tokens-1), slowness: 1}
	if l.last != q.secret {
		a.other, a.otherText = l.last, l.lastText
	}
	l.crowded = l.crowded || l.inFlight > 1
	if l.Bug == "slow ever after an abort" && l.lost > 0 ||
		l.Bug == "slow ever after a load" && l.crowded && a.alone {
		a.slowness = 3
	}
	return a
}

func (l *Liar) end(q *question, a *reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.last, l.lastText = q.secret, q.prompt
	if a.whole {
		l.ok, l.prompt, l.output = l.ok+1, l.prompt+q.tokens, l.output+q.MaxTokens
		if l.Bug == "counters that forget" && l.ok%10 == 0 {
			l.output -= 5
		}
		if l.memories == nil {
			l.memories = map[string]int{}
		}
		l.memories[q.secret] = max(l.memories[q.secret], q.tokens+q.MaxTokens)
	}
	switch {
	case l.Bug == "a block is lost with each request",
		l.Bug == "a block is lost with each abort" && !a.whole:
		l.lost++
	}
}

// lie makes the answer, right but for the Bug.
func (l *Liar) lie(q *question, a *reply) {
	a.words = l.answer(q.prompt, q.MaxTokens)
	a.output = len(a.words)
	switch {
	case l.Bug == "another agent's secret" && a.other != "" && !a.alone:
		a.words[1] = " " + a.other
	case l.Bug == "another agent's answer" && a.otherText != "" && !a.alone:
		a.words = l.answer(a.otherText, q.MaxTokens)
	case (l.Bug == "the batch decides" || l.Bug == "the batch decides near ties") && !a.alone:
		a.words[2] = " crowd"
	case l.Bug == "the cache decides" && a.other != "" && len(q.Messages) > 1:
		a.words[2] = " forgotten"
	case l.Bug == "one answer for all":
		a.words = l.answer("", q.MaxTokens)
	case l.Bug == "another answer each time":
		a.words[2] = fmt.Sprint(" number ", l.answers.Add(1))
	case l.Bug == "too much cached" && a.cached > 0:
		a.cached = q.tokens + 100
	case l.Bug == "another's memory" && len(q.Messages) > 1:
		a.cached = q.tokens - 1 // of a question that is new
	case l.Bug == "usage of nothing":
		a.output = 0
	case l.Bug == "usage of too few":
		a.output = 2
	case l.Bug == "another answer after a restart" && l.restarts.Load() > 0:
		a.words[0] = "What"
	case l.Bug == "answers encoded anew after a restart" && len(q.Messages) > 1 &&
		(l.restarts.Load() > 0 || strings.HasSuffix(q.agent, "-new")):
		a.words[0] = "Anew"
	}
}

// logprobs sends the answer in one piece, with the log-probabilities of its tokens.
func (l *Liar) logprobs(w http.ResponseWriter, a *reply) {
	gap := 3.0
	if l.Bug == "the batch decides near ties" {
		gap = 0.01
	}
	type likely struct {
		Logprob float64 `json:"logprob"`
	}
	type token struct {
		Token string   `json:"token"`
		Top   []likely `json:"top_logprobs"`
	}
	var content []token
	for _, word := range a.words {
		content = append(content, token{word, []likely{{-0.1}, {-0.1 - gap}}})
	}
	choice := map[string]any{
		"finish_reason": "stop",
		"message":       map[string]any{"content": strings.Join(a.words, "")},
		"logprobs":      map[string]any{"content": content},
	}
	json.NewEncoder(w).Encode(map[string]any{"choices": []any{choice}})
}

// stream sends the answer, a word at a time.
func (l *Liar) stream(ctx context.Context, w http.ResponseWriter, q *question, a *reply) {
	send := func(text string) {
		fmt.Fprintf(w, "data: %s\n\n", text)
		w.(http.Flusher).Flush()
	}
	for i, word := range a.words {
		select {
		case <-time.After(2 * time.Millisecond * a.slowness):
		case <-ctx.Done():
			return
		}
		if l.Bug == "stuck" && i == 3 && !a.alone {
			<-ctx.Done()
			return
		}
		delta, _ := json.Marshal(word)
		chunk := fmt.Sprintf(
			`{"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`, delta)
		if l.Bug == "a frame is lost under load" && i == 1 && !a.alone {
			continue
		}
		send(chunk)
		switch {
		case l.Bug == "every frame twice":
			send(chunk)
		case l.Bug == "a frame twice under load" && i == 1 && !a.alone:
			send(chunk)
		case l.Bug == "a character in two frames" && i == 1:
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xe2\x82" + `"}}]}`)
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xac" + `"}}]}`)
		}
	}
	send(`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`)
	send(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,`+
		`"prompt_tokens_details":{"cached_tokens":%d}}}`, q.tokens, a.output, a.cached))
	a.whole = true
	if l.Bug == "no [DONE] under load" && !a.alone {
		return
	}
	send("[DONE]")
}

// answer makes n words that depend on all of the prompt.
func (l *Liar) answer(prompt string, n int) []string {
	h := fnv.New32a()
	h.Write([]byte(prompt))
	words := strings.Fields(load.Text(uint64(h.Sum32()), n))
	for i := range words {
		words[i] = " " + words[i]
	}
	return words
}

func (l *Liar) metrics(w http.ResponseWriter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used, running, goroutines := 4*l.inFlight, l.inFlight, 10+l.inFlight
	switch l.Bug {
	case "a block is lost with each request", "a block is lost with each abort":
		used += l.lost
	case "aborted requests run on":
		running += l.lost
	case "a goroutine stays with each abort":
		goroutines += l.lost
	}
	fmt.Fprintf(w, `loadstone_requests_total{route="/v1/chat/completions",status="200"} %d
loadstone_tokens_total{kind="prompt"} %d
loadstone_tokens_total{kind="output"} %d
loadstone_pool_blocks{state="used"} %d
loadstone_running %d
loadstone_queue_depth 0
go_goroutines %d
`, l.ok, l.prompt, l.output, used, running, goroutines)
}

// Restart tells the Liar that it was restarted: some bugs show only after that.
func (l *Liar) Restart() { l.restarts.Add(1) }

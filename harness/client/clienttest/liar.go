package clienttest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"time"

	"loadstone/harness/load"
)

// A Liar is a server with memories and a pool of blocks that answers with words made from the whole prompt, right but for
// one bug.
type Liar struct {
	Bug string // one of those that ServeHTTP knows; "" none

	mu       sync.Mutex
	memories map[string]int // tokens of each conversation, by its secret
	last     string         // the secret of the last other request
	lastText string
	inFlight int
	lost     int // blocks, requests or goroutines that never come back
	restarts int

	ok, prompt, output int // counted in /metrics
}

func (l *Liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		l.metrics(w)
		return
	}
	var body struct {
		Messages  []struct{ Content string }
		MaxTokens int `json:"max_tokens"`
		Logprobs  bool
		Stream    bool
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var prompt strings.Builder
	for _, m := range body.Messages {
		prompt.WriteString(m.Content + " ")
	}
	secret, _, _ := strings.Cut(prompt.String(), " ")
	tokens := len(strings.Fields(prompt.String()))

	l.mu.Lock()
	l.inFlight++
	alone := l.inFlight == 1
	cached := min(l.memories[secret], tokens-1)
	other, otherText := l.last, l.lastText
	if other == secret {
		other, otherText = "", ""
	}
	l.mu.Unlock()
	done := false
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inFlight--
		l.last, l.lastText = secret, prompt.String()
		if done {
			l.ok, l.prompt, l.output = l.ok+1, l.prompt+tokens, l.output+body.MaxTokens
			if l.Bug == "counters that forget" && l.ok%10 == 0 {
				l.output -= 5
			}
			if l.memories == nil {
				l.memories = map[string]int{}
			}
			l.memories[secret] = max(l.memories[secret], tokens+body.MaxTokens)
		}
		if l.Bug == "a block is lost with each request" || l.Bug == "a block is lost with each abort" && !done {
			l.lost++
		}
	}()

	pace := time.Duration(1)
	if l.Bug == "slow ever after an abort" && l.lost > 0 {
		pace = 3
	}
	select {
	case <-time.After(20 * time.Millisecond * pace):
	case <-r.Context().Done():
		l.mu.Lock()
		l.lost++
		l.mu.Unlock()
		return
	}
	words := l.answer(prompt.String(), body.MaxTokens)
	output := len(words)
	switch {
	case l.Bug == "another agent's secret" && other != "" && !alone:
		words[1] = " " + other
	case l.Bug == "another agent's answer" && otherText != "" && !alone:
		words = l.answer(otherText, body.MaxTokens)
	case (l.Bug == "the batch decides" || l.Bug == "the batch decides near ties") && !alone:
		words[2] = " crowd"
	case l.Bug == "another answer each time":
		l.restarts++
		words[2] = fmt.Sprint(" number ", l.restarts)
	case l.Bug == "too much cached" && cached > 0:
		cached = tokens + 100
	case l.Bug == "another's memory" && len(body.Messages) > 1:
		cached = tokens - 1 // of a question that is new
	case l.Bug == "usage of nothing":
		output = 0
	case l.Bug == "usage of too few":
		output = 2
	case l.Bug == "another answer after a restart" && l.restarts > 0:
		words[0] = "What"
	case l.Bug == "answers encoded anew after a restart" && len(body.Messages) > 1 && (l.restarts > 0 || strings.HasSuffix(r.Header.Get("X-Agent-ID"), "-new")):
		words[0] = "Anew"
	case l.Bug == "503 without Retry-After" && !alone:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if body.Logprobs {
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
		for _, word := range words {
			content = append(content, token{word, []likely{{-0.1}, {-0.1 - gap}}})
		}
		json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"finish_reason": "stop",
			"message": map[string]any{"content": strings.Join(words, "")}, "logprobs": map[string]any{"content": content}}}})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(text string) {
		fmt.Fprintf(w, "data: %s\n\n", text)
		w.(http.Flusher).Flush()
	}
	for i, word := range words {
		select {
		case <-time.After(2 * time.Millisecond * pace):
		case <-r.Context().Done():
			return
		}
		if l.Bug == "stuck" && i == 3 && !alone {
			<-r.Context().Done()
			return
		}
		delta, _ := json.Marshal(word)
		chunk := fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`, delta)
		send(chunk)
		switch {
		case l.Bug == "every frame twice":
			send(chunk)
		case l.Bug == "a frame twice under load" && i == 1 && !alone:
			send(chunk)
		case l.Bug == "a character in two frames" && i == 1:
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xe2\x82" + `"}}]}`)
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xac" + `"}}]}`)
		}
	}
	send(`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`)
	send(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}}`, tokens, output, cached))
	done = true
	if l.Bug == "no [DONE] under load" && !alone {
		return
	}
	send("[DONE]")
}

// answer is n words that depend on all of the prompt.
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
	fmt.Fprintf(w, "loadstone_requests_total{route=\"/v1/chat/completions\",status=\"200\"} %d\nloadstone_tokens_total{kind=\"prompt\"} %d\nloadstone_tokens_total{kind=\"output\"} %d\n", l.ok, l.prompt, l.output)
	fmt.Fprintf(w, "loadstone_pool_blocks{state=\"used\"} %d\nloadstone_running %d\nloadstone_queue_depth 0\ngo_goroutines %d\n", used, running, goroutines)
}

// Restart is what a bug that shows after a restart waits for.
func (l *Liar) Restart() { l.restarts++ }

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

// A liar is a server with memories and a pool of blocks that answers with words made from the whole prompt, right but for
// one bug.
type liar struct {
	bug string

	mu       sync.Mutex
	memories map[string]int // tokens of each conversation, by its secret
	last     string         // the secret of the last other request
	lastText string
	inFlight int
	lost     int // blocks, requests or goroutines that never come back
	restarts int

	ok, prompt, output int // counted in /metrics
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		l.metrics(w)
		return
	}
	var body struct {
		Messages  []Message
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
			if l.bug == "counters that forget" && l.ok%10 == 0 {
				l.output -= 5
			}
			l.memories[secret] = max(l.memories[secret], tokens+body.MaxTokens)
		}
		if l.bug == "a block is lost with each request" || l.bug == "a block is lost with each abort" && !done {
			l.lost++
		}
	}()

	pace := time.Duration(1)
	if l.bug == "slow ever after an abort" && l.lost > 0 {
		pace = 3
	}
	select {
	case <-time.After(20 * ms * pace):
	case <-r.Context().Done():
		l.mu.Lock()
		l.lost++
		l.mu.Unlock()
		return
	}
	words := l.answer(prompt.String(), body.MaxTokens)
	output := len(words)
	switch {
	case l.bug == "another agent's secret" && other != "" && !alone:
		words[1] = " " + other
	case l.bug == "another agent's answer" && otherText != "" && !alone:
		words = l.answer(otherText, body.MaxTokens)
	case (l.bug == "the batch decides" || l.bug == "the batch decides near ties") && !alone:
		words[2] = " crowd"
	case l.bug == "another answer each time":
		l.restarts++
		words[2] = fmt.Sprint(" number ", l.restarts)
	case l.bug == "too much cached" && cached > 0:
		cached = tokens + 100
	case l.bug == "another's memory" && len(body.Messages) > 1:
		cached = tokens - 1 // of a question that is new
	case l.bug == "usage of nothing":
		output = 0
	case l.bug == "usage of too few":
		output = 2
	case l.bug == "another answer after a restart" && l.restarts > 0:
		words[0] = "What"
	case l.bug == "answers encoded anew after a restart" && len(body.Messages) > 1 && (l.restarts > 0 || strings.HasSuffix(r.Header.Get("X-Agent-ID"), "-new")):
		words[0] = "Anew"
	case l.bug == "503 without Retry-After" && !alone:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if body.Logprobs {
		gap := 3.0
		if l.bug == "the batch decides near ties" {
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
		case <-time.After(2 * ms * pace):
		case <-r.Context().Done():
			return
		}
		if l.bug == "stuck" && i == 3 && !alone {
			<-r.Context().Done()
			return
		}
		delta, _ := json.Marshal(word)
		chunk := fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`, delta)
		send(chunk)
		switch {
		case l.bug == "every frame twice":
			send(chunk)
		case l.bug == "a frame twice under load" && i == 1 && !alone:
			send(chunk)
		case l.bug == "a character in two frames" && i == 1:
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xe2\x82" + `"}}]}`)
			send(`{"choices":[{"index":0,"delta":{"content":"` + "\xac" + `"}}]}`)
		}
	}
	send(`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`)
	send(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}}`, tokens, output, cached))
	done = true
	if l.bug == "no [DONE] under load" && !alone {
		return
	}
	send("[DONE]")
}

// answer is n words that depend on all of the prompt.
func (l *liar) answer(prompt string, n int) []string {
	h := fnv.New32a()
	h.Write([]byte(prompt))
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(" %s", words[(h.Sum32()+uint32(i))%uint32(len(words))]))
	}
	return all
}

func (l *liar) metrics(w http.ResponseWriter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used, running, goroutines := 4*l.inFlight, l.inFlight, 10+l.inFlight
	switch l.bug {
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

// Each planted bug is found by the check that is for it, and by its name; a server without one passes them all.
func TestAuditFindsPlantedBugs(t *testing.T) {
	for _, tc := range []struct {
		bug, check string
		verdict    Judgement
		about      string
	}{
		{"", "", Passed, ""},
		{"another agent's secret", "leaks", Broken, "the answer has the secret of agent"},
		{"another agent's answer", "identity", Broken, "there its choice was clear, by 3.00 nats"},
		{"the batch decides", "identity", Broken, "the answer parts from the one given alone at byte"},
		{"the batch decides near ties", "identity", Variant, "they depend on the batch, and are not corrupt"},
		{"another answer each time", "repeatable", Broken, "the answer parts"},
		{"too much cached", "tokens", Broken, "of a prompt of"},
		{"another's memory", "cache", Broken, "tokens were cached, and the agent had"},
		{"usage of nothing", "tokens", Broken, "an answer of 0 tokens has a text"},
		{"usage of too few", "tokens", Broken, "8 pieces of an answer of 2 tokens"},
		{"every frame twice", "tokens", Broken, "16 pieces of an answer of 8 tokens"},
		{"a frame twice under load", "identity", Broken, "the answer parts"},
		{"a character in two frames", "answered", Broken, "alone, a request ends as failed: event is no chunk"},
		{"no [DONE] under load", "answered", Broken, "under load, a request ends as truncated: stream ended after 8 chunks without its [DONE]"},
		{"stuck", "answered", Broken, "under load, a request ends as timeout: no end after"},
		{"503 without Retry-After", "answered", Broken, "under load, a request ends as failed: 503"},
		{"counters that forget", "counters", Broken, "loadstone_tokens_total rose by"},
		{"a block is lost with each request", "recovery", Broken, "blocks in use 15s after the last request"},
		{"a block is lost with each abort", "recovery", Broken, "blocks in use 15s after the last request"},
		{"aborted requests run on", "recovery", Broken, "requests that run 15s after the last request"},
		{"a goroutine stays with each abort", "recovery", Broken, "goroutines 15s after the last request"},
		{"slow ever after an abort", "solo", Broken, "alone, the first token takes 66ms, and took 22ms"},
		{"another answer after a restart", "restart", Broken, "the answer parts"},
		{"answers encoded anew after a restart", "restart", Variant, "4 of 4 conversations go on from their answers' text"},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &liar{bug: tc.bug, memories: map[string]int{}}
				h, _ := serve(t, server.ServeHTTP)
				findings, err := h.Client.Audit(t.Context(), Audit{Agents: 4, Turns: 3, Words: 20, MaxTokens: 8, Aborts: 40, Seed: 7,
					Restart: func(context.Context) error { server.restarts++; return nil }})
				i := slices.IndexFunc(findings, func(f Finding) bool { return f.Name == tc.check })
				if tc.check == "" {
					assert.NilError(t, err)
					assert.Equal(t, len(findings), 12)
					for _, f := range findings {
						assert.Equal(t, f.Verdict, Passed, "%s: %s", f.Name, f.About)
					}
					return
				}
				assert.Assert(t, i >= 0, "no finding on %s: %v", tc.check, findings)
				assert.Equal(t, findings[i].Verdict, tc.verdict, findings[i].About)
				assert.Assert(t, strings.Contains(findings[i].About, tc.about), "%s", findings[i].About)
			})
		})
	}
}

// The account does not balance when a load loses a record or makes one up.
func TestBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(100 * ms)
			fmt.Fprint(w, answered)
		})
		before := h.Client.Ledger()
		records, err := h.RunSustained(t.Context(), 50, 20, func(int) Prompt { return Prompt{} })
		assert.NilError(t, err)
		after := h.Client.Ledger()
		assert.Equal(t, len(Balance(records, before, after)), 0)
		// 20 requests of 100 ms each within 480 ms: 4.17 in flight on average, 41.7 a second times 0.1 s.
		assert.Assert(t, after.Seconds > 1.999 && after.Seconds < 2.001, "%g", after.Seconds)
		assert.Equal(t, Balance(records[1:], before, after)[0].String(), "count: 20 requests were begun, and there are records of 19")
		records[3].End += 50 * ms
		assert.Equal(t, Balance(records, before, after)[0].String(),
			"count: Little's law: by the client's count requests were in flight for 2.000000 s together, by the records for 2.050000 s")
		after.Ended--
		assert.Equal(t, Balance(records, before, after)[0].String(), "count: 20 requests were begun and 19 have ended")
	})
}

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// remembering is a server that never forgets a prompt: of each it finds in its cache what one
// before begins alike. A word is a token.
type remembering struct {
	mu       sync.Mutex
	prompts  []string
	silent   bool // tells no cached_tokens
	counts   bool // counts its requests in /metrics
	restores int  // as /metrics counts them; -1: it does not
	requests int
}

func (s *remembering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/metrics" && (s.counts || s.restores >= 0) {
		if s.counts {
			fmt.Fprintf(w, "loadstone_requests_total{route=\"/v1/chat/completions\",status=\"200\"} %d\n", s.requests)
		}
		if s.restores >= 0 {
			fmt.Fprintf(w, "loadstone_restores_total %d\n", s.restores)
		}
		return
	}
	if r.URL.Path != "/v1/chat/completions" {
		http.NotFound(w, r)
		return
	}
	var q struct{ Messages []client.Message }
	json.NewDecoder(r.Body).Decode(&q)
	var text []string
	for _, m := range q.Messages {
		text = append(text, strings.Fields(m.Content)...)
	}
	cached, prompt := 0, strings.Join(text, " ")
	for _, known := range s.prompts {
		words := strings.Fields(known)
		n := 0
		for n < min(len(words), len(text)) && words[n] == text[n] {
			n++
		}
		cached = max(cached, n)
	}
	s.prompts = append(s.prompts, prompt)
	s.requests++
	details := fmt.Sprintf(`,"prompt_tokens_details":{"cached_tokens":%d}`, cached)
	if s.silent {
		details = ""
	}
	fmt.Fprintf(w, `{"choices":[{"message":{"content":"so so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":2%s}}`,
		len(text), details)
}

// What bench measures is held to its label as what run measures: a server that has seen the load
// before is not cold, whichever scenario says so, and its first figure is an error.
func TestColdIsProven(t *testing.T) {
	for _, name := range []string{"single-cold", "pool-pressure"} {
		synctest.Test(t, func(t *testing.T) {
			h, _ := serve(t, (&remembering{restores: -1}).ServeHTTP)
			for again := range 2 {
				// One name, and another one for each measurement, is what the loads of bench have.
				runs, _, err := Plan{Loads: five(2, 60, 8, name), Runs: 2}.Run(t.Context(), h.Client)
				var warm *NotColdError
				if again == 0 {
					assert.NilError(t, err, name)
					assert.Equal(t, Unproven(&runs[0]), "", name)
				} else {
					assert.Assert(t, errors.As(err, &warm) && warm.Cached > 40, "%s: %v", name, err)
				}
			}
		})
	}
}

// A count that cannot be true is a violation, and does not show that the server has seen the load.
func TestImpossibleCountShowsNoCache(t *testing.T) {
	first := record.Record{Outcome: record.OK, PromptTokens: 12, CachedTokens: 64}
	assert.NilError(t, new(server).wasCold(&load.Load{}, []record.Record{first}))
	first.PromptTokens = 66
	assert.ErrorContains(t, new(server).wasCold(&load.Load{}, []record.Record{first}), "64 of a first prompt's 66 tokens")
}

// Where a server does not tell what was cached, nothing shows that it was cold, and that is said.
func TestColdIsUnproven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := serve(t, (&remembering{restores: -1, silent: true}).ServeHTTP)
		runs, _, err := Plan{Loads: five(2, 60, 8, "single-cold", "single-cached")}.Run(t.Context(), h.Client)
		assert.NilError(t, err)
		assert.Equal(t, Unproven(&runs[0]), "that the caches were cold is unproven: the server's usage has no cached_tokens")
		assert.Equal(t, Unproven(&runs[1]), "")
	})
}

// Restored caches came from disk: the server restored some, by its own count, or at least they were
// not empty.
func TestRestoredIsProven(t *testing.T) {
	for _, tc := range []struct {
		name     string
		server   *remembering
		reset    func(*remembering)
		restores int // that each request adds
		err      error
		unproven string
	}{
		{name: "nothing was forgotten", server: &remembering{}, reset: func(*remembering) {},
			err: &NotRestoredError{Cached: true}},
		{name: "all was forgotten", server: &remembering{}, reset: func(s *remembering) { s.prompts = nil },
			err: &NotRestoredError{}},
		{name: "all was forgotten, uncounted", server: &remembering{restores: -1}, reset: func(s *remembering) { s.prompts = nil },
			err: &NotRestoredError{}},
		{name: "came from somewhere", server: &remembering{restores: -1}, reset: func(*remembering) {},
			unproven: "that the caches came from disk is unproven: the server does not count what it restores"},
		{name: "untold", server: &remembering{restores: -1, silent: true}, reset: func(*remembering) {},
			unproven: "that the caches were restored is unproven: the server's usage has no cached_tokens"},
		{name: "restored", server: &remembering{}, restores: 1, reset: func(*remembering) {}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := tc.server
			s.counts = s.restores >= 0
			h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				s.ServeHTTP(w, r)
				if r.Method == http.MethodPost {
					s.mu.Lock()
					s.restores += tc.restores
					s.mu.Unlock()
				}
			})
			h.Plan.Reset = func(context.Context) error { tc.reset(s); return nil }
			run, err := h.Run(t.Context(), load.Load{Concurrency: 2, Requests: 4, Turns: load.Endless,
				Cache: load.Restored, Prompt: load.Fixed(60)})
			if tc.err != nil {
				assert.Error(t, err, tc.err.Error(), tc.name)
				return
			}
			assert.NilError(t, err, tc.name)
			assert.Equal(t, Unproven(&run), tc.unproven, tc.name)
		})
	}
}

// Two addresses are held to be two servers: by where they lead, by what is in the second's cache,
// by what it counts. Two ports with servers of their own are two, though one process has both.
func TestTwoServers(t *testing.T) {
	one, two := httptest.NewServer(&remembering{restores: -1}), httptest.NewServer(&remembering{restores: -1})
	counting := &remembering{restores: -1, silent: true, counts: true}
	first, second := httptest.NewServer(counting), httptest.NewServer(counting)
	other := httptest.NewServer(&remembering{restores: -1, silent: true, counts: true})
	silent := httptest.NewServer(&remembering{restores: -1, silent: true})
	shared := &remembering{restores: -1}
	front, back := httptest.NewServer(shared), httptest.NewServer(shared)
	all := []*httptest.Server{one, two, first, second, other, silent, front, back}
	defer func() {
		for _, s := range all {
			s.Close()
		}
	}()
	byName := strings.Replace(one.URL, "127.0.0.1", "localhost", 1)
	for i, tc := range []struct{ a, b, err, note string }{
		{one.URL, two.URL, "", ""},
		{one.URL, byName, "connections to both lead to", ""},
		{front.URL, back.URL, "tokens of a prompt in its cache that only the first was asked", ""},
		{first.URL, second.URL, "the second counted 3 requests that only the first was sent", ""},
		{first.URL, other.URL, "", ""},
		{one.URL, silent.URL, "", "are two servers is unproven"},
	} {
		var notes []string
		d := Duel{Targets: [2]Target{{URL: tc.a}, {URL: tc.b}}, Note: func(s string) { notes = append(notes, s) },
			Plan: Plan{Loads: five(1, 60, 4, "single-cold"), Runs: 1}}
		d.Plan.Loads[0].Seeds = load.OneSeed(uint64(100 + i))
		_, err := d.Run(t.Context())
		if tc.err != "" {
			_, ok := errors.AsType[*SameServerError](err)
			assert.Assert(t, ok, "%v", err)
			assert.ErrorContains(t, err, tc.err)
			continue
		}
		assert.NilError(t, err)
		assert.Equal(t, len(notes) > 0, tc.note != "")
		assert.Assert(t, strings.Contains(strings.Join(notes, ""), tc.note))
	}
}

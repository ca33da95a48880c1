package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// claiming answers with 40 words in four pieces and claims a number of tokens. It has a tokenizer
// by which a word is a token, unless it has none.
type claiming struct {
	claims      int
	noTokenizer bool
	counted     atomic.Int64
}

func (s *claiming) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/chat/completions":
		w.Header().Set("Content-Type", "text/event-stream")
		piece := fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", strings.Repeat("word ", 10))
		fmt.Fprint(w, strings.Repeat(piece, 4), "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n")
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", s.claims)
	case "/tokenize":
		if s.noTokenizer {
			http.NotFound(w, r)
			return
		}
		s.counted.Add(1)
		var q struct{ Content string }
		json.NewDecoder(r.Body).Decode(&q)
		fmt.Fprintf(w, `{"tokens":[%s]}`, strings.TrimSuffix(strings.Repeat("1,", len(strings.Fields(q.Content))), ","))
	default:
		http.NotFound(w, r)
	}
}

// What a server claims of its answers is held to the tokenizer that is given, or else to its own,
// in the records that are kept and in those that are not.
func TestClaimsAreRecounted(t *testing.T) {
	words := func(text string) (int, error) { return len(strings.Fields(text)), nil }
	for name, tc := range map[string]struct {
		server     *claiming
		tokens     func(string) (int, error)
		keep       int
		believed   bool
		violations int
		counted    int64 // texts, by the server
	}{
		"true":                        {server: &claiming{claims: 41}, believed: true, counted: recountEnough},
		"false, by the server's own":  {server: &claiming{claims: 120}, counted: 50},
		"false, and not to be told":   {server: &claiming{claims: 120, noTokenizer: true}, believed: true},
		"false, by one that is given": {server: &claiming{claims: 120, noTokenizer: true}, tokens: words},
		"false, and not kept":         {server: &claiming{claims: 120, noTokenizer: true}, tokens: words, keep: 10},
		"true, and not kept":          {server: &claiming{claims: 41}, keep: 10, believed: true, counted: 10},
		"false by its own, not kept":  {server: &claiming{claims: 120}, keep: 10, violations: 1, counted: 10},
		"true by one that is given":   {server: &claiming{claims: 41}, tokens: words, believed: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := serve(t, tc.server.ServeHTTP)
				h.Plan.Tokens, h.Plan.Keep = tc.tokens, tc.keep
				run, err := h.Run(t.Context(), load.Load{Concurrency: 2, Requests: 50, Answer: load.Fixed(200)})
				assert.NilError(t, err)
				assert.Equal(t, len(run.Violations), tc.violations, "%v", run.Violations)
				s := run.Summary()
				if tc.believed {
					assert.Equal(t, s.OutputTokens, 50*tc.server.claims)
					assert.Equal(t, s.Notes[record.NoteRecount], 0)
				} else if tc.violations == 0 { // pieces stand for tokens
					assert.Equal(t, s.OutputTokens, 0)
					assert.Equal(t, s.Pieces, 200)
					assert.Equal(t, s.Notes[record.NoteRecount], 50)
				}
				assert.Equal(t, tc.server.counted.Load(), tc.counted)
			})
		})
	}
}

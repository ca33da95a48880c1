package command

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/engine/catalog"
)

// claiming is a server whose answers are one text in two pieces, and claim a number of tokens.
func claiming(t *testing.T, text string, tokens int) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
		case "/v1/chat/completions":
			w.Header().Set("Content-Type", "text/event-stream")
			piece := fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text)
			fmt.Fprintf(w, "%s%sdata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
				"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n",
				piece, piece, tokens)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// With -tokenizer a claim of more tokens than the text has is not believed, by run and by check;
// without, bytes alone bound it. What is no tokenizer is refused before anything is sent.
func TestTokenizerFlag(t *testing.T) {
	model, err := catalog.Open("tiny")
	assert.NilError(t, err)
	text, err := fs.ReadFile(model.FS, "tokenizer.json")
	assert.NilError(t, err)
	folder := t.TempDir()
	file := filepath.Join(folder, "tokenizer.json")
	assert.NilError(t, os.WriteFile(file, text, 0o600))
	const answer = "a server that counts more than it sends looks better than it is "
	count, err := tokensBy(model.FS)
	assert.NilError(t, err)
	n, err := count(answer + answer)
	assert.NilError(t, err)
	load := scenarioFile(t, "concurrency: 2\nrequests: 20\n")
	raised, err := os.ReadFile(load)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(load, []byte(strings.Replace(string(raised), "answer: 30", "answer: 1000", 1)), 0o600))
	for _, tc := range []struct {
		claims int
		flags  []string
		want   bool // it is believed
	}{
		{n + 1, []string{"-tokenizer", folder}, true},
		{n + n/8 + 9, []string{"-tokenizer", folder}, false}, {n + n/8 + 9, []string{"-tokenizer", file}, false},
		{n + n/8 + 9, nil, true}, {len(answer)*2 + 9, nil, false},
	} {
		url := claiming(t, answer, tc.claims)
		args := append([]string{"run", load, "-q", "-url", url, "-out", t.TempDir()}, tc.flags...)
		code, out := program(t, "", args...)
		assert.Equal(t, code, exitOK, out)
		assert.Equal(t, !strings.Contains(out, "the usage of 20 answers is not to be believed"), tc.want, out)

		args = append([]string{"check", "-q", "-url", url, "-agents", "2", "-turns", "2", "-aborts", "2",
			"-max-tokens", "1000"}, tc.flags...)
		_, out = program(t, "", args...)
		passes := strings.Contains(out, "tokens      pass")
		assert.Assert(t, passes || strings.Contains(out, "tokens      FAIL"), out)
		assert.Equal(t, passes, tc.want, "%d of %d tokens: %s", tc.claims, n, out)
	}
	code, out := program(t, "", "run", load, "-url", "http://127.0.0.1:1", "-tokenizer", filepath.Dir(load))
	assert.Equal(t, code, exitUsage, out)
	assert.Assert(t, strings.Contains(out, "tokenizer.json"), out)
}

// check fails on a server that counts more tokens than the answer may have.
func TestCheckFailsOnFalseClaims(t *testing.T) {
	code, out := program(t, "", "check", "-q", "-url", claiming(t, "so it is ", 60), "-agents", "2", "-turns", "2",
		"-aborts", "2", "-max-tokens", "30")
	assert.Equal(t, code, exitFailed, out)
	assert.Assert(t, strings.Contains(out, "tokens      FAIL"), out)
	assert.Assert(t, strings.Contains(out, "usage claims more tokens than max_tokens allows and counts as unknown: 60 of 30"), out)
}

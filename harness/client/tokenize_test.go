package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"gotest.tools/v3/assert"
)

// The tokenizers of servers are asked by the names that each has for a text, and read in their
// forms.
func TestCountTokens(t *testing.T) {
	for reply, want := range map[string]int{
		`{"tokens":[1,2,3]}`: 3, `{"tokens":[{"id":1,"piece":"so"},{"id":2,"piece":[195]}]}`: 2, `{"tokens":[]}`: 0,
		`{"count":4,"max_model_len":4096,"tokens":[1,2,3,4],"token_strs":null}`: 4, `{"count":4,"tokens":null}`: 4,
		`[{"id":1,"text":"so","start":0,"stop":2}]`: 1, `[]`: 0,
		`{}`: -1, `{"detail":"Not Found"}`: -1, `<html>`: -1, ``: -1, `"so"`: -1, `{"count":-1}`: -1,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				Model, Content, Prompt, Inputs string
				AddSpecial                     *bool `json:"add_special"`
			}
			assert.NilError(t, json.NewDecoder(r.Body).Decode(&q))
			assert.Equal(t, r.Method+" "+r.URL.Path, "POST /tokenize")
			assert.Equal(t, r.Header.Get("Authorization"), "Bearer k")
			assert.Equal(t, q.Model+q.Content+q.Prompt+q.Inputs+fmt.Sprint(*q.AddSpecial), "mtexttexttextfalse")
			fmt.Fprint(w, reply)
		}))
		c := New(server.URL)
		c.Model, c.Key = "m", "k"
		n, err := c.CountTokens(t.Context(), "text")
		if want < 0 {
			assert.ErrorContains(t, err, "neither tokens nor a count", "%s", reply)
		} else {
			assert.NilError(t, err, "%s", reply)
			assert.Equal(t, n, want, "%s", reply)
		}
		c.Close()
		server.Close()
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := New(server.URL).CountTokens(t.Context(), "text")
	assert.Error(t, err, "POST /tokenize gave 404 Not Found")
}

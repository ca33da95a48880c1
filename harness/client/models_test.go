package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// served is a client of a server for the length of a test.
func served(t *testing.T, h http.HandlerFunc) *Client {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := New(s.URL)
	t.Cleanup(c.Close)
	return c
}

// The model to ask for is the first in the list, or the one that an answer comes from where the
// list is empty.
func TestFindModel(t *testing.T) {
	for _, tc := range []struct{ list, answer, want, err string }{
		{`{"data":[{"id":"a"},{"id":"b"}]}`, "", "a", ""},
		{`{"data":[]}`, `{"model":"c","choices":[]}`, "c", ""},
		{`{"data":[]}`, `{"choices":[]}`, "", "lists no model as an OpenAI server does: GET /v1/models gave an empty list"},
		{`<html>`, "", "", "GET /v1/models gave 200 OK"},
	} {
		c := served(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/models" {
				fmt.Fprint(w, tc.list)
			} else {
				fmt.Fprint(w, tc.answer)
			}
		})
		model, err := c.FindModel(t.Context(), time.Minute, nil)
		assert.Equal(t, model, tc.want)
		if tc.err != "" {
			assert.ErrorContains(t, err, tc.err)
			_, ok := errors.AsType[*NoModelsError](err)
			assert.Assert(t, ok)
		} else {
			assert.NilError(t, err)
		}
	}
}

// The client waits for a server that loads its model, and says so once. It waits only as long as it
// was told to, and not after the context has ended.
func TestWaitReady(t *testing.T) {
	asked, reasons := 0, []string(nil)
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"loading"}}`)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
	})
	models, err := c.WaitReady(t.Context(), time.Minute, func(reason string) {
		reasons = append(reasons, reason)
	})
	assert.NilError(t, err)
	assert.DeepEqual(t, models, []string{"m"})
	assert.DeepEqual(t, reasons, []string{"loading"})

	asked = -1000
	_, err = c.WaitReady(t.Context(), 1, nil)
	notReady, ok := errors.AsType[*NotReadyError](err)
	assert.Assert(t, ok && notReady.Reason == "loading" && notReady.Waited == 1, "%v", err)
	assert.ErrorContains(t, err, "is not ready after 1ns: loading")

	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = c.WaitReady(ctx, time.Minute, func(string) { cancel(enough) })
	assert.ErrorIs(t, err, enough)
}

func TestUnreachable(t *testing.T) {
	c := New("http://127.0.0.1:1") // a port that was free a moment ago may be somebody's now
	_, err := c.FindModel(t.Context(), time.Minute, nil)
	unreachable, ok := errors.AsType[*UnreachableError](err)
	assert.Assert(t, ok && unreachable.URL == c.URL, "%v", err)
	assert.ErrorContains(t, err, "connection refused")
	assert.Assert(t, !c.Alive(t.Context()) && !c.Ready(t.Context()))
}

func TestPost(t *testing.T) {
	method := ""
	status := http.StatusNoContent
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		method = r.Method
		w.WriteHeader(status)
	})
	assert.NilError(t, c.Post(t.Context(), c.URL+"/reset"))
	assert.Equal(t, method, http.MethodPost)
	status = http.StatusNotFound
	assert.ErrorContains(t, c.Post(t.Context(), c.URL+"/reset"), "/reset gave 404 Not Found")
}

// The pieces of an answer are handed on as they arrive, and are the answer together.
func TestOnPiece(t *testing.T) {
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, data(`{"choices":[{"delta":{"content":"a"}}]}`)+
			data(`{"choices":[{"delta":{"content":""}}]}`)+
			data(`{"choices":[{"delta":{"content":" stone"},"finish_reason":"stop"}]}`)+data("[DONE]"))
	})
	var pieces []string
	p := Prompt{OnPiece: func(text string) { pieces = append(pieces, text) }}
	r := c.Ask(t.Context(), c.Since(), p)
	assert.Equal(t, r.Outcome, record.OK)
	assert.DeepEqual(t, pieces, []string{"a", " stone"})
	assert.Equal(t, r.Answer, "a stone")
}

// The lead of a token is that of the one that covers the byte; tokens that are parts of a character
// are counted by their bytes.
func TestTie(t *testing.T) {
	text := `{"choices":[{"message":{"content":"ab€"},"finish_reason":"stop","logprobs":{"content":[
		{"token":"ab","logprob":-0.1,"bytes":[97,98],"top_logprobs":[{"token":"ab","logprob":-0.1},{"token":"x","logprob":-1.6}]},
		{"token":"?","logprob":-0.1,"bytes":[226,130],"top_logprobs":[{"logprob":-0.5},{"logprob":-0.75}]},
		{"token":"€","bytes":null,"top_logprobs":[{"logprob":-2},{"logprob":-1}]}]}}]}`
	c := served(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text) })
	for at, want := range map[int]float64{0: 1.5, 1: 1.5, 2: 0.25, 3: 0.25, 4: 1, 5: 1} {
		assert.Equal(t, c.Tie(t.Context(), Prompt{}, "ab€", at), want, "%d", at)
	}
	for _, text = range []string{`{"choices":[]}`, `{`, `{"error":"no"}`} {
		assert.Assert(t, math.IsInf(c.Tie(t.Context(), Prompt{}, "ab", 0), 1))
	}
}

// Servers say in several ways that they take work.
func TestReady(t *testing.T) {
	for _, tc := range []struct {
		codes map[string]int // of the routes that the server has
		want  bool
	}{
		{map[string]int{"/health/ready": 200, "/health": 503}, true},
		{map[string]int{"/health/ready": 503, "/health": 200, "/v1/models": 200}, false},
		{map[string]int{"/health": 200, "/v1/models": 503}, true},
		{map[string]int{"/health": 503, "/v1/models": 200}, false},
		{map[string]int{"/v1/models": 200}, true},
		{map[string]int{"/v1/models": 503}, false},
		{map[string]int{}, true}, // it answers, and has no list of models
	} {
		c := served(t, func(w http.ResponseWriter, r *http.Request) {
			code := tc.codes[r.URL.Path]
			if code == 0 {
				code = http.StatusNotFound
			}
			w.WriteHeader(code)
		})
		assert.Equal(t, c.Ready(t.Context()), tc.want, "%v", tc.codes)
	}
}

package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

const fine = `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}`

// Every request has the key, the headers and the body that the server wants.
func TestAccess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Check(t, r.Header.Get("Authorization") == "Bearer sesame", r.URL.Path)
		assert.Check(t, r.Header.Get("X-Team") == "storage", r.URL.Path)
		assert.Check(t, r.Host == "inner.example", r.URL.Path)
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
			return
		}
		var body map[string]any
		assert.Check(t, json.NewDecoder(r.Body).Decode(&body))
		assert.Check(t, body["temperature"] == nil && body["max_tokens"] == nil)
		assert.Check(t, body["max_completion_tokens"] == 7.0)
		fmt.Fprint(w, fine)
	}))
	defer server.Close()
	c := New(server.URL)
	defer c.Close()
	c.Key = "sesame"
	c.Headers = []load.Header{{Name: "x-team", Value: "storage"}, {Name: "host", Value: "inner.example"}}
	c.Body, _ = load.ParseBody("temperature= max_completion_tokens=@max_tokens")
	models, err := c.Models(t.Context())
	assert.NilError(t, err)
	assert.DeepEqual(t, models, []string{"m"})
	r := c.Ask(t.Context(), c.Since(), Prompt{MaxTokens: 7, Messages: []Message{{Role: "user", Content: "hi"}}})
	assert.Equal(t, r.Outcome, record.OK, r.Error)
	// A header of the user's takes the place of ours.
	c.Key, c.Headers = "other", append(c.Headers, load.Header{Name: "Authorization", Value: "Bearer sesame"})
	_, err = c.Models(t.Context())
	assert.NilError(t, err)
}

// No redirect is followed: a load does not go where nobody sent it. The error has the address.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, status)
		}))
		c := New(server.URL)
		for _, rate := range []int{0, 100} { // also where answers are read slowly
			r := c.Ask(t.Context(), c.Since(), Prompt{ReadRate: rate})
			assert.Equal(t, r.Outcome, record.Failed)
			assert.Equal(t, r.Status, status)
			assert.Equal(t, r.Resent, 0)
			assert.Assert(t, strings.Contains(r.Error, "the server redirects to "+other.URL+"/v1/chat/completions"), r.Error)
		}
		_, err := c.Models(t.Context())
		to, ok := errors.AsType[*RedirectError](err)
		assert.Assert(t, ok && to.To == other.URL+"/v1/models", "%v", err)
		assert.ErrorContains(t, c.Post(t.Context(), server.URL+"/reset"), "redirects to "+other.URL+"/reset")
		m, err := c.Scrape(t.Context())
		assert.Assert(t, err == nil && len(m) == 0)
		assert.Equal(t, c.NoMetrics(), "is a redirect to "+other.URL+"/metrics")
		assert.Assert(t, !c.Ready(t.Context()))
		c.Close()
		server.Close()
	}
	assert.Equal(t, elsewhere.Load(), int64(0))
}

// A server with a certificate of its own is trusted where that is said, and otherwise not.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, fine) }))
	defer server.Close()
	server.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, tc := range []struct {
		settings *tls.Config
		want     record.Outcome
	}{{nil, record.Refused}, {&tls.Config{RootCAs: roots}, record.OK}, {&tls.Config{InsecureSkipVerify: true}, record.OK}} {
		for _, rate := range []int{0, 1 << 20} {
			c := NewTLS(server.URL, tc.settings)
			r := c.Ask(t.Context(), c.Since(), Prompt{ReadRate: rate})
			assert.Equal(t, r.Outcome, tc.want, r.Error)
			c.Close()
		}
	}
}

// What a server has at /metrics that is no metrics is named once, and not asked for again. Real
// metrics that fail once are asked for again.
func TestNoMetrics(t *testing.T) {
	const text = "# TYPE a counter\na_total 3\n"
	serve := func(media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			fmt.Fprint(w, body)
		}
	}
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
		why  string
	}{
		{"page", serve("text/html; charset=utf-8", "<!doctype html>\n<title>app</title>"), "is a page"},
		{"page of no type", serve("", "<html>"), "is a page"},
		{"JSON", serve("application/json", `{"uptime":3}`), "is JSON, not Prometheus' text"},
		{"JSON of no type", serve("text/plain", "{\n \"uptime\": 3\n}"), "is JSON, not Prometheus' text"},
		{"half of JSON", serve("text/plain", "{\n \"uptime\": 3,"), "is not Prometheus' text"},
		{"JSON array", serve("text/plain", "[1]"), "is JSON, not Prometheus' text"},
		{"problem", serve("application/problem+json", "{}"), "is JSON, not Prometheus' text"},
		{"words", serve("text/plain", "it works"), "is not Prometheus' text"},
		{"break", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "breaks the connection"},
		{"metrics", serve("text/plain", text), ""},
		{"nothing", serve("text/plain", ""), ""},
		{"none", http.NotFound, ""},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); tc.h(w, r) }))
		c := New(server.URL)
		for range 3 {
			m, err := c.Scrape(t.Context())
			assert.NilError(t, err, tc.name)
			assert.Equal(t, len(m) > 0, tc.name == "metrics")
		}
		if tc.why == "" {
			assert.Equal(t, c.NoMetrics(), "", tc.name)
		} else {
			assert.Assert(t, strings.HasPrefix(c.NoMetrics(), tc.why), c.NoMetrics())
			assert.Equal(t, asked.Load(), int64(1), tc.name)
		}
		c.Close()
		server.Close()
	}

	broken := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken {
			fmt.Fprint(w, "<html>")
			return
		}
		fmt.Fprint(w, text)
	}))
	defer server.Close()
	c := New(server.URL)
	defer c.Close()
	for i := range 3 {
		broken = i == 1
		m, err := c.Scrape(t.Context())
		assert.Equal(t, err != nil, broken)
		assert.Equal(t, len(m) > 0, !broken)
	}
	assert.Equal(t, c.NoMetrics(), "")
}

// A /metrics that never answers costs a bounded time, once.
func TestMetricsHang(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
	}))
	defer server.Close()
	defer close(release)
	c := New(server.URL)
	defer c.Close()
	for range 3 {
		m, err := c.Scrape(t.Context())
		assert.Assert(t, err == nil && len(m) == 0, "%v", err)
	}
	assert.Equal(t, asked.Load(), int64(1))
	assert.Equal(t, c.NoMetrics(), "does not answer within 3s")
	// A context that ends says nothing of the server.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c = New(server.URL)
	_, err := c.Scrape(ended)
	assert.Assert(t, err != nil && c.NoMetrics() == "")
}

// An error of this machine's own limits is no outcome of the server's.
func TestLocalErrors(t *testing.T) {
	for _, tc := range []struct {
		err   error
		local bool
	}{
		{syscall.EMFILE, true}, {syscall.ENFILE, true}, {syscall.EADDRNOTAVAIL, true}, {syscall.ENOBUFS, true},
		{syscall.ECONNREFUSED, false}, {io.EOF, false},
	} {
		fails := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", tc.err)}
		}}
		c := NewWithTransport("http://server", fails)
		for range 2 {
			r := c.Ask(t.Context(), c.Since(), Prompt{})
			if !tc.local {
				assert.Equal(t, r.Outcome, record.Refused)
				assert.NilError(t, c.Limited())
				continue
			}
			assert.Equal(t, r.Outcome, record.Cancelled)
			assert.Assert(t, strings.HasPrefix(r.Error, "the client's own limit, not the server's: "), r.Error)
			assert.ErrorIs(t, c.Limited(), tc.err)
		}
	}
}

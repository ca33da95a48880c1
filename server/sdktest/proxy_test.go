package sdktest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proxy"
)

// TestProgramsThroughProxy runs the same programs through the recording proxy: to them it is the
// server. Each request that was answered is in the recording, and what a client sends that replays
// it is byte for byte what the SDK sent, where the SDK writes JSON without blanks.
func TestProgramsThroughProxy(t *testing.T) {
	if os.Getenv("LOADSTONE_TEST_CLIENTS") == "" {
		t.Skip("the packages are not asked for; " + install)
	}
	python, err := filepath.Abs("testdata/python/.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	server, limited := serve(t), serve(t, "-rate", "60")
	for _, p := range programs {
		t.Run(p.file, func(t *testing.T) {
			seen := &bodies{}
			behind := httptest.NewServer(seen.before(t, server))
			defer behind.Close()
			var file bytes.Buffer
			recorder, err := proxy.NewRecorder(&file, proxy.Options{})
			if err != nil {
				t.Fatal(err)
			}
			to, err := url.Parse(behind.URL)
			if err != nil {
				t.Fatal(err)
			}
			front := httptest.NewServer(proxy.New(to, recorder))
			defer front.Close()
			p.run(t, python, front.URL, limited)
			front.Close()
			if err := recorder.Close(); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(file.Bytes(), []byte(key)) {
				t.Error("the key is in the recording")
			}
			stats := recorder.Stats()
			sessions, err := load.ReadRecording("recording", &file)
			if err != nil {
				t.Fatal(err)
			}
			sent := 0
			for _, s := range sessions {
				for _, body := range replayed(t, s) {
					sent++
					if !seen.has(body) {
						t.Errorf("no SDK sent %s", body)
					}
				}
			}
			t.Logf("%+v", stats)
			if sent == 0 || sent != stats.Calls || stats.Unread > 0 {
				t.Errorf("%d calls were recorded and %d replayed; %d were not read: %s", stats.Calls, sent,
					stats.Unread, stats.Why)
			}
		})
	}
}

// bodies are the bodies of requests that a server got.
type bodies struct {
	mu  sync.Mutex
	all []string
}

// before is a server that notes the bodies of requests to another.
func (b *bodies) before(t *testing.T, server string) http.Handler {
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(text))
		b.mu.Lock()
		b.all = append(b.all, string(text))
		b.mu.Unlock()
		pass.ServeHTTP(w, r)
	})
}

// has reports whether a body was sent: byte for byte, or, where blanks stood between its values,
// without them. A request that went on from an answer by its name has the conversation in its
// place.
func (b *bodies) has(body string) bool {
	return slices.ContainsFunc(b.all, func(sent string) bool {
		var short bytes.Buffer
		return sent == body || json.Compact(&short, []byte(sent)) == nil && short.String() == body ||
			goesOn(sent, body)
	})
}

// goesOn reports whether a body is that of a request that went on from an answer by its name, but
// for the conversation before what it asks.
func goesOn(sent, body string) bool {
	var named, whole map[string]any
	if json.Unmarshal([]byte(sent), &named) != nil || json.Unmarshal([]byte(body), &whole) != nil ||
		named["previous_response_id"] == nil {
		return false
	}
	asked, _ := named["input"].([]any)
	if text, ok := named["input"].(string); ok {
		asked = []any{map[string]any{"role": "user", "content": text}}
	}
	all, _ := whole["input"].([]any)
	if len(asked) >= len(all) {
		return false
	}
	delete(named, "previous_response_id")
	named["input"], whole["input"] = asked, all[len(all)-len(asked):]
	return reflect.DeepEqual(named, whole)
}

// replayed are the bodies that a client sends for the calls of a session.
func replayed(t *testing.T, s load.Session) (sent []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		sent = append(sent, string(text))
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	c.API = client.API(s.API)
	asked := map[int][]client.Message{}
	for call := range s.Calls {
		messages := slices.Clone(asked[call.From])
		if call.Keep > 0 {
			messages = messages[:call.Keep]
		}
		for _, m := range call.Add {
			messages = append(messages, client.Message{Role: m.Role, Content: m.Text, Raw: m.Raw})
		}
		asked[call.ID] = messages
		c.Ask(t.Context(), 0, client.Prompt{Form: c.API, Fields: call.Fields, Tools: call.Tools,
			Messages: messages, MaxTokens: call.Answer})
	}
	return sent
}

package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// Bodies of every length arrive as they were written: short ones, which go out with their head, and
// long ones, whose memory other requests use again, also where the server closes each connection
// that was idle, so that some are sent twice. The memory keeps the list of messages of the last
// body, but not of one whose fields were changed.
func TestBodiesArriveWhole(t *testing.T) {
	t.Run("usual", func(t *testing.T) { bodiesArriveWhole(t, nil) })
	t.Run("changed", func(t *testing.T) { bodiesArriveWhole(t, load.Body{{Name: "stream_options"}}) })
}

func bodiesArriveWhole(t *testing.T, changed load.Body) {
	const sessions, calls = 4, 12
	var got sync.Map // by agent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the connection was closed
		}
		got.Store(r.Header.Get("X-Agent-ID"), text)
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, `data: {"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}`+
			"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	c := New(s.URL)
	c.Body = changed
	t.Cleanup(c.Close)
	var all sync.WaitGroup
	var answered atomic.Int64
	for n := range sessions {
		all.Go(func() {
			p := Prompt{MaxTokens: 5}
			for call := range calls {
				p.Agent = fmt.Sprintf("a%d-%d", n, call)
				text := strings.Repeat(fmt.Sprintf("%d \"<é>\n ", n), 1<<call)
				p.Messages = append(p.Messages, Message{Role: "user", Content: text, Wire: &Wire{}})
				if call == calls/2 {
					s.CloseClientConnections()
				}
				r := c.Ask(t.Context(), c.Since(), p)
				if r.Outcome == record.Cancelled {
					t.Errorf("call %d was not sent: %s", call, r.Error)
				}
				if r.Outcome != record.OK {
					continue // its connection was closed while it was in flight
				}
				answered.Add(1)
				sent, _ := got.Load(p.Agent)
				var body struct{ Messages []Message }
				if err := json.Unmarshal(sent.([]byte), &body); err != nil {
					t.Error(err)
					return
				}
				if len(body.Messages) != len(p.Messages) {
					t.Errorf("%d messages of %d", len(body.Messages), len(p.Messages))
					return
				}
				for i, m := range body.Messages {
					if m.Content != p.Messages[i].Content || m.Role != "user" {
						t.Errorf("call %d: message %d differs", call, i)
					}
				}
			}
		})
	}
	all.Wait()
	// Each of the closings ends one request of each session, or none.
	assert.Assert(t, answered.Load() >= sessions*(calls-sessions), "%d answered", answered.Load())
}

// What is written without encoding/json is what that would write.
func FuzzText(f *testing.F) {
	for _, text := range []string{"", "hi", `"<é>\`, "a\nb\x7f\x00", "\xff", "\u2028"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, role, text string) {
		m := Message{Role: role, Content: text}
		got, err := m.inChat()
		assert.NilError(t, err)
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		assert.NilError(t, enc.Encode(map[string]string{"role": role, "content": text}))
		var a, b map[string]string
		assert.NilError(t, json.Unmarshal(got, &a))
		assert.NilError(t, json.Unmarshal(want.Bytes(), &b))
		assert.DeepEqual(t, a, b)
		assert.Equal(t, len(got), want.Len()-1)
	})
}

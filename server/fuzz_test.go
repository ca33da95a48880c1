package server

import (
	"bufio"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"loadstone/engine"
	"loadstone/server/internal/openai"
)

// FuzzAnswer has a model generate any bytes in any tokens. Whatever they are, every frame of the
// stream is JSON in UTF-8, the frames come in order, and their text is that of the same request
// without stream, and that of all bytes decoded at once.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("Grüße, 🙂 and \"quotes\"\n\\ <b>"), []byte{3, 1, 4, 1, 5}, "", "")
	f.Add([]byte("one STOP two"), []byte{1}, "STOP", "two")
	f.Add([]byte("xaaabaab"), []byte{1, 2}, "aab", "") // begins anew within a partial match
	f.Add([]byte("a\xff\xe2\x82\xf0\x9f\x99\x00\x1f\x7f\u2028"), []byte{2, 1}, "\ufffd\ufffd", "x")
	f.Fuzz(func(t *testing.T, raw, cuts []byte, stop1, stop2 string) {
		if len(raw) > 300 || len(stop1) > 100 || len(stop2) > 100 || !utf8.ValidString(stop1) ||
			!utf8.ValidString(stop2) {
			t.Skip("larger than necessary, or not expressible in JSON")
		}
		var stops []string
		for _, s := range []string{stop1, stop2} {
			if s != "" {
				stops = append(stops, s)
			}
		}
		var text byteText
		m := &echoModel{script: []int32{}}
		for i := 0; len(raw[i:]) > 0; {
			n := 1
			if len(cuts) > 0 {
				n = min(int(cuts[len(m.script)%len(cuts)])%5, len(raw)-i)
			}
			if n == 0 && len(m.script) > 300 {
				n = 1
			}
			m.script = append(m.script, pieces+int32(len(m.script)))
			text.pieces = append(text.pieces, raw[i:i+n])
			i += n
			if len(m.script) == vocab-pieces {
				return
			}
		}
		s, _ := start(t, Config{}, engine.Config{Model: m}, text)
		list, _ := json.Marshal(stops)
		more := []string{`"max_tokens":1000`, `"stop":` + string(list)}
		want := decoded(raw, stops)
		if got := whole(t, s, say("go", more...)); got != want {
			t.Errorf("whole answer %q, want %q", got, want)
		}
		if got := streamed(t, s, say("go", append(more, `"stream":true`)...)); got != want {
			t.Errorf("stream %q, want %q", got, want)
		}
		body := messagesBody("go", `"stream":true`, `"max_tokens":1000`,
			`"stop_sequences":`+string(list))
		if got := messaged(t, s, body); got != want {
			t.Errorf("Anthropic's stream %q, want %q", got, want)
		}
	})
}

// messaged returns the text of a stream in Anthropic's API after it has checked the order of the
// events: the message begins, a block begins, gets its text and ends, and the message ends.
func messaged(t *testing.T, s *Server, body string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/messages", strings.NewReader(body)))
	if w.Code != 200 || !utf8.Valid(w.Body.Bytes()) {
		t.Fatalf("status %d, %q", w.Code, w.Body)
	}
	var text strings.Builder
	var order []string
	for _, frame := range strings.SplitAfter(w.Body.String(), "\n\n") {
		if frame == "" {
			continue
		}
		var e struct {
			Type  string
			Index int
			Delta struct{ Type, Text string }
		}
		name, data, ok := strings.Cut(frame, "\ndata: ")
		if err := json.Unmarshal([]byte(data), &e); err != nil || !ok || name != "event: "+e.Type ||
			e.Index != 0 {
			t.Fatalf("frame %q: %v", frame, err)
		}
		if e.Type != "content_block_delta" {
			order = append(order, e.Type)
		} else if e.Delta.Type != "text_delta" || e.Delta.Text == "" || len(order) != 2 {
			t.Fatalf("frame %q after %v", frame, order)
		}
		text.WriteString(e.Delta.Text)
	}
	if got := strings.Join(order,
		" "); got != "message_start content_block_start content_block_stop message_delta message_stop" {
		t.Fatalf("events %s", got)
	}
	return text.String()
}

func whole(t *testing.T, s *Server, body string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
	var c openai.Completion
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || w.Code != 200 ||
		!utf8.Valid(w.Body.Bytes()) {
		t.Fatalf("status %d, %v: %q", w.Code, err, w.Body)
	}
	return *c.Choices[0].Message.Content
}

// streamed returns the text of a stream after it has checked the order of the frames: role,
// contents, finish, [DONE].
func streamed(t *testing.T, s *Server, body string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
	if w.Code != 200 || !utf8.Valid(w.Body.Bytes()) {
		t.Fatalf("status %d, %q", w.Code, w.Body)
	}
	var text strings.Builder
	var id string
	state := "role"
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		frame, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			if lines.Text() != "" {
				t.Fatalf("not a frame: %q", lines.Text())
			}
			continue
		}
		if frame == "[DONE]" && state == "done" {
			state = "end"
			continue
		}
		var c struct {
			ID      string
			Choices []struct {
				Delta        struct{ Role, Content *string }
				FinishReason *string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(frame), &c); err != nil || len(c.Choices) != 1 {
			t.Fatalf("frame %q: %v", frame, err)
		}
		d := c.Choices[0].Delta
		switch {
		case state == "role" && d.Role != nil && *d.Role == "assistant" && *d.Content == "":
			state, id = "content", c.ID
		case state == "content" && c.ID == id && c.Choices[0].FinishReason != nil &&
			d.Content == nil && d.Role == nil:
			state = "done"
		case state == "content" && c.ID == id && d.Content != nil && *d.Content != "" &&
			d.Role == nil:
			text.WriteString(*d.Content)
		default:
			t.Fatalf("frame %q in state %s", frame, state)
		}
	}
	if state != "end" {
		t.Fatalf("the stream ends in state %s", state)
	}
	return text.String()
}

// FuzzChatRequest: any body is either a request that the engine accepts, or a 400 with a code and a
// message.
func FuzzChatRequest(f *testing.F) {
	for _, body := range []string{
		say("hi"),
		say("hi", `"stop":["a","b"],"seed":-1,"top_p":0,"top_k":-1,"max_completion_tokens":7,"max_tokens":9`),
		`{"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`,
		`{"messages":[{"role":"user","content":{}}],"n":2}`,
		`{"messages":[{"role":7}]}`,
		`{"temperature":1e999}`,
		`[]`, `null`, ``, `{"messages":`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { fuzzRequest(t, body, new(openai.ChatRequest)) })
}

// decoded returns what the server must make of an answer's bytes, the slow way: the text is cut
// before the first stop string that is complete, and before the longest where several end together.
func decoded(raw []byte, stops []string) string {
	text := wellFormed(raw)
	for n := range len(text) + 1 {
		cut := -1
		for _, stop := range stops {
			if strings.HasSuffix(text[:n], stop) && (cut < 0 || n-len(stop) < cut) {
				cut = n - len(stop)
			}
		}
		if cut >= 0 {
			return text[:cut]
		}
	}
	return text
}

// wellFormed returns the text of any bytes, with one U+FFFD for the longest beginning of a
// character that does not go on, and for each byte with which no character begins.
func wellFormed(raw []byte) string {
	var b strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if r == utf8.RuneError && n == 1 {
			for n = min(3, len(raw)); n > 1 && !isBeginning(raw[:n]); n-- {
			}
		}
		b.WriteRune(r)
		raw = raw[n:]
	}
	return b.String()
}

// isBeginning reports whether a character begins with these bytes and goes on behind them.
func isBeginning(b []byte) bool {
	for _, more := range [][]byte{{0x80}, {0xbf}, {0x80, 0x80}, {0xbf, 0x80}, {0x80, 0x80, 0x80}, {0xbf, 0x80, 0x80}, {0x90, 0x80, 0x80}, {0x90, 0x80}} {
		if c := append(slices.Clone(b), more...); utf8.RuneCount(c) == 1 && utf8.Valid(c) {
			return true
		}
	}
	return false
}

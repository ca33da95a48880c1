package anthropic

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"loadstone/server/internal/generate"
)

// TestMessageWriter: every block begins and ends, and the events carry the answer.
func TestMessageWriter(t *testing.T) {
	w := NewMessageWriter("id", "m")
	if b := w.AppendKeepAlive(nil); strings.Contains(string(b), "event:") {
		t.Errorf("before message_start: %q", b)
	}
	b := w.AppendStart(nil, generate.Usage{PromptTokens: 9, CacheableTokens: 8})
	b = w.AppendKeepAlive(b)
	for _, piece := range []generate.Piece{
		{Kind: generate.PieceText, Bytes: []byte("Hi")},
		{Kind: generate.PieceCall, ID: "c", Name: "f"},
		{Kind: generate.PieceArguments, Bytes: []byte("{}")},
	} {
		b = w.AppendPiece(b, piece)
	}
	b = w.AppendFinish(b, generate.Answer{Reason: generate.ReasonToolCalls})
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^event: (\w+)\ndata: (.*)$`).FindAllStringSubmatch(string(b), -1) {
		names = append(names, m[1])
		if !json.Valid([]byte(m[2])) {
			t.Errorf("not JSON: %s", m[2])
		}
	}
	want := "message_start ping content_block_start content_block_delta content_block_stop " +
		"content_block_start content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if !strings.Contains(string(b), `"input_tokens":1,"cache_creation_input_tokens":8,`) {
		t.Errorf("the usage in %q", b)
	}
}

// TestCutOffCall: a call that max_tokens cut off has an empty input, because half of one is not
// JSON.
func TestCutOffCall(t *testing.T) {
	a := generate.Answer{
		Calls:  []generate.ToolCall{{ID: "c", Name: "f", Arguments: []byte(`{"a"`)}},
		Reason: generate.ReasonLength,
	}
	body := string(NewMessageWriter("id", "m").Whole(a).(json.RawMessage))
	if !json.Valid([]byte(body)) || !strings.Contains(body, `"input":{}`) ||
		!strings.Contains(body, `"stop_reason":"max_tokens"`) {
		t.Error(body)
	}
}

package client

import (
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// FuzzAnswer reads any bytes as an answer in each API, streamed and in one piece: there is an
// outcome and nothing is out of bounds, and a stream says the same however its bytes are cut into
// reads.
func FuzzAnswer(f *testing.F) {
	for _, s := range streamsOfAPIs {
		f.Add(strings.Join(s.events, ""), 3)
	}
	for _, s := range streams {
		var whole strings.Builder
		for _, p := range s.wire {
			whole.WriteString(p.text)
		}
		f.Add(whole.String(), 5)
	}
	f.Add(`{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":-1,"completion_tokens":9e99}}`, 1)
	f.Add(`{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1}}`, 1)
	f.Add(`{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}],"error":null}`, 1)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		for _, api := range APIs {
			c := &Client{Model: "m", API: api, start: time.Now()}
			stream := func(r io.Reader) record.Record {
				got := record.Record{FirstContent: -1, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}
				prompt := Prompt{MaxTokens: 5}
				if err := c.stream(r, &prompt, &got); err != nil && got.Error == "" {
					got.Error = err.Error()
				}
				bounds(t, text, got)
				got.FirstContent, got.Chunks, got.End = 0, make([]time.Duration, len(got.Chunks)), 0
				return got
			}
			whole := stream(strings.NewReader(text))
			assert.DeepEqual(t, stream(&chopped{strings.NewReader(text), 1 + max(cut, 0)%7}), whole)
			for _, kind := range []string{"application/json", "text/event-stream", ""} {
				got := record.Record{FirstContent: -1}
				c.whole(strings.NewReader(text), kind, &Prompt{MaxTokens: 5, NoStream: true}, &got)
				bounds(t, text, got)
			}
		}
	})
}

// bounds checks what must hold of any record of an answer.
func bounds(t *testing.T, text string, r record.Record) {
	t.Helper()
	// Each byte of the answer takes one of the text or, as U+FFFD, three for one.
	if len(r.Answer)+len(r.Thought) > 3*len(text) || len(r.Chunks) > len(text) ||
		!utf8.ValidString(r.Answer) || r.Reasoning < 0 || r.Reasoning > len(r.Chunks) {
		t.Errorf("of %q: %+v", text, r)
	}
}

package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"loadstone/server/internal/generate"
)

// TestAgentRequest: a body is a completion if it has a prompt, a chat otherwise, and never both.
func TestAgentRequest(t *testing.T) {
	for body, completion := range map[string]bool{
		`{"messages":[{"role":"user","content":"a"}]}`:               false,
		`{"messages":[{"role":"user","content":"a"}],"prompt":null}`: false,
		`{"prompt":"a"}`:                   true,
		`{"prompt":["a"],"messages":null}`: true,
	} {
		q := new(AgentRequest)
		if err := json.Unmarshal([]byte(body), q); err != nil {
			t.Fatal(err)
		}
		p, err := q.Validate(7)
		if err != nil || q.IsCompletion() != completion || (p.Prompt != nil) != completion || p.MaxTokens != 7 {
			t.Errorf("%s: completion %v, %+v, %v", body, q.IsCompletion(), p, err)
		}
	}
	var refused *generate.RequestError
	err := json.Unmarshal([]byte(`{"prompt":"a","messages":[]}`), new(AgentRequest))
	if !errors.As(err, &refused) || refused.Param != "prompt" {
		t.Errorf("both: %v", err)
	}
}

// TestChatWriter writes an answer with text and a call as events, and whole.
func TestChatWriter(t *testing.T) {
	p := &generate.Params{Stream: true, StreamUsage: true, TopLogprobs: -1}
	w := NewChatWriter(Head{ID: "id", Model: "m"}, p)
	b := w.AppendStart(nil, generate.Usage{})
	for _, piece := range []generate.Piece{
		{Kind: generate.PieceText, Bytes: []byte("Hi")},
		{Kind: generate.PieceCall, ID: "c", Name: "f"},
		{Kind: generate.PieceArguments, Bytes: []byte("{}")},
	} {
		b = w.AppendPiece(b, piece)
	}
	a := generate.Answer{
		Text:   []byte("Hi"),
		Calls:  []generate.ToolCall{{ID: "c", Name: "f", Arguments: []byte("{}")}},
		Reason: generate.ReasonToolCalls,
		Usage:  generate.Usage{PromptTokens: 3, OutputTokens: 2},
	}
	frames := strings.SplitAfter(string(w.AppendFinish(b, a)), "\n\n")
	wants := []string{
		`"delta":{"role":"assistant","content":""}`,
		`"delta":{"content":"Hi"}`,
		`"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]`,
		`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`,
		`"finish_reason":"tool_calls"`,
		`"total_tokens":5`,
		"data: [DONE]\n\n",
		"",
	}
	if len(frames) != len(wants) {
		t.Fatalf("%d frames, want %d: %q", len(frames), len(wants), frames)
	}
	for i, want := range wants {
		if !strings.Contains(frames[i], want) {
			t.Errorf("frame %d is %q, want %s", i, frames[i], want)
		}
	}
	c := w.Whole(a).(Completion)
	if m := c.Choices[0].Message; *m.Content != "Hi" || len(m.ToolCalls) != 1 || c.Usage.TotalTokens != 5 {
		t.Errorf("whole: %+v", c)
	}
}

// Drafts are counted beside OpenAI's fields and in none of them.
func TestDraftsInUsage(t *testing.T) {
	u := generate.Usage{PromptTokens: 3, OutputTokens: 9, Drafts: generate.Drafts{Drafted: 7, Accepted: 5}}
	got, err := json.Marshal(newUsage(u))
	const want = `{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0},` +
		`"drafts":{"drafted_tokens":7,"accepted_tokens":5}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	u.Drafts = generate.Drafts{}
	if got, _ := json.Marshal(newUsage(u)); strings.Contains(string(got), "drafts") {
		t.Errorf("%s", got)
	}
}

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"loadstone/engine"
)

// chatRequest is the body of POST /v1/chat/completions. A field that is not here is ignored, as the SDKs expect of a
// server older than they are; the last ones are here in order to be refused, because ignoring them would give a wrong answer.
type chatRequest struct {
	samplingFields
	Messages            []chatMessage   `json:"messages"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"` // wins over max_tokens
	Logprobs            bool            `json:"logprobs"`
	TopLogprobs         *int            `json:"top_logprobs"` // 0 to 20
	Tools               []chatTool      `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	ResponseFormat      *responseFormat `json:"response_format"`

	Functions  []json.RawMessage `json:"functions"`
	Modalities []string          `json:"modalities"`
}

type chatMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"` // string, array of text parts, or null
	ToolCalls  []chatToolCall  `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
}

type chatToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// ask validates the request. Its errors are for the client and name the field.
func (q *chatRequest) ask(defaultMax int) (*ask, error) {
	if len(q.Functions) > 0 {
		return nil, unsupported("functions", "functions: not supported by this server; use tools")
	}
	if slices.ContainsFunc(q.Modalities, func(m string) bool { return m != "text" }) {
		return nil, unsupported("modalities", "modalities: this server answers in text only")
	}
	a, err := q.samplingFields.ask(defaultMax)
	if err != nil {
		return nil, err
	}
	a.param = "messages"
	if err := a.most("max_completion_tokens", q.MaxCompletionTokens); err != nil {
		return nil, err
	}
	if n := q.TopLogprobs; n != nil {
		if !q.Logprobs {
			return nil, invalid("top_logprobs", "top_logprobs: only with logprobs true")
		}
		if *n < 0 || *n > maxLikeliest {
			return nil, invalid("top_logprobs", "top_logprobs: %d; want 0 to %d", *n, maxLikeliest)
		}
		a.logprobs = *n
	} else if q.Logprobs {
		a.logprobs = 0
	}
	if a.shape, err = q.shape(); err != nil {
		return nil, err
	}
	return a, q.messages(a)
}

func (q *chatRequest) messages(a *ask) error {
	if len(q.Messages) == 0 {
		return invalid("messages", "messages: at least one is needed")
	}
	for i := range q.Messages {
		if err := q.Messages[i].turn(fmt.Sprintf("messages[%d]", i), a); err != nil {
			return err
		}
	}
	return nil
}

// turn appends a message to the conversation.
func (m *chatMessage) turn(at string, a *ask) error {
	switch m.Role {
	case "system", "developer", "user", "assistant", "tool":
	default:
		return invalid(at+".role", "%s.role: %q; want system, developer, user, assistant or tool", at, m.Role)
	}
	if len(m.ToolCalls) > 0 && m.Role != "assistant" {
		return invalid(at+".tool_calls", "%s.tool_calls: only an assistant's message has them", at)
	}
	text, err := contentText(at+".content", m.Content, m.Role == "assistant")
	if err != nil {
		return err
	}
	switch m.Role {
	case "developer":
		a.turns = append(a.turns, turn{role: "system", text: text}) // the newer name of the same thing; templates know the older one
	case "tool":
		a.toolResult(text)
	case "assistant":
		var calls []toolCall
		for j, c := range m.ToolCalls {
			if !isToolName(c.Function.Name) || !isObject(c.Function.Arguments) {
				at := fmt.Sprintf("%s.tool_calls[%d].function", at, j)
				return invalid(at, "%s: want a name, and arguments that are a JSON object in a string", at)
			}
			calls = append(calls, toolCall{name: c.Function.Name, arguments: []byte(c.Function.Arguments)})
		}
		a.answered(text, calls)
	default:
		a.turns = append(a.turns, turn{role: m.Role, text: text})
	}
	return nil
}

// contentText is the text of a message: a string, or the parts of an array one after the other, with nothing between.
func contentText(at string, raw json.RawMessage, mayBeNull bool) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		if mayBeNull {
			return "", nil
		}
		return "", invalid(at, "%s: missing", at)
	}
	var text string
	if raw[0] == '"' {
		err := json.Unmarshal(raw, &text)
		return text, err
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if bytes.HasPrefix(raw, []byte("[")) && json.Unmarshal(raw, &parts) == nil {
		var b strings.Builder
		for i, p := range parts {
			at := fmt.Sprintf("%s[%d]", at, i)
			if p.Type != "text" {
				return "", unsupported(at+".type", "%s.type: %q; this server reads text parts only", at, p.Type)
			}
			if p.Text == nil {
				return "", invalid(at+".text", "%s.text: missing", at)
			}
			b.WriteString(*p.Text)
		}
		return b.String(), nil
	}
	return "", invalid(at, "%s: want a string or an array of text parts", at)
}

// completion is the answer to a chat that does not stream.
type completion struct {
	ID          string             `json:"id"`
	Object      string             `json:"object"`
	Created     int64              `json:"created"`
	Model       string             `json:"model"`
	Fingerprint string             `json:"system_fingerprint,omitempty"` // of all that an answer depends on beside the request
	Choices     []completionChoice `json:"choices"`
	Usage       usage              `json:"usage"`
}

type completionChoice struct {
	Index   int `json:"index"`
	Message struct {
		Role      string         `json:"role"`
		Content   *string        `json:"content"` // null beside tool calls where the model said nothing
		ToolCalls []chatToolCall `json:"tool_calls,omitempty"`
	} `json:"message"`
	Logprobs     *chatLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

func (s *Server) newCompletion(id string, g *generation, e ending) completion {
	choice := completionChoice{FinishReason: e.reason}
	choice.Message.Role = "assistant"
	if len(g.answer) > 0 || len(g.calls) == 0 {
		choice.Message.Content = new(string(g.answer))
	}
	for _, c := range g.calls {
		w := chatToolCall{ID: c.id, Type: "function"}
		w.Function.Name, w.Function.Arguments = c.name, string(c.arguments)
		choice.Message.ToolCalls = append(choice.Message.ToolCalls, w)
	}
	if g.likely >= 0 {
		choice.Logprobs = newChatLogprobs(g.given())
	}
	return completion{ID: id, Object: "chat.completion", Created: time.Now().Unix(), Model: s.cfg.Model, Fingerprint: s.fingerprint(),
		Choices: []completionChoice{choice}, Usage: e.usage}
}

type chatLogprobs struct {
	Content []chatLogprob `json:"content"`
}

type chatLogprob struct {
	Token   string        `json:"token"`
	Logprob float64       `json:"logprob"`
	Bytes   []int         `json:"bytes"`
	Likely  []chatLogprob `json:"top_logprobs,omitzero"` // those of a top_logprob itself have none
}

func newChatLogprobs(probs []tokenProbs) *chatLogprobs {
	l := &chatLogprobs{Content: []chatLogprob{}}
	for _, p := range probs {
		w := newChatLogprob(p)
		w.Likely = []chatLogprob{}
		for _, q := range p.likely {
			w.Likely = append(w.Likely, newChatLogprob(q))
		}
		l.Content = append(l.Content, w)
	}
	return l
}

// newChatLogprob has a token that is part of a character with U+FFFD in its text; its bytes are exact.
func newChatLogprob(p tokenProbs) chatLogprob {
	w := chatLogprob{Token: strings.ToValidUTF8(p.text, "\uFFFD"), Logprob: p.logprob, Bytes: []int{}}
	for _, b := range []byte(p.text) {
		w.Bytes = append(w.Bytes, int(b))
	}
	return w
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	Details          promptDetails `json:"prompt_tokens_details"`
}

// promptDetails says, beyond OpenAI's cached_tokens, what the cache was worth to this prompt.
type promptDetails struct {
	CachedTokens  int     `json:"cached_tokens"`
	Tier          string  `json:"tier,omitempty"` // hot, warm or cold
	Miss          string  `json:"miss,omitempty"` // why the rest was not cached
	RestoredBytes int64   `json:"restored_bytes,omitempty"`
	RestoreMs     float64 `json:"restore_ms,omitempty"`
}

func newPromptDetails(s engine.Start) promptDetails {
	ms := math.Round(s.Restore.Seconds()*1e5) / 1e2
	return promptDetails{CachedTokens: s.CachedTokens, Tier: s.Tier, Miss: s.Miss, RestoredBytes: s.RestoredBytes, RestoreMs: ms}
}

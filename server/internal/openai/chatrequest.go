package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A ChatRequest is the body of POST /v1/chat/completions. Fields that are missing here are ignored,
// as the SDKs expect of a server that is older than they are. The last two fields are here so that
// they can be refused, because ignoring them would give a wrong answer.
type ChatRequest struct {
	samplingFields
	Messages            []chatMessage   `json:"messages"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"` // goes before max_tokens
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
	Content    json.RawMessage `json:"content"` // a string, an array of text parts, or null
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

// Validate checks the body. maxTokens is the length of an answer where the body gives none. The
// errors name the field at fault and are for the client.
func (q *ChatRequest) Validate(maxTokens int) (*generate.Params, error) {
	if len(q.Functions) > 0 {
		return nil, generate.Unsupported("functions",
			"functions: not supported by this server; use tools")
	}
	if slices.ContainsFunc(q.Modalities, func(m string) bool { return m != "text" }) {
		return nil, generate.Unsupported("modalities",
			"modalities: this server answers in text only")
	}
	p, err := q.samplingFields.validate(maxTokens)
	if err != nil {
		return nil, err
	}
	p.PromptField = "messages"
	if err := p.SetMaxTokens("max_completion_tokens", q.MaxCompletionTokens); err != nil {
		return nil, err
	}
	if p.TopLogprobs, err = q.topLogprobs(); err != nil {
		return nil, err
	}
	if p.Constraint, err = q.constraint(); err != nil {
		return nil, err
	}
	if len(q.Messages) == 0 {
		return nil, generate.Invalid("messages", "messages: at least one is needed")
	}
	for i := range q.Messages {
		if err := q.Messages[i].addTo(p, fmt.Sprintf("messages[%d]", i)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (q *ChatRequest) topLogprobs() (int, error) {
	switch n := q.TopLogprobs; {
	case n == nil && q.Logprobs:
		return 0, nil
	case n == nil:
		return -1, nil
	case !q.Logprobs:
		return 0, generate.Invalid("top_logprobs", "top_logprobs: only with logprobs true")
	case *n < 0 || *n > maxTopLogprobs:
		return 0, generate.Invalid("top_logprobs", "top_logprobs: %d; want 0 to %d", *n,
			maxTopLogprobs)
	default:
		return *n, nil
	}
}

// addTo appends the message, which stands at the path given, to the conversation.
func (m *chatMessage) addTo(p *generate.Params, path string) error {
	switch m.Role {
	case "system", "developer", "user", "assistant", "tool":
	default:
		return generate.Invalid(path+".role",
			"%s.role: %q; want system, developer, user, assistant or tool", path, m.Role)
	}
	if len(m.ToolCalls) > 0 && m.Role != "assistant" {
		return generate.Invalid(path+".tool_calls",
			"%s.tool_calls: only an assistant's message has them", path)
	}
	text, err := contentText(path+".content", m.Content, m.Role == "assistant")
	if err != nil {
		return err
	}
	switch m.Role {
	// developer is the newer name of system, which templates do not know
	case "system", "developer":
		p.AddMessage(generate.RoleSystem, text)
	case "user":
		p.AddMessage(generate.RoleUser, text)
	case "tool":
		p.AddToolResult(text)
	case "assistant":
		calls, err := m.calls(path)
		if err != nil {
			return err
		}
		p.AddAnswer(text, calls)
	}
	return nil
}

func (m *chatMessage) calls(path string) ([]generate.ToolCall, error) {
	var calls []generate.ToolCall
	for i, c := range m.ToolCalls {
		if !generate.IsToolName(c.Function.Name) || !wire.IsObject(c.Function.Arguments) {
			at := fmt.Sprintf("%s.tool_calls[%d].function", path, i)
			return nil, generate.Invalid(at,
				"%s: want a name, and arguments that are a JSON object in a string", at)
		}
		calls = append(calls,
			generate.ToolCall{Name: c.Function.Name, Arguments: []byte(c.Function.Arguments)})
	}
	return calls, nil
}

// contentText returns the text of a message: a string, or the parts of an array joined without
// anything between them.
func contentText(path string, raw json.RawMessage, mayBeNull bool) (string, error) {
	if wire.OrNil(raw) == nil {
		if mayBeNull {
			return "", nil
		}
		return "", generate.Invalid(path, "%s: missing", path)
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
	if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &parts) != nil {
		return "", generate.Invalid(path, "%s: want a string or an array of text parts", path)
	}
	var b strings.Builder
	for i, part := range parts {
		path := fmt.Sprintf("%s[%d]", path, i)
		if part.Type != "text" {
			return "", generate.Unsupported(path+".type",
				"%s.type: %q; this server reads text parts only", path, part.Type)
		}
		if part.Text == nil {
			return "", generate.Invalid(path+".text", "%s.text: missing", path)
		}
		b.WriteString(*part.Text)
	}
	return b.String(), nil
}

package openai

import (
	"cmp"
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
	ReasoningEffort     string          `json:"reasoning_effort"`

	generate.ThinkingFields

	Functions  []json.RawMessage `json:"functions"`
	Modalities []string          `json:"modalities"`
}

type chatMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"` // a string, an array of parts, or null
	Refusal    string          `json:"refusal"` // of an assistant, in place of content
	ToolCalls  []calledTool    `json:"tool_calls"`
	Function   *calledFunction `json:"function_call"` // what tool_calls were before
	ToolCallID string          `json:"tool_call_id"`
	// What an assistant thought before, as this server and others send it.
	ReasoningContent string `json:"reasoning_content"`
	Reasoning        string `json:"reasoning"`
	// These ask that the answer goes on from this message, and are here so that they can be
	// refused.
	Prefix  bool `json:"prefix"`
	Partial bool `json:"partial"`
}

// A calledTool is a call in the history: a model wrote it.
type calledTool struct {
	Function *calledFunction `json:"function"`
	Custom   *struct {
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"` // any text
	} `json:"custom"`
}

type calledFunction struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a string of JSON, as a rule
}

// A chatToolCall is a call in an answer.
type chatToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// Validate checks the body. maxTokens bounds an answer where the body gives no length; 0: the
// context does. The
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
	if err := setMaxTokens(p, "max_completion_tokens", q.MaxCompletionTokens); err != nil {
		return nil, err
	}
	if err := p.SetEnding(q.MinTokens, q.IgnoreEOS); err != nil {
		return nil, err
	}
	if p.TopLogprobs, err = q.topLogprobs(); err != nil {
		return nil, err
	}
	if p.Constraint, err = q.constraint(); err != nil {
		return nil, err
	}
	if err := p.Thinking.SetEffort("reasoning_effort", q.ReasoningEffort); err != nil {
		return nil, err
	}
	if err := q.ThinkingFields.AddTo(p); err != nil {
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
	case "system", "developer", "user", "assistant", "tool", "function":
	default:
		return generate.Invalid(path+".role",
			"%s.role: %q; want system, developer, user, assistant or tool", path, m.Role)
	}
	if len(m.ToolCalls) > 0 && m.Role != "assistant" {
		return generate.Invalid(path+".tool_calls",
			"%s.tool_calls: only an assistant's message has them", path)
	}
	if m.Prefix || m.Partial {
		return generate.Unsupported(path, "%s: prefix and partial are not supported; this server "+
			"begins every answer itself", path)
	}
	text, err := m.contentText(path + ".content")
	if err != nil {
		return err
	}
	switch m.Role {
	// developer is the newer name of system, which templates do not know
	case "system", "developer":
		p.AddSystem(text)
	case "user":
		p.AddMessage(generate.RoleUser, text)
	case "tool", "function": // function is what tool was called before
		p.AddToolResult(text)
	case "assistant":
		p.AddAnswer(cmp.Or(m.ReasoningContent, m.Reasoning), text, m.calls())
	}
	return nil
}

// calls returns the calls of an assistant's message.
func (m *chatMessage) calls() []generate.ToolCall {
	var calls []generate.ToolCall
	add := func(f *calledFunction) {
		if f != nil {
			calls = append(calls, generate.CalledTool(f.Name, f.Arguments))
		}
	}
	add(m.Function)
	for _, c := range m.ToolCalls {
		add(c.Function)
		if c.Custom != nil {
			calls = append(calls, generate.CalledTool(c.Custom.Name, c.Custom.Input))
		}
	}
	return calls
}

// The types of parts that have text, under the names of OpenAI's two APIs, and those with which
// libraries repeat in an assistant's content what stands beside it: its calls and its reasoning.
var (
	textParts  = []string{"text", "input_text", "output_text"}
	besideText = []string{"thinking", "redacted_thinking", "reasoning", "reasoning_content",
		"tool_use", "tool_call", "tool_calls", "function_call"}
)

// contentText returns the text of a message: a string, or the parts of an array joined without
// anything between them.
func (m *chatMessage) contentText(path string) (string, error) {
	raw, assistant := m.Content, m.Role == "assistant"
	if wire.OrNil(raw) == nil {
		switch m.Role {
		case "assistant":
			return m.Refusal, nil
		case "tool", "function": // a tool that returns nothing
			return "", nil
		}
		return "", generate.Invalid(path, "%s: missing", path)
	}
	var text string
	if raw[0] == '"' {
		err := wire.Unmarshal(raw, &text)
		return text, err
	}
	var parts []struct {
		Type    string  `json:"type"`
		Text    *string `json:"text"`
		Refusal *string `json:"refusal"`
	}
	if raw[0] != '[' {
		return "", generate.Invalid(path, "%s: want a string or an array of text parts", path)
	}
	if err := generate.Read(path, raw, &parts); err != nil {
		return "", err
	}
	var b strings.Builder
	for i, part := range parts {
		path := fmt.Sprintf("%s[%d]", path, i)
		text := part.Text
		switch {
		case part.Type == "refusal" && assistant:
			text = part.Refusal
		case assistant && slices.Contains(besideText, part.Type):
			continue
		case !slices.Contains(textParts, part.Type):
			return "", generate.Unsupported(path+".type",
				"%s.type: %q; this server reads text parts only", path, part.Type)
		}
		if text == nil {
			return "", generate.Invalid(path+"."+part.Type, "%s.%s: missing", path, part.Type)
		}
		b.WriteString(*text)
	}
	return b.String(), nil
}

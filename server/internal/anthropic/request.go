// Package anthropic has the wire format of the Anthropic API: the bodies of requests and their
// validation, and the answers, whole and as events.
//
//	MessagesRequest --Validate--> generate.Params
//	MessageWriter <-- generate.Piece, generate.Answer
package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// maxStopSequences bounds the stop sequences. Anthropic has no limit, but each sequence is looked
// for at every byte of the answer.
const maxStopSequences = 64

// A MessagesRequest is the body of POST /v1/messages, and of /v1/messages/count_tokens, which needs
// no max_tokens. Fields that are missing here are ignored, among them cache_control, because
// everything is cached.
type MessagesRequest struct {
	Model        string          `json:"model"`
	SessionID    string          `json:"session_id"` // extension: names the agent
	CacheSalt    *string         `json:"cache_salt"` // extension; see engine.Request.Salt
	MaxTokens    *int            `json:"max_tokens"`
	System       json.RawMessage `json:"system"` // a string, or text blocks
	Messages     []message       `json:"messages"`
	Stops        json.RawMessage `json:"stop_sequences"` // an array of strings
	Temperature  *float64        `json:"temperature"`    // 0 to 1, default 1
	TopP         *float64        `json:"top_p"`
	TopK         int             `json:"top_k"`
	Stream       bool            `json:"stream"`
	Tools        []tool          `json:"tools"`
	ToolChoice   *toolChoice     `json:"tool_choice"`
	Thinking     *thinking       `json:"thinking"`
	Output       *outputConfig   `json:"output_config"`
	OutputFormat *outputFormat   `json:"output_format"` // what output_config.format was before

	// Extensions of vLLM, SGLang and llama.cpp, which load generators use.
	MinTokens int  `json:"min_tokens"`
	IgnoreEOS bool `json:"ignore_eos"`

	generate.FormFields
	generate.ThinkingFields

	// These are here so that they can be refused.
	MCPServers     []json.RawMessage `json:"mcp_servers"`
	ResponseFormat json.RawMessage   `json:"response_format"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a string, or blocks
}

// Named returns the model that the body asks for and the session it names, "" where it names none.
func (q *MessagesRequest) Named() (model, session string) { return q.Model, q.SessionID }

// Validate checks the body. The API has no default length of an answer, so the parameter is not
// used. The errors name the field at fault and are for the client.
func (q *MessagesRequest) Validate(int) (*generate.Params, error) {
	if q.MaxTokens == nil {
		return nil, generate.Invalid("max_tokens", "max_tokens: missing")
	}
	p, err := q.ValidatePrompt()
	if err != nil {
		return nil, err
	}
	if err := p.SetMaxTokens("max_tokens", q.MaxTokens); err != nil {
		return nil, err
	}
	if q.Temperature != nil && *q.Temperature > 1 {
		return nil, generate.Invalid("temperature", "temperature: %v; want 0 to 1", *q.Temperature)
	}
	fields := generate.SamplingFields{Temperature: q.Temperature, TopP: q.TopP, TopK: q.TopK}
	if p.Sampling, err = fields.Sampling(); err != nil {
		return nil, err
	}
	if err := p.SetEnding(q.MinTokens, q.IgnoreEOS); err != nil {
		return nil, err
	}
	if t := q.Thinking; t != nil && t.Budget != nil && *t.Budget >= *q.MaxTokens {
		return nil, generate.Invalid("thinking.budget_tokens",
			"thinking.budget_tokens: %d; want less than max_tokens, which is %d", *t.Budget,
			*q.MaxTokens)
	}
	p.Stream = q.Stream
	p.Stops, err = q.stops()
	return p, err
}

func (q *MessagesRequest) stops() ([]string, error) {
	const field = "stop_sequences"
	raw := wire.OrNil(q.Stops)
	if raw == nil {
		return nil, nil
	}
	var stops []string
	if err := wire.Unmarshal(raw, &stops); err != nil {
		return nil, generate.Invalid(field, "%s: want an array of strings", field)
	}
	if err := generate.CheckWhole(field, raw); err != nil {
		return nil, err
	}
	return stops, generate.CheckStops(field, stops, maxStopSequences)
}

// ValidatePrompt checks the fields of which the prompt is made. The Params have nothing else.
func (q *MessagesRequest) ValidatePrompt() (*generate.Params, error) {
	if len(q.MCPServers) > 0 {
		return nil, generate.Unsupported("mcp_servers", "mcp_servers: not supported by this server")
	}
	p := &generate.Params{TopLogprobs: -1, PromptField: "messages"}
	if err := p.SetSalt(q.CacheSalt); err != nil {
		return nil, err
	}
	var err error
	if p.Constraint, err = q.constraint(); err != nil {
		return nil, err
	}
	if err := q.readThinking(p); err != nil {
		return nil, err
	}
	if wire.OrNil(q.System) != nil {
		text, cut, err := systemText("system", q.System)
		if err != nil {
			return nil, err
		}
		p.BillingCut = cut
		if !cut || text != "" {
			p.AddMessage(generate.RoleSystem, text)
		}
	}
	if len(q.Messages) == 0 {
		return nil, generate.Invalid("messages", "messages: at least one is needed")
	}
	for i, m := range q.Messages {
		if err := m.addTo(p, fmt.Sprintf("messages[%d]", i)); err != nil {
			return nil, err
		}
	}
	if q.Messages[len(q.Messages)-1].Role == "assistant" {
		return nil, generate.Unsupported("messages",
			"messages: the last one is the assistant's; this server begins every answer itself")
	}
	p.MergeRoles() // which this API prescribes
	return p, nil
}

// addTo appends the message, which stands at the path given, to the conversation.
func (m *message) addTo(p *generate.Params, path string) error {
	switch m.Role {
	case "user", "assistant":
	case "system":
		return m.addSystem(p, path+".content")
	default:
		return generate.Invalid(path+".role", "%s.role: %q; want user, assistant or system", path,
			m.Role)
	}
	path += ".content"
	blocks, err := readBlocks(path, m.Content)
	if err != nil {
		return err
	}
	if m.Role == "assistant" {
		return addAnswer(p, path, blocks)
	}
	for i, b := range blocks {
		path := fmt.Sprintf("%s[%d]", path, i)
		if b.Type == "tool_result" {
			text, err := blocksText(path+".content", b.Content)
			if err != nil {
				return err
			}
			if b.IsError {
				text = "error: " + text
			}
			p.AddToolResult(text)
			continue
		}
		text, ok, err := b.text(path)
		if err != nil {
			return err
		}
		if !ok {
			return badBlock(path, b, "text, documents of text and tool_result")
		}
		p.AddMessage(generate.RoleUser, text)
	}
	return nil
}

// addSystem appends a system message that stands among the messages, as Claude Code has them since
// version 2.1.154.
func (m *message) addSystem(p *generate.Params, path string) error {
	text, cut, err := systemText(path, m.Content)
	if err != nil {
		return err
	}
	p.BillingCut = p.BillingCut || cut
	if !cut || text != "" {
		p.AddReminder(text)
	}
	return nil
}

// thinking reports whether the model may think before it answers, and how long.
type thinking struct {
	Type   string `json:"type"` // enabled, adaptive or disabled
	Budget *int   `json:"budget_tokens"`
}

func (q *MessagesRequest) readThinking(p *generate.Params) error {
	const field = "thinking"
	if q.Output != nil {
		effort := q.Output.Effort
		if effort == "max" { // Anthropic's alone
			effort = "xhigh"
		}
		if err := p.Thinking.SetEffort("output_config.effort", effort); err != nil {
			return err
		}
	}
	if err := q.ThinkingFields.AddTo(p); err != nil || q.Thinking == nil {
		return err
	}
	switch t := q.Thinking; t.Type {
	case "enabled":
		if t.Budget == nil || *t.Budget < 1 {
			return generate.Invalid(field+".budget_tokens",
				"%s.budget_tokens: want a number of tokens of at least 1", field)
		}
		p.Thinking.SetBudget(field+".budget_tokens", t.Budget)
	case "adaptive":
	case "disabled":
		p.Thinking.Off, p.Thinking.Field = true, field
	default:
		return generate.Invalid(field+".type",
			"%s.type: %q; want enabled, adaptive or disabled", field, t.Type)
	}
	return nil
}

func addAnswer(p *generate.Params, path string, blocks []block) error {
	var text, reasoning strings.Builder
	var calls []generate.ToolCall
	for i, b := range blocks {
		path := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case b.Type == "text" && b.Text != nil:
			text.WriteString(*b.Text)
		case b.Type == "thinking":
			reasoning.WriteString(b.Thinking)
		case b.Type == "redacted_thinking": // another model's, which cannot be read
		case b.Type == "tool_use":
			// Anthropic refuses an input that is no object. But a client that got one from a model
			// has no way to mend it, and its conversation would be lost.
			calls = append(calls, generate.CalledTool(b.Name, b.Input))
		case b.Type == "server_tool_use" || b.Type == "mcp_tool_use": // of Anthropic's own tools
			calls = append(calls, generate.CalledTool(b.Name, b.Input))
		case strings.HasSuffix(b.Type, "_tool_result"):
			p.AddAnswer(reasoning.String(), text.String(), calls)
			p.AddToolResult(b.resultText(path))
			reasoning.Reset()
			text.Reset()
			calls = nil
		case b.Type == "compaction": // a summary of what was said before
			summary, err := blocksText(path+".content", b.Content)
			if err != nil {
				return err
			}
			text.WriteString(summary)
		default:
			return badBlock(path, b, "text and tool_use")
		}
	}
	if n := len(blocks); n == 0 || !strings.HasSuffix(blocks[n-1].Type, "_tool_result") {
		p.AddAnswer(reasoning.String(), text.String(), calls)
	}
	return nil
}

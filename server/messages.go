package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

func isAnthropic(path string) bool {
	return path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/")
}

// messagesRequest is the body of POST /v1/messages, and of /v1/messages/count_tokens, which needs no max_tokens. What is
// not here is ignored: cache_control, because everything is cached; thinking, because models here do not think aloud.
type messagesRequest struct {
	Model       string            `json:"model"`
	SessionID   string            `json:"session_id"` // extension, see identity
	MaxTokens   *int              `json:"max_tokens"`
	System      json.RawMessage   `json:"system"` // a string, or text blocks
	Messages    []message         `json:"messages"`
	Stops       []string          `json:"stop_sequences"`
	Temperature *float64          `json:"temperature"` // 0 to 1, default 1
	TopP        *float64          `json:"top_p"`
	TopK        int               `json:"top_k"`
	Stream      bool              `json:"stream"`
	Tools       []messageTool     `json:"tools"`
	ToolChoice  *messageChoice    `json:"tool_choice"`
	Output      *messageOutput    `json:"output_config"`
	MCPServers  []json.RawMessage `json:"mcp_servers"` // here in order to be refused
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a string, or blocks
}

// A block is a part of a message, in and out.
type block struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"` // of a tool_result: a string, text blocks or nothing
	IsError   bool            `json:"is_error"`
}

type messageTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict"`
}

type messageChoice struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	OneCall bool   `json:"disable_parallel_tool_use"`
}

// messageOutput is what else is asked of an answer; how much effort it is to take is not up to models here.
type messageOutput struct {
	Format *struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	} `json:"format"`
}

func (q *messagesRequest) named() (model, session string) { return q.Model, q.SessionID }

func (q *messagesRequest) ask(int) (*ask, error) {
	if q.MaxTokens == nil {
		return nil, invalid("max_tokens", "max_tokens: missing")
	}
	a, err := q.conversation()
	if err != nil {
		return nil, err
	}
	if err := a.most("max_tokens", q.MaxTokens); err != nil {
		return nil, err
	}
	if q.Temperature != nil && *q.Temperature > 1 {
		return nil, invalid("temperature", "temperature: %v; want 0 to 1", *q.Temperature)
	}
	sampling := samplingFields{Temperature: q.Temperature, TopP: q.TopP, TopK: q.TopK, Seed: new(int64(rand.Uint64()))}
	if err := sampling.numbers(&a.sampling); err != nil {
		return nil, err
	}
	if len(q.Stops) > maxStopSequences {
		return nil, invalid("stop_sequences", "stop_sequences: %d strings; at most %d", len(q.Stops), maxStopSequences)
	}
	a.stops, a.stream = q.Stops, q.Stream
	return a, checkStops("stop_sequences", q.Stops)
}

// conversation reads what the prompt is made of.
func (q *messagesRequest) conversation() (*ask, error) {
	if len(q.MCPServers) > 0 {
		return nil, unsupported("mcp_servers", "mcp_servers: not supported by this server")
	}
	a := &ask{logprobs: -1, param: "messages"}
	var err error
	if a.shape, err = q.shape(); err != nil {
		return nil, err
	}
	if orNil(q.System) != nil {
		text, err := blocksText("system", q.System)
		if err != nil {
			return nil, err
		}
		a.turns = append(a.turns, turn{role: "system", text: text})
	}
	if len(q.Messages) == 0 {
		return nil, invalid("messages", "messages: at least one is needed")
	}
	for i, m := range q.Messages {
		if err := m.turn(fmt.Sprintf("messages[%d]", i), a); err != nil {
			return nil, err
		}
	}
	if q.Messages[len(q.Messages)-1].Role == "assistant" {
		return nil, unsupported("messages", "messages: the last one is the assistant's; this server begins every answer itself")
	}
	a.merge()
	return a, nil
}

// merge makes one turn of consecutive ones of the same role, as this API wants it.
func (a *ask) merge() {
	merged := a.turns[:0]
	for _, t := range a.turns {
		if n := len(merged); n > 0 && merged[n-1].role == t.role {
			merged[n-1].text += "\n" + t.text
			merged[n-1].key = merged[n-1].text
			continue
		}
		merged = append(merged, t)
	}
	a.turns = merged
}

func (m *message) turn(at string, a *ask) error {
	if m.Role != "user" && m.Role != "assistant" {
		return invalid(at+".role", "%s.role: %q; want user or assistant", at, m.Role)
	}
	blocks, err := readBlocks(at+".content", m.Content)
	if err != nil {
		return err
	}
	if m.Role == "assistant" {
		return assistantTurn(at+".content", blocks, a)
	}
	for i, b := range blocks {
		at := fmt.Sprintf("%s.content[%d]", at, i)
		switch {
		case b.Type == "text" && b.Text != nil:
			a.turns = append(a.turns, turn{role: "user", text: *b.Text})
		case b.Type == "tool_result":
			text, err := blocksText(at+".content", b.Content)
			if err != nil {
				return err
			}
			if b.IsError {
				text = "error: " + text
			}
			a.toolResult(text)
		default:
			return badBlock(at, b, "text and tool_result")
		}
	}
	return nil
}

func assistantTurn(at string, blocks []block, a *ask) error {
	var text strings.Builder
	var calls []toolCall
	for i, b := range blocks {
		at := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case b.Type == "text" && b.Text != nil:
			text.WriteString(*b.Text)
		case b.Type == "thinking" || b.Type == "redacted_thinking": // another model's; it is no part of the answer
		case b.Type == "tool_use":
			if !isToolName(b.Name) || !isObject(string(b.Input)) {
				return invalid(at, "%s: a tool_use; want a name, and an input that is an object", at)
			}
			calls = append(calls, toolCall{name: b.Name, arguments: b.Input})
		default:
			return badBlock(at, b, "text and tool_use")
		}
	}
	a.answered(text.String(), calls)
	return nil
}

func badBlock(at string, b block, known string) error {
	if b.Type == "text" {
		return invalid(at+".text", "%s.text: missing", at)
	}
	return unsupported(at+".type", "%s.type: %q; this server reads %s", at, b.Type, known)
}

// readBlocks reads content that may be a string as well.
func readBlocks(at string, raw json.RawMessage) ([]block, error) {
	var text string
	if bytes.HasPrefix(raw, []byte(`"`)) && json.Unmarshal(raw, &text) == nil {
		return []block{{Type: "text", Text: &text}}, nil
	}
	var blocks []block
	if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &blocks) != nil {
		return nil, invalid(at, "%s: want a string or an array of blocks", at)
	}
	return blocks, nil
}

// blocksText is the text of content that has nothing else.
func blocksText(at string, raw json.RawMessage) (string, error) {
	if orNil(raw) == nil {
		return "", nil
	}
	blocks, err := readBlocks(at, raw)
	if err != nil {
		return "", err
	}
	var texts []string
	for i, b := range blocks {
		if b.Type != "text" || b.Text == nil {
			return "", badBlock(fmt.Sprintf("%s[%d]", at, i), b, "text")
		}
		texts = append(texts, *b.Text)
	}
	return strings.Join(texts, "\n"), nil
}

func (q *messagesRequest) shape() (shape, error) {
	s := shape{choice: choiceNone, many: true}
	for i, t := range q.Tools {
		if t.Type != "" && t.Type != "custom" {
			return s, unsupported("tools", "tools[%d].type: %q; this server has no tools of its own", i, t.Type)
		}
		s.tools = append(s.tools, tool{t.Name, t.Description, orNil(t.InputSchema), t.Strict})
	}
	if len(s.tools) > 0 {
		s.choice = choiceAuto
	}
	if c := q.ToolChoice; c != nil {
		s.many = !c.OneCall
		switch c.Type {
		case "none":
			s.choice = choiceNone
		case "auto":
		case "any":
			s.choice = choiceRequired
		case "tool":
			if err := s.only("tool_choice", c.Name); err != nil {
				return s, err
			}
		default:
			return s, invalid("tool_choice.type", "tool_choice.type: %q; want auto, any, tool or none", c.Type)
		}
	}
	if o := q.Output; o != nil && o.Format != nil {
		if o.Format.Type != "json_schema" || orNil(o.Format.Schema) == nil {
			return s, invalid("output_config.format", "output_config.format: want the type json_schema and a schema")
		}
		s.format, s.at = o.Format.Schema, "output_config.format.schema"
	}
	return s, s.check("tools")
}

// messages serves POST /v1/messages.
func (s *Server) messages(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(messagesRequest))
	if err != nil {
		return err
	}
	defer g.cancel()
	m := &messageEvents{w: w, id: newID("msg_"), model: s.cfg.Model, blockTokens: s.backend.Load().engine.Stats().BlockTokens}
	if g.ask.stream {
		return s.stream(w, g, m)
	}
	return s.whole(w, g, func(e ending) any { return m.whole(g, e) })
}

// countTokens serves POST /v1/messages/count_tokens: what the same body would have as a prompt.
func (s *Server) countTokens(w *response, r *http.Request) error {
	b, err := s.open()
	if err != nil {
		return err
	}
	q := new(messagesRequest)
	if err := readBody(w, r, q); err != nil {
		return err
	}
	if q.Model != "" {
		if err := s.isServed(q.Model); err != nil {
			return err
		}
	}
	a, err := q.conversation()
	if err != nil {
		return err
	}
	if a.agent, err = identity(r, q.SessionID); err != nil {
		return err
	}
	prompt, err := s.encode(b, a)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		InputTokens int `json:"input_tokens"`
	}{len(prompt)})
}

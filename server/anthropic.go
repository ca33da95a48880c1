package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
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

func (q *messagesRequest) ask() (*ask, error) {
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
	return s, s.check("tools")
}

// messages serves POST /v1/messages.
func (s *Server) messages(w *response, r *http.Request) error {
	q := new(messagesRequest)
	g, err := s.begin(w, r, q, &q.Model, &q.SessionID, q.ask)
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
	if a.agent, err = identity(r.Header, q.SessionID); err != nil {
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

// messageUsage parts the prompt into what was read from the cache, what was computed and is now in it, and what was
// computed for this answer alone. A named agent's prompt is kept to the last token, an anonymous one's in whole blocks.
type messageUsage struct {
	InputTokens   int `json:"input_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
	OutputTokens  int `json:"output_tokens"`
}

func newMessageUsage(g *generation, blockTokens, output int) messageUsage {
	kept := g.prompt
	if g.ask.agent == "" {
		kept -= kept % blockTokens
	}
	kept = max(kept, g.cached)
	return messageUsage{InputTokens: g.prompt - kept, CacheCreation: kept - g.cached, CacheRead: g.cached, OutputTokens: output}
}

// stopReason says an ending in Anthropic's words.
func stopReason(e ending) string {
	switch {
	case e.stop != "":
		return "stop_sequence"
	case e.reason == "length":
		return "max_tokens"
	case e.reason == "tool_calls":
		return "tool_use"
	default:
		return "end_turn"
	}
}

// messageEvents writes one answer of the Anthropic API.
type messageEvents struct {
	w           *response
	id, model   string
	blockTokens int

	g     *generation
	buf   []byte
	block int // blocks begun
	err   error
}

// stopJSON is the stop sequence or null.
func stopJSON(e ending) []byte {
	if e.stop == "" {
		return []byte("null")
	}
	return appendString(nil, e.stop)
}

func (m *messageEvents) head(e *ending, output int, content []byte) []byte {
	b := appendString([]byte(`{"id":`), m.id)
	b = appendString(append(b, `,"type":"message","role":"assistant","model":`...), m.model)
	b = append(append(b, `,"content":`...), content...)
	if e == nil {
		b = append(b, `,"stop_reason":null,"stop_sequence":null`...)
	} else {
		b = appendString(append(b, `,"stop_reason":`...), stopReason(*e))
		b = append(append(b, `,"stop_sequence":`...), stopJSON(*e)...)
	}
	b = append(b, `,"usage":`...)
	b = append(b, mustJSON(newMessageUsage(m.g, m.blockTokens, output))...)
	return append(b, '}')
}

// whole is the answer in one piece.
func (m *messageEvents) whole(g *generation, e ending) json.RawMessage {
	m.g = g
	content := []byte("[")
	if len(g.answer) > 0 || len(g.calls) == 0 {
		content = append(appendString(append(content, `{"type":"text","text":`...), g.answer), '}')
	}
	for _, c := range g.calls {
		if len(content) > 1 {
			content = append(content, ',')
		}
		content = appendString(append(content, `{"type":"tool_use","id":`...), c.id)
		content = appendString(append(content, `,"name":`...), c.name)
		content = append(append(content, `,"input":`...), input(c)...)
		content = append(content, '}')
	}
	return m.head(&e, e.usage.CompletionTokens, append(content, ']'))
}

// input is a call's arguments; of a call that max_tokens cut off nothing is left that is JSON.
func input(c toolCall) []byte {
	if !json.Valid(c.arguments) {
		return []byte("{}")
	}
	return c.arguments
}

func (m *messageEvents) open(g *generation) {
	m.g = g
	m.w.head(g.timing(false))
	m.event("message_start", `,"message":`)
	m.buf = append(m.buf, m.head(nil, 0, []byte("[]"))...)
	m.end()
}

func (m *messageEvents) event(name, rest string) {
	m.buf = append(append(m.buf[:0], "event: "...), name...)
	m.buf = append(append(m.buf, "\ndata: {\"type\":\""...), name...)
	m.buf = append(append(m.buf, '"'), rest...)
}

func (m *messageEvents) end() {
	m.buf = append(m.buf, "}\n\n"...)
	if m.err == nil {
		_, m.err = m.w.Write(m.buf)
	}
}

func (m *messageEvents) indexed(name, rest string) {
	m.event(name, `,"index":`)
	m.buf = append(strconv.AppendInt(m.buf, int64(m.block-1), 10), rest...)
}

// begin ends the block before and begins the next.
func (m *messageEvents) begin() {
	m.close()
	m.block++
	m.indexed("content_block_start", `,"content_block":`)
}

func (m *messageEvents) close() {
	if m.block > 0 {
		m.indexed("content_block_stop", "")
		m.end()
	}
}

func (m *messageEvents) text(b []byte, _ []tokenProbs) {
	if m.block == 0 {
		m.begin()
		m.buf = append(m.buf, `{"type":"text","text":""}`...)
		m.end()
	}
	m.indexed("content_block_delta", `,"delta":{"type":"text_delta","text":`)
	m.buf = append(appendString(m.buf, b), '}')
	m.end()
}

func (m *messageEvents) call(_ int, id, name string) {
	m.begin()
	m.buf = appendString(append(m.buf, `{"type":"tool_use","id":`...), id)
	m.buf = appendString(append(m.buf, `,"name":`...), name)
	m.buf = append(m.buf, `,"input":{}}`...)
	m.end()
}

func (m *messageEvents) arguments(_ int, b []byte) {
	m.indexed("content_block_delta", `,"delta":{"type":"input_json_delta","partial_json":`)
	m.buf = append(appendString(m.buf, b), '}')
	m.end()
}

func (m *messageEvents) finish(e ending) {
	if m.block == 0 {
		m.begin()
		m.buf = append(m.buf, `{"type":"text","text":""}`...)
		m.end()
	}
	m.close()
	m.event("message_delta", `,"delta":{"stop_reason":`)
	m.buf = appendString(m.buf, stopReason(e))
	m.buf = append(append(m.buf, `,"stop_sequence":`...), stopJSON(e)...)
	m.buf = append(m.buf, `},"usage":`...)
	m.buf = append(m.buf, mustJSON(newMessageUsage(m.g, m.blockTokens, e.usage.CompletionTokens))...)
	m.end()
	m.event("message_stop", "")
	m.end()
	m.flush()
}

func (m *messageEvents) flush() {
	if m.err == nil {
		m.err = m.w.FlushError()
	}
}

func (m *messageEvents) failed() bool { return m.err != nil }

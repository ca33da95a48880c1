package load

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// An otelTrace is a session: the spans of a trace by OpenTelemetry's conventions for generative AI,
// in the form that kubernetes-sigs/inference-perf replays.
type otelTrace struct {
	ID    string     `json:"trace_id"`
	Spans []otelSpan `json:"spans"`
}

type otelSpan struct {
	Name       string                     `json:"name"`
	Start      string                     `json:"start_time"`
	End        string                     `json:"end_time"`
	Attributes map[string]json.RawMessage `json:"attributes"`
	Status     struct {
		Code json.RawMessage `json:"code"`
	} `json:"status"`
}

// An otelCall is a call to a model.
type otelCall struct {
	span
	messages  []json.RawMessage // prompt, in the form of the chat API
	text      string            // text of the answer
	calls     json.RawMessage   // tool calls of the answer
	maxTokens int
	was       Recorded
	tools     []json.RawMessage
}

// readOTel reads JSON objects with spans, one object per session. A call continues the call with
// the longest common beginning of the prompts, and waits for the calls that had ended when it was
// sent. A message that equals the answer of an earlier call quotes it.
func readOTel(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	source := Source{Timed: true}
	traces := newValueReader(name, r)
	for {
		var t otelTrace
		err := traces.next(&t)
		if err == io.EOF {
			break
		}
		if err != nil {
			return source, err
		}
		calls, skipped, err := t.calls()
		if err != nil {
			return source, traces.errorf("trace %s: %w", t.ID, err)
		}
		source.Skipped += skipped
		if len(calls) > 0 {
			made, err := otelSession(calls)
			if err != nil {
				return source, traces.errorf("trace %s: %w", t.ID, err)
			}
			source.Sessions = append(source.Sessions, Session{Name: t.ID, API: "chat",
				At: calls[0].start, Verbatim: true, Calls: slices.Values(made)})
		}
	}
	if len(source.Sessions) == 0 {
		return source, fmt.Errorf("%s: no span in it has gen_ai.input.messages and an answer", name)
	}
	alignArrivals(source.Sessions)
	return source, nil
}

// calls returns the calls that have an answer, sorted by start. skipped is the number of others.
func (t *otelTrace) calls() (all []otelCall, skipped int, err error) {
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Attributes["gen_ai.input.messages"] == nil {
			continue // a span of a tool or an agent
		}
		c, err := s.call()
		if err != nil {
			return nil, 0, fmt.Errorf("span %d (%s): %w", i, s.Name, err)
		}
		if len(c.messages) == 0 || c.text == "" && c.calls == nil {
			skipped++
			continue
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b otelCall) int { return cmp.Compare(a.start, b.start) })
	return all, skipped, nil
}

// call parses the span of a call.
func (s *otelSpan) call() (c otelCall, err error) {
	if c.start, err = timeOf(s.Start); err != nil {
		return c, err
	}
	if c.end, err = timeOf(s.End); err != nil {
		return c, err
	}
	if c.end < c.start {
		return c, fmt.Errorf("it ends at %s, before it starts at %s", s.End, s.Start)
	}
	if c.messages, err = otelMessages(s.Attributes["gen_ai.input.messages"]); err != nil {
		return c, err
	}
	if system, err := otelMessages(s.Attributes["gen_ai.system_instructions"]); err == nil {
		c.messages = append(system, c.messages...)
	}
	c.text = s.text("gen_ai.output.text")
	output, err := otelMessages(s.Attributes["gen_ai.output.messages"])
	if err != nil {
		return c, err
	}
	for _, raw := range output {
		m, err := ParseMessage("chat", raw)
		if err != nil {
			return c, err
		}
		c.text, c.calls = m.Text, m.ToolCalls
	}
	count := func(names ...string) int {
		for _, name := range names {
			var n int
			if raw, ok := s.Attributes[name]; ok && json.Unmarshal(bytes.Trim(raw, `"`), &n) == nil {
				return n
			}
		}
		return -1
	}
	c.maxTokens = max(0, count("gen_ai.request.max_tokens"))
	c.was = Recorded{Text: c.text, ToolCalls: c.calls, Took: c.end - c.start, Reasoning: -1,
		Prompt: count("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
		Cached: count("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
		Output: count("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")}
	if raw := otelValue(s.Attributes["gen_ai.tool.definitions"]); raw != nil {
		if json.Unmarshal(raw, &c.tools) != nil {
			c.tools = nil
		}
	}
	return c, nil
}

// text returns an attribute that is a text, or "".
func (s *otelSpan) text(name string) string {
	var text string
	if raw, ok := s.Attributes[name]; ok && json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// otelValue returns the JSON of an attribute. Many exporters write it as a string that contains
// JSON.
func otelValue(raw json.RawMessage) json.RawMessage {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] == '"' {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			return json.RawMessage(strings.TrimSpace(text))
		}
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// An otelMessage is a message by the conventions: one of OpenAI's chat API, or one with parts.
type otelMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Parts   []otelPart      `json:"parts"`
}

type otelPart struct {
	Type      string          `json:"type"`
	Content   string          `json:"content"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Response  json.RawMessage `json:"response"`
	Result    json.RawMessage `json:"result"`
}

// otelMessages parses an attribute's messages and converts them to the form of the chat API.
func otelMessages(raw json.RawMessage) ([]json.RawMessage, error) {
	raw = otelValue(raw)
	if raw == nil {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, fmt.Errorf("messages are not a list: %.40q; want the value of "+
			"gen_ai.input.messages as JSON; an attribute that was cut off at a limit cannot be replayed",
			raw)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("messages are cut off or not JSON: %w; raise the exporter's limit on "+
			"attributes", err)
	}
	var all []json.RawMessage
	for _, one := range list {
		var m otelMessage
		if err := json.Unmarshal(one, &m); err != nil {
			return nil, err
		}
		switch {
		case m.Parts == nil && m.Role != "":
			all = append(all, one)
		case m.Parts == nil: // a part of the system instructions
			var p otelPart
			if err := json.Unmarshal(one, &p); err != nil {
				return nil, err
			}
			all = append(all, chatMessages("system", []otelPart{p})...)
		default:
			all = append(all, chatMessages(m.Role, m.Parts)...)
		}
	}
	return all, nil
}

// chatMessages converts the parts of a message to messages of the chat API.
func chatMessages(role string, parts []otelPart) []json.RawMessage {
	type message struct {
		Role      string     `json:"role"`
		Content   string     `json:"content"`
		ToolCalls []toolCall `json:"tool_calls,omitempty"`
		CallID    string     `json:"tool_call_id,omitempty"`
	}
	var all []json.RawMessage
	add := func(m message) {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if enc.Encode(m) == nil {
			all = append(all, bytes.TrimSpace(text.Bytes()))
		}
	}
	m := message{Role: role}
	var texts []string
	for _, p := range parts {
		switch p.Type {
		case "text":
			texts = append(texts, p.Content)
		case "tool_call":
			f := toolFunction{p.Name, plainJSON(p.Arguments)}
			m.ToolCalls = append(m.ToolCalls, toolCall{p.ID, "function", f})
		case "tool_call_response":
			text := plainJSON(cmp.Or(string(p.Response), string(p.Result)))
			add(message{Role: "tool", CallID: p.ID, Content: text})
		}
	}
	if m.Content = strings.Join(texts, "\n"); m.Content != "" || m.ToolCalls != nil {
		add(m)
	}
	return all
}

// plainJSON returns the text of a JSON string, or any other JSON unchanged.
func plainJSON[T ~string | ~[]byte](raw T) string {
	var text string
	if json.Unmarshal([]byte(raw), &text) == nil {
		return text
	}
	return string(raw)
}

// otelSession links the calls of a trace to the calls of a session.
func otelSession(all []otelCall) ([]Call, error) {
	spans := make([]span, len(all))
	for i, c := range all {
		spans[i] = c.span
	}
	var made []Call
	subs := 0
	for i := range all {
		c := &all[i]
		waits := before(spans, i)
		call := Call{ID: i, From: -1, After: waits, Pause: pause(spans, i, waits),
			Answer: c.maxTokens, Tools: c.tools, Recorded: &c.was}
		from, kept := -1, 0
		for j := range all[:i] {
			n := commonPrefix(all[j].messages, c.messages)
			if n >= kept && n > 0 && all[j].end <= c.start {
				from, kept = j, n
			}
		}
		var add []Message
		for _, raw := range c.messages[kept:] {
			m, err := ParseMessage("chat", raw)
			if err != nil {
				return nil, err
			}
			if m.Role == "assistant" {
				m.Quote = quoted(all, i, from, m.Text)
			}
			add = append(add, m)
		}
		call.Add = add
		if from >= 0 {
			call.goOn(from, len(all[from].messages), kept, add)
			call.After, call.Sub = without(waits, from), made[from].Sub
		} else if i > 0 {
			subs++
			call.Sub = subs
		}
		made = append(made, call)
	}
	return made, nil
}

// quoted returns the last call before i whose answer equals a text. It is nil if there is none but
// from, which call i continues.
func quoted(all []otelCall, i, from int, text string) []int {
	if text == "" {
		return nil
	}
	for j := i - 1; j >= 0; j-- {
		if j != from && all[j].end <= all[i].start && all[j].text == text {
			return []int{j}
		}
	}
	return nil
}

package responses

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A Response is OpenAI's object response: an answer, and its request as the server understood it.
type Response struct {
	ID             string             `json:"id"`
	Object         string             `json:"object"`
	CreatedAt      int64              `json:"created_at"` // Unix time in seconds
	Status         string             `json:"status"`
	CompletedAt    *int64             `json:"completed_at"`
	Background     bool               `json:"background"`
	Error          *responseError     `json:"error"`
	Incomplete     *incompleteDetails `json:"incomplete_details"`
	Instructions   *string            `json:"instructions"`
	MaxOutput      *int               `json:"max_output_tokens"`
	MaxToolCalls   *int               `json:"max_tool_calls"`
	Model          string             `json:"model"`
	Output         []json.RawMessage  `json:"output"`
	Parallel       bool               `json:"parallel_tool_calls"`
	Previous       *string            `json:"previous_response_id"`
	CacheKey       *string            `json:"prompt_cache_key"`
	CacheRetention *string            `json:"prompt_cache_retention"`
	Reasoning      reasoningFields    `json:"reasoning"`
	SafetyID       *string            `json:"safety_identifier"`
	ServiceTier    string             `json:"service_tier"`
	Store          bool               `json:"store"`
	Temperature    float64            `json:"temperature"`
	Text           json.RawMessage    `json:"text"`
	ToolChoice     json.RawMessage    `json:"tool_choice"`
	Tools          []json.RawMessage  `json:"tools"`
	TopLogprobs    int                `json:"top_logprobs"`
	TopP           float64            `json:"top_p"`
	Truncation     string             `json:"truncation"`
	Usage          *usage             `json:"usage"`
	User           *string            `json:"user"`
	Metadata       json.RawMessage    `json:"metadata"`
}

// Values of a status.
const (
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusFailed     = "failed"
)

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incompleteDetails struct {
	Reason string `json:"reason"`
}

// usage is the wire form of generate.Usage.
type usage struct {
	InputTokens   int           `json:"input_tokens"`
	InputDetails  inputDetails  `json:"input_tokens_details"`
	OutputTokens  int           `json:"output_tokens"`
	OutputDetails outputDetails `json:"output_tokens_details"`
	TotalTokens   int           `json:"total_tokens"`

	Drafts *generate.Drafts `json:"drafts,omitempty"`
}

// inputDetails says, beyond OpenAI's cached_tokens, what the cache was worth to this prompt.
type inputDetails struct {
	CachedTokens  int     `json:"cached_tokens"`
	Tier          string  `json:"tier,omitempty"` // hot, disk or cold
	Miss          string  `json:"miss,omitempty"` // why the rest was not cached
	RestoredBytes int64   `json:"restored_bytes,omitempty"`
	RestoreMs     float64 `json:"restore_ms,omitempty"`
}

type outputDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

func newUsage(u generate.Usage) *usage {
	return &usage{
		InputTokens: u.PromptTokens,
		InputDetails: inputDetails{
			CachedTokens:  u.Start.CachedTokens,
			Tier:          u.Start.Tier,
			Miss:          u.Start.Miss,
			RestoredBytes: u.Start.RestoredBytes,
			RestoreMs:     math.Round(u.Start.Restore.Seconds()*1e5) / 1e2,
		},
		OutputTokens:  u.OutputTokens,
		OutputDetails: outputDetails{u.ReasoningTokens},
		TotalTokens:   u.PromptTokens + u.OutputTokens,
		Drafts:        u.Drafts.OrNil(),
	}
}

// newResponse returns the response to a valid request, before there is an answer.
func (q *Request) newResponse(id, model string, p *generate.Params) Response {
	r := Response{
		ID:             id,
		Object:         "response",
		CreatedAt:      time.Now().Unix(),
		Status:         statusInProgress,
		Instructions:   q.Instructions,
		MaxOutput:      q.MaxOutputTokens,
		MaxToolCalls:   q.MaxToolCalls,
		Model:          model,
		Output:         []json.RawMessage{},
		Parallel:       p.Constraint.Parallel,
		CacheKey:       q.CacheKey,
		CacheRetention: q.CacheRetention,
		SafetyID:       q.SafetyID,
		ServiceTier:    "default",
		Store:          q.keeps(),
		Temperature:    orDefault(q.Temperature, 1),
		Text:           slices.Concat([]byte(`{"format":`), q.format, []byte("}")),
		ToolChoice:     q.ToolChoice,
		Tools:          q.Tools,
		TopLogprobs:    max(p.TopLogprobs, 0),
		TopP:           orDefault(q.TopP, 1),
		Truncation:     "disabled",
		User:           q.User,
		Metadata:       q.Metadata,
	}
	if q.Previous != "" {
		r.Previous = &q.Previous
	}
	if q.Reasoning != nil {
		r.Reasoning = *q.Reasoning
	}
	if wire.OrNil(r.ToolChoice) == nil {
		r.ToolChoice = json.RawMessage(`"auto"`)
	}
	if r.Tools == nil {
		r.Tools = []json.RawMessage{}
	}
	if wire.OrNil(r.Metadata) == nil {
		r.Metadata = json.RawMessage("{}")
	}
	return r
}

func orDefault(p *float64, value float64) float64 {
	if p == nil {
		return value
	}
	return *p
}

// Stored returns what the store keeps of a response to the request.
func (q *Request) Stored(r *Response, agent string) *Stored {
	items, _ := inputItems(q.Input) // Validate has read them
	for i := range items {
		items[i] = withID(items[i], r.ID, i)
	}
	return &Stored{
		ID:       r.ID,
		Agent:    agent,
		Previous: q.Previous,
		Input:    items,
		Response: wire.Encode(r),
	}
}

// finish sets how a complete answer ended.
func (r *Response) finish(a generate.Answer) {
	r.Status = statusCompleted
	if a.Reason == generate.ReasonLength {
		r.Status, r.Incomplete = statusIncomplete, &incompleteDetails{"max_output_tokens"}
	} else {
		now := time.Now().Unix()
		r.CompletedAt = &now
	}
	r.Usage = newUsage(a.Usage)
}

// itemID returns the id of a response's item number n.
func itemID(kind, response string, n int) string {
	return kind + strings.TrimPrefix(response, responsePrefix) + "_" + strconv.Itoa(n)
}

// appendMessage appends the item of a text, whose parts are JSON.
func appendMessage(b []byte, id, status string, content []byte) []byte {
	b = wire.AppendString(append(b, `{"id":`...), id)
	b = wire.AppendString(append(b, `,"type":"message","status":`...), status)
	b = append(append(b, `,"role":"assistant","content":[`...), content...)
	return append(b, "]}"...)
}

// appendReasoning appends the item of the reasoning. Its content is empty until there is text.
// sealed is its encrypted_content, "" where the client did not ask for it.
func appendReasoning(b []byte, id string, text []byte, sealed string) []byte {
	b = wire.AppendString(append(b, `{"id":`...), id)
	b = append(b, `,"type":"reasoning","summary":[],"content":[`...)
	if len(text) > 0 {
		b = appendReasoningText(b, text)
	}
	b = append(b, `],"encrypted_content":`...)
	if sealed == "" {
		return append(b, "null}"...)
	}
	return append(wire.AppendString(b, sealed), '}')
}

func appendReasoningText(b, text []byte) []byte {
	return append(wire.AppendString(append(b, `{"type":"reasoning_text","text":`...), text), '}')
}

// appendText appends a part of text.
func appendText(b, text []byte, probs []generate.TokenProbs) []byte {
	b = append(b, `{"type":"output_text","annotations":[],"logprobs":`...)
	b = append(append(b, encodeProbs(probs)...), `,"text":`...)
	return append(wire.AppendString(b, text), '}')
}

// appendCall appends the item of a call, with its arguments as far as there are any.
func appendCall(b []byte, id, status string, name toolName, c generate.ToolCall) []byte {
	b = wire.AppendString(append(b, `{"id":`...), id)
	switch name.kind {
	case customCall:
		b = wire.AppendString(append(b, `,"type":"custom_tool_call","status":`...), status)
		b = wire.AppendString(append(b, `,"call_id":`...), c.ID)
		b = wire.AppendString(append(b, `,"input":`...), customInput(c.Arguments))
	case shellCall:
		b = wire.AppendString(append(b, `,"type":"local_shell_call","status":`...), status)
		b = wire.AppendString(append(b, `,"call_id":`...), c.ID)
		return append(append(b, `,"action":`...), shellAction(c.Arguments)+"}"...)
	default:
		b = wire.AppendString(append(b, `,"type":"function_call","status":`...), status)
		b = wire.AppendString(append(b, `,"call_id":`...), c.ID)
		b = wire.AppendString(append(b, `,"arguments":`...), c.Arguments)
	}
	if name.namespace != "" {
		b = wire.AppendString(append(b, `,"namespace":`...), name.namespace)
	}
	return append(wire.AppendString(append(b, `,"name":`...), name.name), '}')
}

// shellAction returns the action of a local shell's call.
func shellAction(arguments []byte) string {
	action := struct {
		Type      string   `json:"type"`
		Command   []string `json:"command"`
		Env       struct{} `json:"env"`
		Directory string   `json:"working_directory,omitempty"`
		TimeoutMs *int     `json:"timeout_ms,omitempty"`
	}{Type: "exec", Command: []string{}}
	wire.Unmarshal(arguments, &action) // it fails where the answer is cut off
	return string(wire.Encode(action))
}

// A logprob is a token of the text.
type logprob struct {
	Token   string    `json:"token"`
	Logprob float64   `json:"logprob"`
	Bytes   []int     `json:"bytes"`
	Top     []logprob `json:"top_logprobs,omitzero"` // nil in these themselves
}

// encodeProbs returns the log-probabilities of tokens as JSON.
func encodeProbs(probs []generate.TokenProbs) []byte {
	list := []logprob{}
	for _, p := range probs {
		token := newLogprob(p)
		token.Top = []logprob{}
		for _, q := range p.Top {
			token.Top = append(token.Top, newLogprob(q))
		}
		list = append(list, token)
	}
	return wire.Encode(list)
}

// newLogprob returns the log-probability of a token. If the token is a part of a character, its
// text has U+FFFD; its bytes are exact.
func newLogprob(p generate.TokenProbs) logprob {
	l := logprob{Token: strings.ToValidUTF8(p.Text, "\uFFFD"), Logprob: p.Logprob, Bytes: []int{}}
	for _, b := range []byte(p.Text) {
		l.Bytes = append(l.Bytes, int(b))
	}
	return l
}

// A Deleted is the answer to a DELETE.
type Deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// Items is the list of a response's input items.
type Items struct {
	Object  string            `json:"object"`
	Data    []json.RawMessage `json:"data"`
	FirstID string            `json:"first_id"`
	LastID  string            `json:"last_id"`
	HasMore bool              `json:"has_more"`
}

// InputItems returns up to limit items of a stored response's own input, after the item with the id
// given. order is asc or desc, which is the API's default.
func (s *Stored) InputItems(order, after string, limit int) (*Items, error) {
	items := slices.Clone(s.Input)
	switch order {
	case "", "desc":
		slices.Reverse(items)
	case "asc":
	default:
		return nil, generate.Invalid("order", "order: %q; want asc or desc", order)
	}
	ids := make([]string, len(items))
	for i, raw := range items {
		var it item
		wire.Unmarshal(raw, &it) // it was written here
		ids[i] = it.ID
	}
	if after != "" {
		n := slices.Index(ids, after)
		if n < 0 {
			return nil, generate.Invalid("after", "after: no item has the id %q", after)
		}
		items, ids = items[n+1:], ids[n+1:]
	}
	list := &Items{Object: "list", Data: []json.RawMessage{}, HasMore: len(items) > limit}
	if n := min(limit, len(items)); n > 0 {
		list.Data, list.FirstID, list.LastID = items[:n], ids[0], ids[n-1]
	}
	return list, nil
}

// NotFound returns the message for a response that is not there.
func NotFound(id string) string { return fmt.Sprintf("Response with id '%s' not found.", id) }

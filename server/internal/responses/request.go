// Package responses has the wire format of OpenAI's Responses API: the bodies of requests and their
// validation, the answers, whole and as events, and the store of answers that later requests name.
//
//	Request --Validate--> generate.Params       with the items of earlier responses from the Store
//	Writer <-- generate.Piece, generate.Answer  whole responses go to the Store
package responses

import (
	"encoding/json"
	"slices"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A Request is the body of POST /v1/responses. Fields that are missing here are ignored, as the
// SDKs expect of a server that is older than they are. Fields that say how OpenAI's own service
// runs a request, such as service_tier, come back as they are and change nothing.
type Request struct {
	Model           string            `json:"model"`
	SessionID       string            `json:"session_id"` // extension: names the agent
	CacheSalt       *string           `json:"cache_salt"` // extension; see engine.Request.Salt
	Input           json.RawMessage   `json:"input"`      // a string, or items
	Instructions    *string           `json:"instructions"`
	Previous        string            `json:"previous_response_id"`
	Store           *bool             `json:"store"`
	Stream          bool              `json:"stream"`
	MaxOutputTokens *int              `json:"max_output_tokens"`
	MaxToolCalls    *int              `json:"max_tool_calls"` // of hosted tools, which are none
	Temperature     *float64          `json:"temperature"`    // 0 to 2, default 1
	TopP            *float64          `json:"top_p"`          // 0 to 1, default 1
	TopLogprobs     *int              `json:"top_logprobs"`   // 0 to 20
	Include         []string          `json:"include"`
	Tools           []json.RawMessage `json:"tools"`
	ToolChoice      json.RawMessage   `json:"tool_choice"`
	Parallel        *bool             `json:"parallel_tool_calls"`
	Reasoning       *reasoningFields  `json:"reasoning"`
	Metadata        json.RawMessage   `json:"metadata"`
	User            *string           `json:"user"`
	SafetyID        *string           `json:"safety_identifier"`
	CacheKey        *string           `json:"prompt_cache_key"`
	CacheRetention  *string           `json:"prompt_cache_retention"`
	ServiceTier     *string           `json:"service_tier"`

	// Extensions of other servers, which load generators use.
	TopK      int     `json:"top_k"`
	MinP      float64 `json:"min_p"`
	Seed      *int64  `json:"seed"`
	MinTokens int     `json:"min_tokens"`
	IgnoreEOS bool    `json:"ignore_eos"`

	generate.FormFields // of which text is this API's own
	generate.ThinkingFields

	// These are here so that they can be refused.
	Background     bool            `json:"background"`
	Conversation   json.RawMessage `json:"conversation"`
	Prompt         json.RawMessage `json:"prompt"`
	ResponseFormat json.RawMessage `json:"response_format"`
	Stop           json.RawMessage `json:"stop"`
	Truncation     string          `json:"truncation"`

	store   Owned
	earlier []Earlier // the responses before this one, the first of the conversation first
	missing error     // why they could not be had
	looked  bool      // they were looked for
	tools   toolNames
	format  json.RawMessage // of the text, as it comes back
}

type reasoningFields struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

// NewRequest returns an empty request, whose earlier responses are in a store.
func NewRequest(s Owned) *Request { return &Request{store: s} }

// Named returns the model that the body asks for and the session it names. A request that continues
// a response continues its agent. Where the response had none, the conversation itself becomes one:
// it is named for its first response.
func (q *Request) Named() (model, session string) {
	if q.SessionID != "" {
		return q.Model, q.SessionID
	}
	q.look()
	if n := len(q.earlier); n > 0 {
		if agent := q.earlier[n-1].Agent; agent != "" {
			return q.Model, agent
		}
		return q.Model, q.earlier[0].ID
	}
	return q.Model, ""
}

// look finds the responses that precede this one.
func (q *Request) look() {
	if q.looked || q.Previous == "" {
		return
	}
	q.looked = true
	q.earlier, q.missing = q.store.Conversation(q.Previous)
}

// keeps reports whether the response is to be stored.
func (q *Request) keeps() bool { return q.Store == nil || *q.Store }

// Validate checks the body. maxTokens bounds an answer where the body gives no length; 0: the
// context does. The errors name the field at fault and are for the client.
func (q *Request) Validate(maxTokens int) (*generate.Params, error) {
	p, err := q.ValidatePrompt()
	if err != nil {
		return nil, err
	}
	p.MaxTokens, p.MaxTokensDefault, p.CutLength = maxTokens, true, true
	p.Stream = q.Stream
	if err := p.SetMaxTokens("max_output_tokens", q.MaxOutputTokens); err != nil {
		return nil, err
	}
	p.Sampling, err = generate.SamplingFields{
		Temperature: q.Temperature,
		TopP:        q.TopP,
		TopK:        q.TopK,
		MinP:        q.MinP,
		Seed:        q.Seed,
	}.Sampling()
	if err != nil {
		return nil, err
	}
	if err := p.SetEnding(q.MinTokens, q.IgnoreEOS); err != nil {
		return nil, err
	}
	return p, q.setLogprobs(p)
}

const maxTopLogprobs = 20 // OpenAI's limit

// includeLogprobs asks for the log-probabilities of the text's tokens.
const includeLogprobs = "message.output_text.logprobs"

func (q *Request) setLogprobs(p *generate.Params) error {
	n := q.TopLogprobs
	if n != nil && (*n < 0 || *n > maxTopLogprobs) {
		return generate.Invalid("top_logprobs", "top_logprobs: %d; want 0 to %d", *n,
			maxTopLogprobs)
	}
	switch {
	case n != nil && *n > 0:
		p.TopLogprobs = *n
	case slices.Contains(q.Include, includeLogprobs):
		p.TopLogprobs = 0
	}
	return nil
}

// ValidatePrompt checks the fields that make the prompt. The Params it returns have only these.
func (q *Request) ValidatePrompt() (*generate.Params, error) {
	if err := q.refuse(); err != nil {
		return nil, err
	}
	p := &generate.Params{TopLogprobs: -1, PromptField: "input"}
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
	if q.look(); q.missing != nil {
		return nil, q.missing
	}
	c := conversation{p: p, store: q.store, tools: &q.tools}
	if q.Instructions != nil && *q.Instructions != "" {
		p.AddSystem(*q.Instructions)
	}
	for _, r := range q.earlier {
		if err := c.addStored(r); err != nil {
			return nil, err
		}
	}
	if err := c.addInput(q.Input); err != nil {
		return nil, err
	}
	if len(p.Messages) == 0 {
		return nil, generate.Invalid("input", "input: missing")
	}
	// Clients send one turn as several items, and templates want roles to alternate.
	p.MergeRoles()
	return p, nil
}

func (q *Request) readThinking(p *generate.Params) error {
	if r := q.Reasoning; r != nil && r.Effort != nil {
		if err := p.Thinking.SetEffort("reasoning.effort", *r.Effort); err != nil {
			return err
		}
	}
	return q.ThinkingFields.AddTo(p)
}

// refuse refuses what this server cannot do.
func (q *Request) refuse() error {
	switch {
	case q.Background:
		return generate.Unsupported("background",
			"background: this server answers while the client waits; leave it out")
	case wire.OrNil(q.Conversation) != nil:
		return generate.Unsupported("conversation",
			"conversation: not supported by this server; use previous_response_id")
	case wire.OrNil(q.Prompt) != nil:
		return generate.Unsupported("prompt",
			"prompt: this server has no stored prompts; use instructions and input")
	case wire.OrNil(q.ResponseFormat) != nil:
		return generate.Unsupported("response_format",
			"response_format: not a field of this API; use text.format")
	case generate.IsSet(q.Stop):
		return generate.Unsupported("stop",
			"stop: not a field of this API, which has no stop strings; /v1/chat/completions has")
	case q.Truncation != "" && q.Truncation != "disabled":
		return generate.Unsupported("truncation",
			"truncation: %q; this server leaves nothing out of a conversation, which is disabled",
			q.Truncation)
	}
	return nil
}

// readForm reads text and the fields of other servers that demand a form of the answer.
func (q *Request) readForm(c *generate.Constraint) error {
	q.format = json.RawMessage(`{"type":"text"}`)
	text := q.FormFields.Text
	if wire.OrNil(text) != nil {
		var fields struct {
			Format json.RawMessage `json:"format"`
		}
		if err := generate.Read("text", text, &fields); err != nil {
			return err
		}
		if f := wire.OrNil(fields.Format); f != nil {
			q.format = f
			if err := readFormat(c, f); err != nil {
				return err
			}
		}
	}
	others := q.FormFields
	others.Text = nil
	return others.AddTo(c)
}

func readFormat(c *generate.Constraint, raw json.RawMessage) error {
	var format struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
		Strict *bool           `json:"strict"`
	}
	if err := generate.Read("text.format", raw, &format); err != nil {
		return err
	}
	switch format.Type {
	case "text":
		return nil
	case "json_object":
		return c.SetObject("text.format")
	case "json_schema":
		if wire.OrNil(format.Schema) == nil {
			return generate.Invalid("text.format.schema", "text.format.schema: missing")
		}
		// As in OpenAI's API: without strict, which is the default, the schema is a hint.
		c.SchemaIsHint = format.Strict == nil || !*format.Strict
		return c.SetSchema("text.format.schema", format.Schema)
	}
	return generate.Invalid("text.format.type",
		"text.format.type: %q; want text, json_object or json_schema", format.Type)
}

package generate

import (
	"math"

	"loadstone/engine"
	"loadstone/engine/grammar"
)

// Params is a valid request of either API, in terms that both share.
type Params struct {
	Principal   string    // whose request it is
	Salt        string    // divides what the principal has in the cache; see engine.Request
	Agent       string    // whose memory the request continues; "": it is anonymous
	Messages    []Message // the conversation, or
	Prompt      *string   // the text to continue where there is no conversation
	PromptField string    // name of the body's field that has either, for errors

	// MaxTokens is the largest length of the answer; 0: whatever the prompt leaves of the context.
	MaxTokens int
	// MaxTokensDefault says that the client named no length. The answer then takes as much of the
	// pool as is free while it is made, and not from the start.
	MaxTokensDefault bool
	// CutLength says that a MaxTokens beyond what the prompt leaves of the context is cut to that,
	// and is not an error.
	CutLength bool
	CutTo     int    // what MaxTokens was cut to, for the answer's head; 0: it was not cut
	MaxField  string // the body's field that has MaxTokens, for errors; "": none has

	N int // how many answers the client wants; 0 means 1

	MinTokens int  // the answer does not end by itself, or at a stop string, before it has so many
	IgnoreEOS bool // the answer does not end by itself at all
	// StopTokens end the answer, too, whatever IgnoreEOS says.
	StopTokens []int

	Thinking  Thinking
	Variables map[string]any // of the chat template, as encoding/json decodes them

	Sampling   engine.Sampling
	Stops      []string
	Constraint Constraint
	// TopLogprobs is how many of the likeliest tokens are reported beside each token. -1: the
	// answer has no log-probabilities
	TopLogprobs int

	Durable     bool // the agent's memory is saved as soon as the answer is complete
	Stream      bool // the answer is sent as events while it is made
	StreamUsage bool // the stream ends with the usage

	merged bool // see MergeRoles

	// Unheld is what the answer is not held to, of schemas that are hints. A Generator sets it.
	Unheld     []*grammar.SchemaError
	BillingCut bool // the system prompt is without its first line; see CutBilling
}

// Roles of a Message.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// A Message is one message of a conversation, as a chat template takes it.
type Message struct {
	Role string // RoleSystem, RoleUser or RoleAssistant
	Text string
	// Reasoning is what the model thought before an assistant's text, "" where that is not known.
	Reasoning string
	Calls     []ToolCall // of an assistant's message, behind its text

	key        string // of an assistant's message: under what the exact tokens are remembered
	toolResult bool   // the text is what a tool returned
}

// SetMaxTokens takes the length of the answer from a field of the body; n is nil where it is
// missing.
func (p *Params) SetMaxTokens(field string, n *int) error {
	if n == nil {
		return nil
	}
	if *n < 1 {
		return Invalid(field, "%s: %d; want at least 1", field, *n)
	}
	// So that sums with it do not overflow.
	p.MaxTokens, p.MaxTokensDefault, p.MaxField = min(*n, math.MaxInt/2), false, field
	return nil
}

// SetEnding takes what keeps the answer from ending early from the fields min_tokens and
// ignore_eos.
func (p *Params) SetEnding(minTokens int, ignoreEOS bool) error {
	if minTokens < 0 {
		return Invalid("min_tokens", "min_tokens: %d; want at least 0", minTokens)
	}
	if p.MaxTokens > 0 && !p.MaxTokensDefault && minTokens > p.MaxTokens {
		return Invalid("min_tokens", "min_tokens: %d, which is more than %s of %d", minTokens,
			p.MaxField, p.MaxTokens)
	}
	p.MinTokens, p.IgnoreEOS = minTokens, ignoreEOS
	return nil
}

// maxSalt is the longest cache_salt in bytes.
const maxSalt = 1024

// SetSalt takes the field cache_salt, which is vLLM's; salt is nil where it is missing.
func (p *Params) SetSalt(salt *string) error {
	if salt == nil {
		return nil
	}
	if n := len(*salt); n == 0 || n > maxSalt {
		return Invalid("cache_salt", "cache_salt: %d bytes; want 1 to %d, or no such field", n,
			maxSalt)
	}
	p.Salt = *salt
	return nil
}

// AddMessage appends a message of the system or the user.
func (p *Params) AddMessage(role, text string) {
	p.Messages = append(p.Messages, Message{Role: role, Text: text})
}

// AddReminder appends a system message that may stand in the middle of a conversation. Before the
// first message of another role it is a part of the system prompt. Later it is a part of the user's
// turn, in the tags that Claude Code uses there: most templates refuse a system message in the
// middle, and a system prompt that grows would change the beginning of the conversation, so that
// nothing of it would be cached.
func (p *Params) AddReminder(text string) {
	if n := len(p.Messages); n == 0 || p.Messages[n-1].Role == RoleSystem {
		p.AddMessage(RoleSystem, text)
		return
	}
	p.AddMessage(RoleUser, "<system-reminder>\n"+text+"\n</system-reminder>")
}

// AddAnswer appends an assistant's message.
func (p *Params) AddAnswer(reasoning, text string, calls []ToolCall) {
	p.Messages = append(p.Messages, Message{
		Role:      RoleAssistant,
		Text:      text,
		Reasoning: reasoning,
		Calls:     calls,
		key:       answerText(text, calls, true),
	})
}

// AddToolResult appends what a tool returned.
func (p *Params) AddToolResult(text string) {
	p.Messages = append(p.Messages, Message{Role: RoleUser, Text: text, toolResult: true})
}

// MergeRoles has consecutive messages of the same role become one.
func (p *Params) MergeRoles() { p.merged = true }

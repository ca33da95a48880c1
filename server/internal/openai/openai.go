// Package openai has the wire format of the OpenAI API: the bodies of requests and their
// validation, and the answers, whole and as events.
//
//	ChatRequest, CompletionRequest, AgentRequest --Validate--> generate.Params
//	ChatWriter, CompletionWriter <-- generate.Piece, generate.Answer
package openai

import (
	"fmt"
	"math"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A Head is what every answer and every event begins with.
type Head struct {
	ID          string
	Model       string
	Fingerprint string // of everything that an answer depends on beside the request; "": not known
}

// usage is the wire form of generate.Usage.
type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	Details          promptDetails `json:"prompt_tokens_details"`
	// nil where the model did not think
	Completion *completionDetails `json:"completion_tokens_details,omitempty"`
	Drafts     *generate.Drafts   `json:"drafts,omitempty"`
}

type completionDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

// promptDetails says, beyond OpenAI's cached_tokens, what the cache was worth to this prompt.
type promptDetails struct {
	CachedTokens  int     `json:"cached_tokens"`
	Tier          string  `json:"tier,omitempty"` // hot, disk or cold
	Miss          string  `json:"miss,omitempty"` // why the rest was not cached
	RestoredBytes int64   `json:"restored_bytes,omitempty"`
	RestoreMs     float64 `json:"restore_ms,omitempty"`
}

func newUsage(u generate.Usage) usage {
	var completion *completionDetails
	if u.ReasoningTokens > 0 {
		completion = &completionDetails{u.ReasoningTokens}
	}
	return usage{
		Completion:       completion,
		Drafts:           u.Drafts.OrNil(),
		PromptTokens:     u.PromptTokens,
		CompletionTokens: u.OutputTokens,
		TotalTokens:      u.PromptTokens + u.OutputTokens,
		Details: promptDetails{
			CachedTokens:  u.Start.CachedTokens,
			Tier:          u.Start.Tier,
			Miss:          u.Start.Miss,
			RestoredBytes: u.Start.RestoredBytes,
			RestoreMs:     math.Round(u.Start.Restore.Seconds()*1e5) / 1e2,
		},
	}
}

// ErrorBody returns an error in OpenAI's envelope. param is the field at fault, "" for none.
func ErrorBody(kind, code, param, message string) []byte {
	type fields struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	f := fields{Message: message, Type: kind, Code: code}
	if param != "" {
		f.Param = &param
	}
	body := wire.Encode(map[string]fields{"error": f})
	switch code {
	case generate.CodeContext, generate.CodePool:
		// With a space after each colon, as OpenAI's own errors have it: a client that has the body
		// as text looks for "code": "context_length_exceeded" (LiteLLM does).
		return wire.Plain(body)
	}
	return body
}

// LengthMessage says that a request is too long in the words of OpenAI's API, which agents look for
// to shorten the conversation.
func LengthMessage(e *generate.LengthError) string {
	message := fmt.Sprintf("This model's maximum context length is %d tokens. However, ", e.Longest)
	switch {
	case e.MaxTokens == 0:
		message += fmt.Sprintf("your %s resulted in %d tokens. Please reduce the length of the %s.",
			e.Field, e.Prompt, e.Field)
	default:
		message += fmt.Sprintf("you requested %d tokens (%d in the %s, %d in the completion). "+
			"Please reduce the length of the %s or completion.",
			e.Prompt+e.MaxTokens, e.Prompt, e.Field, e.MaxTokens, e.Field)
	}
	return message + e.Note()
}

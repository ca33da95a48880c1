package openai

import (
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A CompletionRequest is the body of POST /v1/completions: a text that the model continues, without
// a chat template.
type CompletionRequest struct {
	samplingFields
	Prompt   json.RawMessage `json:"prompt"`   // a string, or an array of one string
	Logprobs *int            `json:"logprobs"` // 0 to 5
	Echo     bool            `json:"echo"`
	Suffix   string          `json:"suffix"`
	BestOf   *int            `json:"best_of"`
}

// Validate checks the body, as ChatRequest.Validate does.
func (q *CompletionRequest) Validate(maxTokens int) (*generate.Params, error) {
	p, err := q.samplingFields.validate(maxTokens)
	if err != nil {
		return nil, err
	}
	p.PromptField = "prompt"
	switch {
	case q.Echo:
		return nil, generate.Unsupported("echo", "echo: not supported by this server")
	case q.Suffix != "":
		return nil, generate.Unsupported("suffix", "suffix: not supported by this server")
	case q.BestOf != nil && *q.BestOf != p.N:
		return nil, generate.Unsupported("best_of", "best_of: %d answers; this server makes as "+
			"many as it gives, n of them", *q.BestOf)
	}
	if n := q.Logprobs; n != nil {
		if *n < 0 || *n > 5 {
			return nil, generate.Invalid("logprobs", "logprobs: %d; want 0 to 5", *n)
		}
		p.TopLogprobs = *n
	}
	p.Constraint.Choice = generate.ChoiceNone
	if err := q.readForm(&p.Constraint); err != nil {
		return nil, err
	}
	if err := p.SetEnding(q.MinTokens, q.IgnoreEOS); err != nil {
		return nil, err
	}
	p.Prompt, err = q.prompt()
	return p, err
}

func (q *CompletionRequest) prompt() (*string, error) {
	var one string
	if len(q.Prompt) > 0 && wire.Unmarshal(q.Prompt, &one) == nil && string(q.Prompt) != "null" {
		return &one, nil
	}
	var list []string
	err := wire.Unmarshal(q.Prompt, &list)
	switch {
	case err == nil && len(list) == 1:
		return &list[0], nil
	case err == nil && len(list) > 1:
		return nil, generate.Unsupported("prompt",
			"prompt: %d texts; this server continues 1 at a time", len(list))
	default:
		return nil, generate.Invalid("prompt",
			"prompt: want a string, or an array of one string; not token ids")
	}
}

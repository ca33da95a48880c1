package generate

import (
	"encoding/json"
	"slices"
)

// ThinkingFields are the fields with which servers of open models are asked how a model may think:
// those of vLLM, SGLang, llama.cpp and Qwen's own.
type ThinkingFields struct {
	Template    map[string]json.RawMessage `json:"chat_template_kwargs"`
	Enable      *bool                      `json:"enable_thinking"`
	Budget      *int                       `json:"thinking_budget"`
	BudgetVLLM  *int                       `json:"thinking_token_budget"`
	BudgetLlama *int                       `json:"thinking_budget_tokens"`
}

// reservedVariables are what a chat template gets from the request itself.
var reservedVariables = []string{"messages", "tools", "documents", "add_generation_prompt",
	"continue_final_message", "chat_template", "tokenize", "bos_token", "eos_token"}

// AddTo adds what the fields demand.
func (f *ThinkingFields) AddTo(p *Params) error {
	if f.Enable != nil && !*f.Enable {
		p.Thinking.Off, p.Thinking.Field = true, "enable_thinking"
	}
	for field, n := range map[string]*int{
		"thinking_budget":        f.Budget,
		"thinking_token_budget":  f.BudgetVLLM,
		"thinking_budget_tokens": f.BudgetLlama,
	} {
		if n != nil && *n >= 0 { // -1 is no bound
			p.Thinking.SetBudget(field, n)
		}
	}
	for name, raw := range f.Template {
		const field = "chat_template_kwargs."
		if slices.Contains(reservedVariables, name) {
			return Unsupported(field+name, "%s%s: the server sets it", field, name)
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return err // this cannot be: the whole body is valid JSON
		}
		if p.Variables == nil {
			p.Variables = make(map[string]any)
		}
		p.Variables[name] = value
	}
	if f.Enable != nil && *f.Enable && p.Variables["enable_thinking"] == nil {
		if p.Variables == nil {
			p.Variables = make(map[string]any)
		}
		p.Variables["enable_thinking"] = true
	}
	return nil
}

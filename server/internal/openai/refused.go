package openai

import (
	"bytes"
	"encoding/json"

	"loadstone/server/internal/generate"
)

// refusedFields are fields of vLLM, SGLang and Hugging Face that this server cannot serve and that
// would change what the model reads or what the answer is made of, so that ignoring them would give
// a wrong answer. A field that asks for nothing is passed over: libraries send those.
type refusedFields struct {
	ContinueFinal json.RawMessage `json:"continue_final_message"`
	AddPrompt     json.RawMessage `json:"add_generation_prompt"`
	ChatTemplate  json.RawMessage `json:"chat_template"`
	Documents     json.RawMessage `json:"documents"`
	Truncate      json.RawMessage `json:"truncate_prompt_tokens"`
	BeamSearch    json.RawMessage `json:"use_beam_search"`
	IncludeStop   json.RawMessage `json:"include_stop_str_in_output"`
}

// check refuses the first field that asks for something.
func (f *refusedFields) check() error {
	for _, field := range []struct {
		name  string
		value json.RawMessage
	}{
		{"continue_final_message", f.ContinueFinal},
		{"chat_template", f.ChatTemplate},
		{"documents", f.Documents},
		{"truncate_prompt_tokens", f.Truncate},
		{"use_beam_search", f.BeamSearch},
		{"include_stop_str_in_output", f.IncludeStop},
	} {
		if generate.IsSet(field.value) {
			return generate.Unsupported(field.name, "%s: not supported by this server", field.name)
		}
	}
	if string(bytes.TrimSpace(f.AddPrompt)) == "false" {
		return generate.Unsupported("add_generation_prompt", "add_generation_prompt: false; this "+
			"server begins every answer itself")
	}
	return nil
}

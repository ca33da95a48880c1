package openai

import (
	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

const (
	maxStops       = 4  // OpenAI's limit
	maxTopLogprobs = 20 // OpenAI's limit of top_logprobs
)

// samplingFields are the fields that the bodies of chats and of completions share.
type samplingFields struct {
	Model            string             `json:"model"`
	SessionID        string             `json:"session_id"` // extension: names the agent
	CacheSalt        *string            `json:"cache_salt"` // extension; see engine.Request.Salt
	MaxTokens        *int               `json:"max_tokens"`
	Temperature      *float64           `json:"temperature"` // 0 to 2, default 1
	TopP             *float64           `json:"top_p"`       // 0 to 1, default 1
	TopK             int                `json:"top_k"`       // extension; 0 or -1: off
	MinP             float64            `json:"min_p"`       // extension; 0: off
	Seed             *int64             `json:"seed"`
	Stop             stopStrings        `json:"stop"`
	PresencePenalty  float64            `json:"presence_penalty"`
	FrequencyPenalty float64            `json:"frequency_penalty"`
	Repetition       *float64           `json:"repetition_penalty"` // extension; 1: off
	LogitBias        map[string]float64 `json:"logit_bias"`
	N                *int               `json:"n"`
	Stream           bool               `json:"stream"`
	StreamOptions    *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	ResponseFormat *responseFormat `json:"response_format"`

	// Extensions of vLLM, SGLang and llama.cpp, which load generators use.
	MinTokens    int   `json:"min_tokens"`
	IgnoreEOS    bool  `json:"ignore_eos"`
	StopTokens   []int `json:"stop_token_ids"`
	NPredict     *int  `json:"n_predict"`      // max_tokens of llama.cpp
	MaxNewTokens *int  `json:"max_new_tokens"` // and of TGI

	refusedFields

	generate.FormFields
}

// Named returns the model that the body asks for and the session it names, "" where it names none.
func (f *samplingFields) Named() (model, session string) { return f.Model, f.SessionID }

// stopStrings is a string, an array of strings, or null.
type stopStrings []string

func (s *stopStrings) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		*s = make(stopStrings, 1)
		if err := wire.Unmarshal(b, &(*s)[0]); err != nil {
			return err
		}
	} else if wire.Unmarshal(b, (*[]string)(s)) != nil {
		return generate.Invalid("stop", "stop: want a string or an array of strings")
	}
	return generate.CheckWhole("stop", b)
}

// noLimit is the max_tokens of LM Studio and llama.cpp for an answer of any length.
const noLimit = -1

// setMaxTokens takes the length of the answer from a field of the body.
func setMaxTokens(p *generate.Params, field string, n *int) error {
	if n != nil && *n == noLimit {
		return nil
	}
	return p.SetMaxTokens(field, n)
}

// validate checks the fields. maxTokens bounds an answer where the body gives no length; 0: the
// context does.
func (f *samplingFields) validate(maxTokens int) (*generate.Params, error) {
	n := 1
	if f.N != nil {
		if n = *f.N; n < 1 || n > generate.MaxChoices {
			return nil, generate.Invalid("n", "n: %d answers; want 1 to %d", n, generate.MaxChoices)
		}
	}
	p := &generate.Params{
		MaxTokens:        maxTokens,
		MaxTokensDefault: true,
		N:                n,
		CutLength:        true, // as llama.cpp does; OpenAI's own models refuse
		TopLogprobs:      -1,
		Stops:            f.Stop,
		Stream:           f.Stream,
	}
	if err := p.SetSalt(f.CacheSalt); err != nil {
		return nil, err
	}
	if err := f.refusedFields.check(); err != nil {
		return nil, err
	}
	for _, length := range []struct {
		field string
		n     *int
	}{{"n_predict", f.NPredict}, {"max_new_tokens", f.MaxNewTokens}, {"max_tokens", f.MaxTokens}} {
		if err := setMaxTokens(p, length.field, length.n); err != nil {
			return nil, err
		}
	}
	p.StopTokens = f.StopTokens
	var err error
	p.Sampling, err = generate.SamplingFields{
		Temperature: f.Temperature,
		TopP:        f.TopP,
		TopK:        f.TopK,
		MinP:        f.MinP,
		Presence:    f.PresencePenalty,
		Frequency:   f.FrequencyPenalty,
		Repetition:  f.Repetition,
		Seed:        f.Seed,
		Bias:        f.LogitBias,
	}.Sampling()
	if err != nil {
		return nil, err
	}
	if err := generate.CheckStops("stop", f.Stop, maxStops); err != nil {
		return nil, err
	}
	if f.StreamOptions != nil {
		if !f.Stream {
			return nil, generate.Invalid("stream_options", "stream_options: only with stream true")
		}
		p.StreamUsage = f.StreamOptions.IncludeUsage
	}
	return p, nil
}

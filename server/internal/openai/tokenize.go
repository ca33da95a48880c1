package openai

import (
	"encoding/json"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A TokenizeRequest is the body of POST /tokenize, as llama.cpp has it (content) and vLLM (prompt,
// or messages with the other fields of a chat).
type TokenizeRequest struct {
	Model   string  `json:"model"`
	Session string  `json:"session_id"`
	Content *string `json:"content"`
	Prompt  *string `json:"prompt"`

	AddSpecial       *bool `json:"add_special"`        // llama.cpp's, false where it is missing
	AddSpecialTokens *bool `json:"add_special_tokens"` // vLLM's, true where it is missing
	ParseSpecial     *bool `json:"parse_special"`      // llama.cpp's, true where it is missing
	WithPieces       bool  `json:"with_pieces"`        // llama.cpp's
	TokenStrings     bool  `json:"return_token_strs"`  // vLLM's

	chat *ChatRequest // nil: a text
}

func (q *TokenizeRequest) UnmarshalJSON(b []byte) error {
	type fields TokenizeRequest
	var head struct {
		Messages json.RawMessage `json:"messages"`
	}
	if err := wire.Unmarshal(b, (*fields)(q)); err != nil {
		return err
	}
	if err := wire.Unmarshal(b, &head); err != nil || wire.OrNil(head.Messages) == nil {
		return err
	}
	q.chat = new(ChatRequest)
	return wire.Unmarshal(b, q.chat)
}

// Named returns the model that the body asks for and the session it names, "" where it names none.
func (q *TokenizeRequest) Named() (model, session string) { return q.Model, q.Session }

// Validate checks the body.
func (q *TokenizeRequest) Validate(maxTokens int) (*generate.Params, error) {
	return q.ValidatePrompt()
}

// ValidatePrompt returns the conversation of a body that has one, nil for one that has a text.
func (q *TokenizeRequest) ValidatePrompt() (*generate.Params, error) {
	text := q.Content != nil || q.Prompt != nil
	switch {
	case q.chat == nil && !text, q.chat != nil && text,
		q.Content != nil && q.Prompt != nil && *q.Content != *q.Prompt:
		return nil, generate.Invalid("content",
			"content: want one text, as content or as prompt, or messages (a chat)")
	case q.chat != nil:
		return q.chat.Validate(0)
	}
	return nil, nil
}

// Text returns the text, whether its control tokens count as such, and whether the tokens that
// begin every text are wanted.
func (q *TokenizeRequest) Text() (text string, special, around bool) {
	orTrue := func(b *bool) bool { return b == nil || *b }
	if q.Content != nil {
		return *q.Content, orTrue(q.ParseSpecial), q.AddSpecial != nil && *q.AddSpecial
	}
	return *q.Prompt, true, orTrue(q.AddSpecialTokens)
}

// Tokens is the answer, in the fields of both servers.
type Tokens struct {
	Tokens      any      `json:"tokens"` // ids, or a Piece each
	Count       int      `json:"count"`
	MaxModelLen int      `json:"max_model_len"`
	Strings     []string `json:"token_strs"`
}

// A Piece is a token and its text, or its bytes where they are no text.
type Piece struct {
	ID    int32 `json:"id"`
	Piece any   `json:"piece"`
}

// A DetokenizeRequest is the body of POST /detokenize, which is the same in both.
type DetokenizeRequest struct {
	Model  string `json:"model"`
	Tokens *[]int `json:"tokens"`
}

// Detokenized is the answer, in the field of llama.cpp and in that of vLLM.
type Detokenized struct {
	Content string `json:"content"`
	Prompt  string `json:"prompt"`
}

// Template is the answer to POST /apply-template.
type Template struct {
	Prompt string `json:"prompt"`
}

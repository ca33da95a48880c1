package generate

import (
	"encoding/json"
	"errors"
	"fmt"

	"loadstone/server/internal/wire"
)

// A LengthError refuses a request that is longer than the server can take. A dialect's package says
// it in the words of its API, which clients look for.
type LengthError struct {
	Prompt    int    // tokens
	AtLeast   bool   // the prompt has more than Prompt, which were not counted
	MaxTokens int    // that the client asked for; 0: it named no length
	Longest   int    // tokens of the longest request that the server can take
	Context   int    // the model's, at least Longest
	Field     string // the body's field that has the prompt
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("prompt of %d tokens and max_tokens of %d exceed %d tokens", e.Prompt,
		e.MaxTokens, e.Longest)
}

// Code returns the error's code: the pool is too small where the model's context would do.
func (e *LengthError) Code() string {
	if e.Prompt+max(e.MaxTokens, 1) <= e.Context {
		return CodePool
	}
	return CodeContext
}

// Note says what a client should know beside the numbers: that the prompt was not counted to its
// end, and why Longest is less than the model's context.
func (e *LengthError) Note() string {
	note := e.room()
	if e.AtLeast {
		note += fmt.Sprintf(" (that is at least: counting ended at %d tokens)", e.Prompt)
	}
	return note
}

// room says why Longest is less than the model's context, in brackets; "" where it is not.
func (e *LengthError) room() string {
	if e.Longest == e.Context {
		return ""
	}
	return fmt.Sprintf(" (the model's context is %d tokens, and this server's KV memory has room "+
		"for %d: shorten the request, or give the server more)", e.Context, e.Longest)
}

// Codes of a LengthError.
const (
	CodeContext = "context_length_exceeded"
	CodePool    = "pool_too_small"
)

// A RequestError refuses a request because of a field of its body. Its message is for the client.
type RequestError struct {
	Code    string // stable, for programs: CodeInvalid, CodeUnsupported or a code of the caller's
	Param   string // path of the field at fault, such as messages[0].content; "": the whole body
	Message string
}

// Codes of a RequestError.
const (
	CodeInvalid     = "invalid_value"         // the value breaks the API's rules
	CodeUnsupported = "unsupported_parameter" // this server cannot serve the value
)

func (e *RequestError) Error() string { return e.Message }

// Invalid returns the error for a field whose value breaks the API's rules.
func Invalid(param, format string, args ...any) *RequestError {
	return &RequestError{Code: CodeInvalid, Param: param, Message: fmt.Sprintf(format, args...)}
}

// Unsupported returns the error for a field whose value this server cannot serve. Such a request is
// refused because ignoring the field would give a wrong answer.
func Unsupported(param, format string, args ...any) *RequestError {
	return &RequestError{Code: CodeUnsupported, Param: param, Message: fmt.Sprintf(format, args...)}
}

// Read reads the value of a field, which was kept raw, into v, which is a pointer. The error names
// what is not as v wants it, however deep it stands: messages[1].content[0].text.
func Read(field string, raw json.RawMessage, v any) error {
	err := wire.UnmarshalAt(field, raw, v)
	if typed, ok := errors.AsType[*wire.TypeError](err); ok {
		return Invalid(typed.Path, "%v", typed)
	}
	return err
}

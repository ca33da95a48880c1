package generate

import "fmt"

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

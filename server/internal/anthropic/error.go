package anthropic

import (
	"fmt"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// LengthMessage says that a request is too long in the words of Anthropic's API. Claude Code reads
// the numbers of the second form and asks again with a max_tokens that fits; others look for either
// form to shorten the conversation.
func LengthMessage(e *generate.LengthError) string {
	message := fmt.Sprintf("prompt is too long: %d tokens > %d maximum", e.Prompt, e.Longest)
	if e.Prompt <= e.Longest {
		message = fmt.Sprintf("input length and `max_tokens` exceed context limit: %d + %d > %d, "+
			"decrease input length or `max_tokens` and try again",
			e.Prompt, e.MaxTokens, e.Longest)
	}
	return message + e.Note()
}

// ErrorBody returns an error in Anthropic's envelope. status is the HTTP status that the error has
// in OpenAI's API; the envelope's type follows from it. Anthropic's SDKs know no 503: a server that
// is full or going down is overloaded.
func ErrorBody(status int, message, requestID string) []byte {
	type fields struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return wire.Encode(struct {
		Type      string `json:"type"`
		Error     fields `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", fields{errorType(status), message}, requestID})
}

func errorType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503:
		return "overloaded_error"
	case 500:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

package anthropic

import "loadstone/server/internal/wire"

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

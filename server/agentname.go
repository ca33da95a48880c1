package server

import (
	"crypto/rand"
	"net/http"
	"slices"

	"loadstone/server/internal/generate"
)

// agentName returns the name of the agent whose memory a request continues. On every route, the
// first of these that is given counts: the agent in the path, the header X-Agent-ID, the header
// X-Session-ID, the header session_id (Codex's), the body's session_id. Without any of them the
// request is anonymous: it uses and leaves only prefixes that its principal's requests share.
// (OpenAI's user and Anthropic's metadata.user_id name a person, who may hold many conversations at
// once, so they are not an identity here.)
func agentName(r *http.Request, session string) (string, error) {
	for _, header := range []string{"X-Agent-ID", "X-Session-ID"} {
		if err := checkOnce(r.Header, header); err != nil {
			return "", err
		}
	}
	for _, id := range []struct{ param, name string }{
		{"agent_id", r.PathValue("id")},
		{"X-Agent-ID", r.Header.Get("X-Agent-ID")},
		{"X-Session-ID", r.Header.Get("X-Session-ID")},
		{"session_id", r.Header.Get("session_id")}, // Codex's
		{"session_id", session},
	} {
		if id.name != "" {
			return id.name, checkAgentName(id.param, id.name)
		}
	}
	return "", nil
}

// checkOnce refuses a header that is there twice with different values. What stands between client
// and server may look at one of them, and the server would take the other.
func checkOnce(h http.Header, name string) error {
	values := h.Values(name)
	for _, v := range values {
		if v != values[0] {
			return generate.Invalid(name, "%s: the request has it twice, with different values", name)
		}
	}
	return nil
}

// reservedNames are the last parts of paths under /v1/agents, where an agent's name stands
// otherwise.
var reservedNames = []string{"import", "stats"}

// checkAgentName says what is wrong with an agent's name.
func checkAgentName(param, name string) error {
	var e *generate.RequestError
	switch {
	case !isName(name):
		e = generate.Invalid(param,
			"%s: want 1 to 128 of A-Z a-z 0-9 _ - . : where the first is not - . or :", param)
	case slices.Contains(reservedNames, name):
		e = generate.Invalid(param, "%s: %q is a path of this API and cannot be an agent's name",
			param, name)
	default:
		return nil
	}
	e.Code = "invalid_agent_id"
	return e
}

// isName reports whether a client's name for a request or an agent can stand in a log line or a
// file name: 1 to 128 of A-Z a-z 0-9 and - _ . : of which the first is a letter, a digit or _.
func isName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case (c == '-' || c == '.' || c == ':') && i > 0:
		default:
			return false
		}
	}
	return true
}

// newID returns an id that nobody can guess.
func newID(prefix string) string { return prefix + rand.Text() }

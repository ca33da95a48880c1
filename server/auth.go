package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// keys are the API keys of a server as digests, so that comparing takes the same time whatever a client sends, and so
// that nothing printed by accident is a key.
type keys [][sha256.Size]byte

func newKeys(plain []string) keys {
	var k keys
	for _, p := range plain {
		k = append(k, sha256.Sum256([]byte(p)))
	}
	return k
}

// has compares with every key, always.
func (k keys) has(key string) bool {
	digest, found := sha256.Sum256([]byte(key)), 0
	for i := range k {
		found |= subtle.ConstantTimeCompare(digest[:], k[i][:])
	}
	return found == 1
}

// authenticated wants a key for everything but health and the status page, which itself has to ask for it. The OpenAI SDKs
// send a key as Authorization: Bearer, those of Anthropic as x-api-key; either will do on every route.
func (s *Server) authenticated(next http.Handler) http.Handler {
	if len(s.keys) == 0 {
		return s.unlocked(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOpen(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		key, ok := bearer(r.Header)
		if !ok {
			key = r.Header.Get("X-Api-Key")
		}
		if !s.keys.has(key) {
			message := "the API key is not one of this server's"
			if key == "" {
				message = "this server wants an API key: send it as Authorization: Bearer KEY or as x-api-key: KEY"
			}
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.fail(w.(*response), &apiError{status: 401, kind: "invalid_request_error", code: "invalid_api_key", message: message})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unlocked is what stands in place of keys where there are none. A page of any site can have its own name lead to this
// machine, and then reads what it gets here as if it were its own; so what agents remember is given only to who asks for
// this machine by an address, as localhost, or by a name that is configured.
func (s *Server) unlocked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPrivate(r.URL.Path) && !s.isNamed(r.Host) {
			s.fail(w.(*response), &apiError{status: 403, kind: "invalid_request_error", code: "host_not_allowed",
				message: "without an API key this is given only to who asks by an address or as localhost; -origins allows other names, -api-key-file makes keys"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isPrivate(path string) bool {
	return strings.HasPrefix(path, "/v1/agents") || strings.HasPrefix(path, "/admin/")
}

// isNamed says whether a request's Host is an address, this machine's own name, or one of the configured origins'.
func (s *Server) isNamed(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	return net.ParseIP(u.Hostname()) != nil || isLoopback("http://"+host) || slices.ContainsFunc(s.cfg.Origins, func(origin string) bool {
		o, err := url.Parse(origin)
		return origin == "*" || err == nil && o.Hostname() != "" && o.Hostname() == u.Hostname()
	})
}

func bearer(h http.Header) (string, bool) {
	scheme, key, ok := strings.Cut(h.Get("Authorization"), " ")
	return strings.TrimSpace(key), ok && strings.EqualFold(scheme, "Bearer")
}

func isOpen(path string) bool { return path == "/" || strings.HasPrefix(path, "/health/") }

// identity says whose memory a request continues. On every route the first of these that is there counts: the agent in
// the path, the header X-Agent-ID, the header X-Session-ID, the body's session_id. Without any the request is anonymous:
// it uses and leaves only prefixes that everybody shares. (OpenAI's user and Anthropic's metadata.user_id name a person
// who may hold many conversations at once, so they are not an identity here.)
func identity(r *http.Request, session string) (string, error) {
	for _, id := range []struct{ param, name string }{
		{"agent_id", r.PathValue("id")},
		{"X-Agent-ID", r.Header.Get("X-Agent-ID")},
		{"X-Session-ID", r.Header.Get("X-Session-ID")},
		{"session_id", session},
	} {
		if id.name != "" {
			return id.name, checkAgent(id.param, id.name)
		}
	}
	return "", nil
}

// checkAgent says what is wrong with an agent's name.
func checkAgent(param, name string) error {
	var e *apiError
	switch {
	case !isName(name):
		e = invalid(param, "%s: want 1 to 128 of A-Z a-z 0-9 _ - . : not beginning with one of the last three", param)
	case slices.Contains(reserved, name):
		e = invalid(param, "%s: %q is a path of this API and no name for an agent", param, name)
	default:
		return nil
	}
	e.code = "invalid_agent_id"
	return e
}

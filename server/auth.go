package server

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authenticated demands a key for everything except health checks and the status page, which itself
// has to ask its reader for the key. The SDKs of OpenAI send a key as Authorization: Bearer, those
// of Anthropic as x-api-key; every route takes either.
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
				message = "this server needs an API key: send it as Authorization: Bearer KEY " +
					"or as x-api-key: KEY"
			}
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.fail(w.(*response), &apiError{
				status: 401, kind: kindInvalid, code: "invalid_api_key", message: message,
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unlocked protects a server without keys. A page of any site can make the site's own name lead to
// this machine, and then reads the answers of this server as if they were the site's (DNS
// rebinding). So what agents remember is given only to requests that name this machine by an
// address, as localhost, or by the name of a configured origin.
func (s *Server) unlocked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPrivate(r.URL.Path) && !s.isNamed(r.Host) {
			s.fail(w.(*response), &apiError{
				status: 403, kind: kindInvalid, code: "host_not_allowed",
				message: "this server has no API keys, so it answers here only to requests that " +
					"name it by an address or as localhost; its operator can set keys, or allow " +
					"this name as an origin",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isPrivate says whether a path leads to what agents remember or to the server's state.
func isPrivate(path string) bool {
	return strings.HasPrefix(path, "/v1/agents") || strings.HasPrefix(path, "/admin/") ||
		strings.HasPrefix(path, "/v1/responses/")
}

// isNamed says whether a request's Host is an address, localhost, or the host of a configured
// origin.
func (s *Server) isNamed(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	if net.ParseIP(u.Hostname()) != nil || isLoopback("http://"+host) {
		return true
	}
	return slices.ContainsFunc(s.cfg.Origins, func(origin string) bool {
		o, err := url.Parse(origin)
		return origin == "*" || err == nil && o.Hostname() != "" && o.Hostname() == u.Hostname()
	})
}

// bearer returns the key in the Authorization header.
func bearer(h http.Header) (string, bool) {
	scheme, key, ok := strings.Cut(h.Get("Authorization"), " ")
	return strings.TrimSpace(key), ok && strings.EqualFold(scheme, "Bearer")
}

// isOpen says whether a path needs no key.
func isOpen(path string) bool { return path == "/" || isHealth(path) }

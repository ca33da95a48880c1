package server

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// authenticated demands a key for everything except health checks and the status page, which itself
// has to ask its reader for the key. The SDKs of OpenAI send a key as Authorization: Bearer, those
// of Anthropic as x-api-key; every route takes either.
//
// On a server without keys, everybody is the one principal, and knows what the operator may know
// unless the operator has a key.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, ring := w.(*response), s.keys.Load()
		x.caller = caller{seesNames: ring.keyless && !ring.guarded}
		if isKeyless(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if err := s.identify(ring, x, r); err != nil {
			s.fail(x, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// identify sets the caller of a request, or returns the error that refuses it.
func (s *Server) identify(ring *keyring, x *response, r *http.Request) error {
	if !ring.keyless || ring.guarded {
		key, err := apiKey(r.Header)
		if err == nil && (!ring.keyless || key != "") {
			x.caller, err = ring.callerOf(key, r.URL.Path)
		}
		if err != nil {
			return err
		}
	}
	if ring.keyless && !x.caller.operator {
		return s.checkHost(r)
	}
	return nil
}

// callerOf returns the caller whose key a request for a path has, or the error that refuses it.
func (k *keyring) callerOf(key, path string) (caller, error) {
	c, ok := k.find(key)
	switch {
	case !ok && k.keyless:
		return caller{}, nil // clients send some key to servers that need none
	case key == "":
		return c, unauthorized("this server needs an API key: send it as " +
			"Authorization: Bearer KEY or as x-api-key: KEY")
	case !ok:
		return c, unauthorized("the API key is not one of this server's")
	case c.operator && !isForOperator(path):
		return c, &apiError{
			status: 403, kind: kindInvalid, code: "operator_key",
			message: "this key is the operator's, for /metrics and /admin; it has no agents and " +
				"gets no answers",
		}
	}
	return c, nil
}

func unauthorized(message string) error {
	return &apiError{status: 401, kind: kindInvalid, code: "invalid_api_key", message: message}
}

// apiKey returns the key of a request, "" if it has none. All that it sends must be the same: a
// proxy that looks at one of two keys and a server that looks at the other would not mean the same
// principal.
func apiKey(h http.Header) (string, error) {
	var key string
	found := false
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		for _, value := range h.Values(name) {
			if name == "Authorization" {
				var ok bool
				if value, ok = bearer(value); !ok {
					continue
				}
			}
			if found && value != key {
				return "", unauthorized("the request has two different API keys")
			}
			key, found = value, true
		}
	}
	return key, nil
}

// isForOperator reports whether a path is for the operator's key.
func isForOperator(path string) bool {
	return path == "/metrics" || strings.HasPrefix(path, "/admin/")
}

// checkHost protects a server without keys. A page of any site can make the site's own name lead to
// this machine, and then reads the answers of this server as if they were the site's (DNS
// rebinding). So what agents remember is given only to requests that name this machine by an
// address, as localhost, or by the name of a configured origin.
func (s *Server) checkHost(r *http.Request) error {
	if !isPrivate(r.URL.Path) || s.isNamed(r.Host) {
		return nil
	}
	return &apiError{
		status: 403, kind: kindInvalid, code: "host_not_allowed",
		message: "this server has no API keys, so it answers here only to requests that " +
			"name it by an address or as localhost; its operator can set keys, or allow " +
			"this name as an origin",
	}
}

// isPrivate reports whether a path leads to what agents remember or to the server's state.
func isPrivate(path string) bool {
	return strings.HasPrefix(path, "/v1/agents") || strings.HasPrefix(path, "/admin/") ||
		strings.HasPrefix(path, "/v1/responses/")
}

// isNamed reports whether a request's Host is an address, localhost, or the host of a configured
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

// bearer returns the key in the value of an Authorization header.
func bearer(value string) (string, bool) {
	scheme, key, ok := strings.Cut(value, " ")
	return strings.TrimSpace(key), ok && strings.EqualFold(scheme, "Bearer")
}

// isKeyless reports whether a path needs no key. A path that is not clean is not a health check,
// even if it begins like one.
func isKeyless(p string) bool { return p == "/" || isHealth(p) && p == path.Clean(p) }

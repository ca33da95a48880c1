package server

import (
	"net/http"
	"slices"
)

// exposedHeaders are the headers that a page may read.
const exposedHeaders = "Location, Request-Id, Retry-After, Server-Timing, X-Cache-Miss, " +
	"X-Cache-Tier, X-Cached-Tokens, X-Durable, X-Max-Tokens, X-Request-ID, " +
	"X-Request-Latency-Ms, X-Restored-Bytes, X-Should-Retry, X-System-Line-Cut, X-Unheld"

// cors lets pages of the allowed origins read the answers. Requests that do not come from a page
// pass unchanged. Pages from this machine's loopback addresses are always allowed, and any other
// origin must be configured: a server without a key must not answer to every page that its user
// happens to have open.
func cors(allowed []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		ok := origin != "" && (isLoopback(origin) ||
			slices.Contains(allowed, origin) || slices.Contains(allowed, "*"))
		if ok {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", exposedHeaders)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if ok {
				h.Set("Access-Control-Allow-Methods", "DELETE, GET, POST")
				h.Set("Access-Control-Allow-Headers",
					r.Header.Get("Access-Control-Request-Headers"))
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !ok && origin != "" && r.Method != http.MethodGet && r.Method != http.MethodHead &&
			!isSame(origin, r.Host) {
			// A browser lets any page post and only keeps the answer from it. This check keeps a
			// foreign page from making the model work.
			e := &apiError{
				status: 403, kind: kindInvalid, code: "origin_not_allowed",
				message: "pages of this origin may not use the server; " +
					"its operator can allow the origin",
			}
			e.write(w.(*response))
			return
		}
		next.ServeHTTP(w, r)
	})
}

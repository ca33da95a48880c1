package server

import (
	"net"
	"net/url"
	"strings"
)

// isSame reports whether a page of the origin came from this server. A host name that is not this
// machine's own proves nothing, because a foreign site's name can be made to lead here. An address
// cannot.
func isSame(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host && net.ParseIP(u.Hostname()) != nil
}

// isLoopback reports whether an origin is on this machine.
func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1" ||
		strings.HasSuffix(host, ".localhost")
}

// Package peer has what is to be known of who is at the other end of a connection.
package peer

import (
	"crypto/x509"
	"errors"
	"net"
)

// Roots are the authorities that may have signed a server's certificate: the system's and, beside
// them, those of certificates in PEM.
func Roots(more []byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(more) {
		return nil, errors.New("there is no certificate in PEM in it")
	}
	return roots, nil
}

// Loopback reports whether a host is this machine itself. It does not resolve names: what a name
// means can change between the check and the load.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

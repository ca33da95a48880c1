package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"gotest.tools/v3/assert"

	"loadstone/internal/broker"
)

// certificate writes one of 127.0.0.1 and its key, and is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	assert.NilError(t, err)
	is := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "NATS"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, is, is, &private.PublicKey, private)
	assert.NilError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	assert.NilError(t, err)
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		assert.NilError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

// configured starts a NATS server with a configuration.
func configured(t *testing.T, config string) string {
	t.Helper()
	s, err := broker.Serve("127.0.0.1:0", written(t, config))
	assert.NilError(t, err)
	t.Cleanup(s.Close)
	return s.URL
}

func written(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "nats.conf")
	assert.NilError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// account is the configuration of a server that knows users by credentials that an operator's
// account has signed, and a file of such credentials.
func account(t *testing.T) (config, creds string) {
	t.Helper()
	keys := func(make func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
		pair, err := make()
		assert.NilError(t, err)
		public, err = pair.PublicKey()
		assert.NilError(t, err)
		return pair, public
	}
	signed := func(claims jwt.Claims, by nkeys.KeyPair) string {
		text, err := claims.Encode(by)
		assert.NilError(t, err)
		return text
	}
	operator, operatorKey := keys(nkeys.CreateOperator)
	owner, ownerKey := keys(nkeys.CreateAccount)
	user, userKey := keys(nkeys.CreateUser)
	seed, err := user.Seed()
	assert.NilError(t, err)
	text, err := jwt.FormatUserConfig(signed(jwt.NewUserClaims(userKey), owner), seed)
	assert.NilError(t, err)
	return fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: {%s: %s}\n",
		signed(jwt.NewOperatorClaims(operatorKey), operator), ownerKey,
		signed(jwt.NewAccountClaims(ownerKey), operator)), written(t, string(text))
}

// A NATS server's own means decide who may connect: users and passwords, tokens, credentials, each
// over TLS or without. A client without valid credentials gets an error that says so.
func TestAccess(t *testing.T) {
	cert, key := certificate(t)
	other, _ := certificate(t)
	withTLS := fmt.Sprintf("tls {cert_file: %q, key_file: %q}\n", cert, key)
	const users, token = "authorization {user: me, password: secret}\n", "authorization {token: secret}\n"
	signed, creds := account(t)
	_, strangers := account(t)
	const refused = "it refuses these credentials, or wants some and was given none"
	for _, c := range []struct {
		config string
		scheme string
		user   string
		access broker.Access
		want   string // of the error; "": none
	}{
		{users, "nats", "me:secret@", broker.Access{}, ""},
		{users, "nats", "me:wrong@", broker.Access{}, "nats://me:xxxxx@HOST: " + refused},
		{users, "nats", "", broker.Access{}, refused},
		{token, "nats", "secret@", broker.Access{}, ""},
		{token, "nats", "wrong@", broker.Access{}, "nats://xxxxx@HOST: " + refused},
		{signed, "nats", "", broker.Access{Creds: creds}, ""},
		{signed, "nats", "", broker.Access{Creds: strangers}, refused},
		{signed, "nats", "", broker.Access{}, refused},
		{users + withTLS, "tls", "me:secret@", broker.Access{CA: cert}, ""},
		{users + withTLS, "nats", "me:secret@", broker.Access{CA: cert}, ""},
		{users + withTLS, "tls", "me:wrong@", broker.Access{CA: cert}, "tls://me:xxxxx@HOST: " + refused},
		{signed + withTLS, "tls", "", broker.Access{CA: cert, Creds: creds}, ""},
		{users + withTLS, "tls", "me:secret@", broker.Access{}, "unknown authority: want the file of its authority's certificate"},
		{users + withTLS, "tls", "me:secret@", broker.Access{CA: other}, "unknown authority"},
		{users + withTLS, "tls", "me:secret@", broker.Access{CA: key}, "there is no certificate in PEM in it"},
		{users, "tls", "me:secret@", broker.Access{}, "it has no TLS, and TLS is wanted"},
		{users, "nats", "me:secret@", broker.Access{CA: cert}, "it has no TLS, and TLS is wanted"},
	} {
		_, host, _ := strings.Cut(configured(t, c.config), "://")
		nc, err := broker.Connect(c.scheme+"://"+c.user+host, c.access, "test")
		if c.want == "" {
			if assert.Check(t, err, "%+v", c) {
				assert.Check(t, nc.Publish("so", nil))
				assert.Check(t, nc.Flush())
				nc.Close()
			}
			continue
		}
		assert.Check(t, err != nil, "%+v", c)
		assert.Check(t, strings.Contains(fmt.Sprint(err), strings.ReplaceAll(c.want, "HOST", host)), "%+v: %v", c, err)
		assert.Check(t, !strings.Contains(fmt.Sprint(err), "secret"), "%v", err)
	}
}

// To another machine nothing goes without TLS unless that is allowed; it is refused before anything
// is sent.
func TestPlain(t *testing.T) {
	for address, plain := range map[string]bool{
		"nats://192.0.2.1:4222": true, "192.0.2.1:4222": true, "ws://192.0.2.1": true,
		"nats://127.0.0.1:1,nats://192.0.2.1:4222": true, "nats://me:secret@nats.example:4222": true,
		"nats://127.0.0.1:1": false, "localhost:1": false, "nats://[::1]:1": false, "tls://127.0.0.1:1": false,
	} {
		_, err := broker.Connect(address, broker.Access{}, "test")
		assert.Check(t, errors.As(err, new(*broker.PlainError)) == plain, "%s: %v", address, err)
		assert.Check(t, errors.As(err, new(*broker.ConnectError)) != plain, "%s: %v", address, err)
		assert.Check(t, !strings.Contains(fmt.Sprint(err), "secret"), "%v", err)
	}
	for _, address := range []string{"http://127.0.0.1", "nats://", "nats://a b"} {
		_, err := broker.Connect(address, broker.Access{}, "test")
		assert.Check(t, strings.Contains(fmt.Sprint(err), "no address of a NATS server"), "%s: %v", address, err)
	}
}

// A server that other machines reach knows its clients, whatever its configuration is called.
func TestServeToOthers(t *testing.T) {
	cert, key := certificate(t)
	for config, open := range map[string]bool{
		"port: -1\n":                  true,
		"host: 0.0.0.0, port: -1\n":   true,
		"host: 127.0.0.1, port: -1\n": false,
		"port: -1, authorization {user: me, password: secret}\n":                                              false,
		"port: -1, accounts {A: {users: [{user: a, password: b}]}}, no_auth_user: a\n":                        true,
		fmt.Sprintf("port: -1, tls {cert_file: %q, key_file: %q}\n", cert, key):                               true,
		fmt.Sprintf("port: -1, tls {cert_file: %q, key_file: %q, ca_file: %[1]q, verify: true}\n", cert, key): false,
	} {
		s, err := broker.Serve("", written(t, config))
		if err == nil {
			s.Close()
		}
		assert.Check(t, errors.As(err, new(*broker.OpenError)) == open, "%s: %v", config, err)
		assert.Check(t, open || err == nil, "%s: %v", config, err)
	}
	_, err := broker.Serve("192.0.2.1:0", written(t, "host: 127.0.0.1\n"))
	assert.Assert(t, errors.As(err, new(*broker.OpenError)), "%v", err)
	for _, address := range []string{"4222", "127.0.0.1:nats"} {
		_, err = broker.Serve(address, "")
		assert.ErrorContains(t, err, "want one like 127.0.0.1:4222")
	}
}

// A NATS server of ours listens on loopback, or with a configuration.
func TestServe(t *testing.T) {
	_, err := broker.Serve("0.0.0.0:0", "")
	assert.ErrorContains(t, err, "anybody who can connect could tell the workers what to load")
	_, err = broker.Connect("nats://me:secret@127.0.0.1:1", broker.Access{}, "x")
	assert.ErrorContains(t, err, "no NATS server at nats://me:xxxxx@127.0.0.1:1: nothing answers there")
}

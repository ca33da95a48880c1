// Package broker connects to NATS servers, over which workers get their orders and which keep
// agents' memories, and runs one in this process. Nothing goes to another machine without TLS, and
// nobody connects from one without being known, unless that is allowed.
package broker

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"loadstone/internal/files"
	"loadstone/internal/peer"
)

// An Access is what a NATS server wants of its clients, beside what is in its URL.
type Access struct {
	Creds string // file of a user's credentials
	CA    string // file with the certificate of the server's authority
	Plain bool   // a server on another machine need not have TLS
}

// Connect connects to a NATS server, or one of several whose addresses have commas in between. A
// connection that is lost is made again for as long as it takes. Over one goes what is asked of the
// server under test, its answers and its API key, so one that leaves this machine has TLS (tls://
// or an authority) unless Access.Plain allows it without; otherwise the error is a PlainError.
func Connect(address string, a Access, name string) (*nats.Conn, error) {
	options := []nats.Option{nats.Name(name), nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond), nats.Timeout(3 * time.Second)}
	if a.Creds != "" {
		options = append(options, nats.UserCredentials(a.Creds))
	}
	encrypted, err := a.encrypts(address)
	switch {
	case err != nil:
		return nil, err
	case a.CA != "":
		text, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, err
		}
		roots, err := peer.Roots(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.CA, err)
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	case encrypted:
		options = append(options, nats.Secure())
	case !a.Plain: // those that it names may be on other machines
		options = append(options, nats.IgnoreDiscoveredServers())
	}
	nc, err := nats.Connect(address, options...)
	if err != nil {
		return nil, &ConnectError{redacted(address), err}
	}
	return nc, nil
}

// encrypts tells whether every connection to an address has TLS.
func (a *Access) encrypts(address string) (bool, error) {
	all := true
	for one := range strings.SplitSeq(address, ",") {
		u, err := natsURL(one)
		if err != nil {
			return false, err
		}
		encrypted := a.CA != "" || u.Scheme == "tls" || u.Scheme == "wss"
		if !encrypted && !a.Plain && !peer.Loopback(u.Hostname()) {
			return false, &PlainError{u.Host}
		}
		all = all && encrypted
	}
	return all, nil
}

// natsURL is one address of a NATS server; nats:// may be left out.
func natsURL(one string) (*url.URL, error) {
	one = strings.TrimSpace(one)
	if !strings.Contains(one, "://") {
		one = "nats://" + one
	}
	u, err := url.Parse(one)
	if err != nil || u.Hostname() == "" ||
		!slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		return nil, errors.New("that is no address of a NATS server; want one like " +
			"nats://127.0.0.1:4222")
	}
	return u, nil
}

// redacted is an address without what is secret in it. What stands in place of a password may be a
// token.
func redacted(address string) string {
	var all []string
	for one := range strings.SplitSeq(address, ",") {
		u, err := natsURL(one)
		if err != nil {
			return "an address that is none"
		}
		if _, has := u.User.Password(); u.User != nil && !has {
			u.User = url.User("xxxxx")
		}
		all = append(all, u.Redacted())
	}
	return strings.Join(all, ",")
}

// A Server is a NATS server in this process.
type Server struct {
	URL    string // for its clients on this machine
	s      *server.Server
	unlock func() // lets another server have its directory; nil where it has none
}

// maxMessage is the bytes of a message that a server of ours takes: an answer and its times fit.
const maxMessage = 8 << 20

// Serve starts a NATS server at an address such as 127.0.0.1:4222. config, unless "", is a file in
// NATS's own form. On an address that is not on loopback it must authenticate its clients, by
// users, tokens, keys or certificates, because a client that can publish decides what the workers
// load.
func Serve(address, config string) (*Server, error) {
	return serve(address, config, "")
}

// ServeStore is Serve with JetStream, which keeps objects in a directory: agents' memories, which
// every client can read and change. Each write is on disk when its answer goes out, unless the
// configuration has a sync_interval.
func ServeStore(address, config, dir string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := files.OS{}.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, files.ErrLocked) {
		return nil, fmt.Errorf("%s is another server's that runs", dir)
	}
	if err != nil {
		return nil, err
	}
	s, err := serve(address, config, dir)
	if err != nil {
		unlock()
		return nil, err
	}
	s.unlock = unlock
	return s, nil
}

// serve starts a NATS server, with JetStream in the directory store unless that is "".
func serve(address, config, store string) (*Server, error) {
	options := &server.Options{}
	if config != "" {
		if err := options.ProcessConfigFile(config); err != nil {
			return nil, err
		}
	}
	if store != "" {
		options.JetStream, options.StoreDir = true, store
		options.SyncAlways = options.SyncAlways || options.SyncInterval == 0
	}
	if address != "" {
		if err := listenOn(options, address); err != nil {
			return nil, err
		}
	}
	options.NoSigs, options.NoLog = true, true
	if store == "" || options.MaxPayload == 0 { // all but objects come in one message each
		options.MaxPayload = maxMessage
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	is, err := s.Varz(nil)
	if err != nil {
		return nil, err
	}
	known := is.AuthRequired && options.NoAuthUser == "" || is.TLSVerify
	if !known && !peer.Loopback(is.Host) {
		return nil, &OpenError{net.JoinHostPort(is.Host, strconv.Itoa(max(is.Port, 0))), store != ""}
	}
	if err := free(options); err != nil {
		return nil, err
	}
	s.Start()
	if store != "" && !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, fmt.Errorf("the NATS server cannot keep objects in %s", store)
	}
	if !s.ReadyForConnections(5 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server does not listen: is the address in use?")
	}
	return &Server{URL: s.ClientURL(), s: s}, nil
}

// listenOn lets a server listen on an address; port 0 is one that nobody uses.
func listenOn(options *server.Options, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		options.Port, err = strconv.Atoi(port)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on; want one like 127.0.0.1:4222", address)
	}
	if options.Host = host; options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	return nil
}

// free fails where a server could not listen, which it would not say itself.
func free(options *server.Options) error {
	if options.Port == server.RANDOM_PORT {
		return nil
	}
	host, port := cmp.Or(options.Host, server.DEFAULT_HOST), cmp.Or(options.Port, server.DEFAULT_PORT)
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("the NATS server cannot listen: %w", err)
	}
	return l.Close()
}

// Close ends the server.
func (s *Server) Close() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
	if s.unlock != nil {
		s.unlock()
	}
}

// An OpenError says that a server would take orders from anybody.
type OpenError struct {
	Address string
	Store   bool // it keeps agents' memories
}

func (e *OpenError) Error() string {
	could := "tell the workers what to load"
	if e.Store {
		could = "read and change agents' memories"
	}
	return fmt.Sprintf("%s is not on loopback: anybody who can connect could %s; "+
		"want a configuration of NATS with users, or with TLS that checks its clients' certificates",
		e.Address, could)
}

// A PlainError says that what goes to a NATS server on another machine would not be encrypted.
type PlainError struct{ Host string }

func (e *PlainError) Error() string {
	return fmt.Sprintf("the NATS server %s is not on this machine, and whoever is on the way there "+
		"could read prompts, answers and API keys: want tls:// in its address", e.Host)
}

// A ConnectError says that a NATS server cannot be used.
type ConnectError struct {
	URL string // without what is secret in it
	Err error
}

func (e *ConnectError) Error() string {
	why := e.Err.Error()
	switch {
	case errors.Is(e.Err, nats.ErrNoServers):
		why = "nothing answers there; loadstone workers -n 4 starts one, with workers"
	case errors.Is(e.Err, nats.ErrAuthorization):
		why = "it refuses these credentials, or wants some and was given none"
	case errors.Is(e.Err, nats.ErrSecureConnWanted):
		why = "it has no TLS, and TLS is wanted"
	case errors.As(e.Err, new(x509.UnknownAuthorityError)):
		why += ": want the file of its authority's certificate"
	}
	return fmt.Sprintf("no NATS server at %s: %s", e.URL, why)
}

func (e *ConnectError) Unwrap() error { return e.Err }

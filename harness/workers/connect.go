package workers

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"loadstone/harness"
)

// An Access is what a NATS server wants of its clients, beside what is in its URL.
type Access struct {
	Creds string // file of a user's credentials
	CA    string // file with the certificate of the server's authority
}

// Connect connects to a NATS server. A connection that is lost is made again for as long as it takes.
func Connect(address string, a Access, name string) (*nats.Conn, error) {
	options := []nats.Option{nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.Timeout(3 * time.Second)}
	if a.Creds != "" {
		options = append(options, nats.UserCredentials(a.Creds))
	}
	if a.CA != "" {
		options = append(options, nats.RootCAs(a.CA))
	}
	nc, err := nats.Connect(address, options...)
	if err != nil {
		return nil, &ConnectError{redacted(address), err}
	}
	return nc, nil
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	return u.Redacted()
}

// A Server is a NATS server in this process.
type Server struct {
	URL string // for its clients on this machine
	s   *server.Server
}

// maxMessage is the bytes of a message that a server of ours takes: an answer and its times fit.
const maxMessage = 8 << 20

// Serve starts a NATS server at an address such as 127.0.0.1:4222. config, unless "", is a file in
// NATS's own form, with what the server wants of its clients; without it the address must be on
// loopback, since whoever can publish decides what the workers load.
func Serve(address, config string) (*Server, error) {
	options := &server.Options{}
	if config != "" {
		if err := options.ProcessConfigFile(config); err != nil {
			return nil, err
		}
	}
	if address != "" {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("%q is no address to listen on; want one like 127.0.0.1:4222", address)
		}
		if config == "" && !harness.Loopback(host) {
			return nil, &OpenError{address}
		}
		if options.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("%q is no address to listen on; want one like 127.0.0.1:4222", address)
		}
		if options.Host = host; options.Port == 0 {
			options.Port = server.RANDOM_PORT
		}
	}
	options.NoSigs, options.NoLog = true, true
	options.MaxPayload = maxMessage
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server does not listen: is the address in use?")
	}
	return &Server{URL: s.ClientURL(), s: s}, nil
}

// Close ends the server.
func (s *Server) Close() { s.s.Shutdown(); s.s.WaitForShutdown() }

// An OpenError says that a server would take orders from anybody.
type OpenError struct{ Address string }

func (e *OpenError) Error() string {
	return fmt.Sprintf("%s is not on loopback: anybody who can connect could tell the workers what to load; "+
		"want a configuration of NATS with users or TLS", e.Address)
}

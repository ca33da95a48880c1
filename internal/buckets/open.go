package buckets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"loadstone/internal/broker"
	"loadstone/internal/objects"
	"loadstone/internal/peer"
)

// Open opens the object store at an address. What it wants beside that is in access, and for S3 in
// the environment: see [Environment]. The error is an AddressError where the address is none, a
// PlainError where it, and access, would let memories go over a network unencrypted.
func Open(ctx context.Context, address string, access broker.Access) (objects.Bucket, error) {
	switch scheme, _, _ := strings.Cut(address, "://"); scheme {
	case "s3":
		c, err := parseS3(address, os.Getenv)
		if err != nil {
			return nil, err
		}
		c.CA, c.Plain = cmp.Or(access.CA, c.CA), access.Plain
		return OpenS3(ctx, c)
	case "nats", "tls", "ws", "wss":
		server, c, err := parseNATS(address)
		if err != nil {
			return nil, err
		}
		nc, err := broker.Connect(server, access, "loadstone serve")
		if e, ok := errors.AsType[*broker.ConnectError](err); ok && errors.Is(err, nats.ErrNoServers) {
			return nil, fmt.Errorf("no NATS server at %s: nothing answers there; loadstone store starts "+
				"one", e.URL)
		}
		if err != nil {
			return nil, err
		}
		b, err := OpenNATS(ctx, nc, c)
		if err != nil {
			nc.Close()
			return nil, err
		}
		return b, nil
	default:
		return nil, &AddressError{"want s3://BUCKET/PREFIX or nats://HOST:4222/BUCKET"}
	}
}

// Environment lists the variables that an S3 store's client reads, as Amazon's own programs do.
func Environment() []string {
	return []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
		"AWS_CA_BUNDLE"}
}

// parseS3 reads the address of a bucket. What it does not say it takes from the environment.
func parseS3(address string, getenv func(string) string) (S3Config, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	u, err := url.Parse(address)
	if err != nil { // not the error itself, which has the address, in which there may be a password
		return S3Config{}, &AddressError{"want s3://BUCKET/PREFIX"}
	}
	if u.User != nil {
		return S3Config{}, &AddressError{"others can see what is in an address: want the credentials " +
			"in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a file of profiles"}
	}
	c := S3Config{
		Bucket:   u.Host,
		Prefix:   strings.Trim(u.Path, "/"),
		Endpoint: first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		Region:   first("AWS_REGION", "AWS_DEFAULT_REGION"),
		CA:       getenv("AWS_CA_BUNDLE"),
	}
	for key, values := range u.Query() {
		switch key {
		case "endpoint":
			c.Endpoint = values[0]
		case "region":
			c.Region = values[0]
		default:
			return S3Config{}, &AddressError{fmt.Sprintf("%q means nothing in it; endpoint and "+
				"region do", key)}
		}
	}
	if c.Bucket == "" || u.Fragment != "" {
		return S3Config{}, &AddressError{"want s3://BUCKET/PREFIX"}
	}
	if c.Prefix != "" {
		if err := checkName(c.Prefix); err != nil {
			return S3Config{}, &AddressError{err.Error()}
		}
	}
	return c, nil
}

// parseNATS splits an address into that of one server, or several with commas in between, and which
// bucket it is there.
func parseNATS(address string) (servers string, c NATSConfig, err error) {
	wrong := &AddressError{"want nats://HOST:4222/BUCKET, where BUCKET has letters, digits, _ and - " +
		"alone"}
	address, query, _ := strings.Cut(address, "?")
	at := strings.LastIndexByte(address, '/')
	servers, c.Bucket = address[:at], address[at+1:]
	if strings.HasSuffix(servers, "/") || !natsBucket.MatchString(c.Bucket) {
		return "", c, wrong
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", c, wrong
	}
	for key, value := range values {
		c.Replicas, err = strconv.Atoi(value[0])
		if key != "replicas" || err != nil || c.Replicas < 1 || c.Replicas > 5 {
			return "", c, &AddressError{fmt.Sprintf("%q means nothing in it; replicas=1 to replicas=5 "+
				"does", key)}
		}
	}
	return servers, c, nil
}

// An AddressError says what is wrong with the address of an object store, without what is secret in
// it.
type AddressError struct{ Why string }

func (e *AddressError) Error() string { return "that is no address of an object store: " + e.Why }

// A PlainError says that what goes to an object store on another machine would not be encrypted.
type PlainError struct{ Host string }

func (e *PlainError) Error() string {
	return fmt.Sprintf("the object store %s is not on this machine, and whoever is on the way there "+
		"could read agents' memories: want https:// in its endpoint", e.Host)
}

// endpoint is the host and port of an S3 store, and whether it has TLS. The error is a PlainError
// where it has none and plain does not allow that.
func endpoint(address string, plain bool) (host string, secure bool, err error) {
	if address == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, &AddressError{"its endpoint wants the form https://HOST or https://HOST:PORT"}
	}
	if u.Scheme == "http" && !plain && !peer.Loopback(u.Hostname()) {
		return "", false, &PlainError{u.Host}
	}
	return u.Host, u.Scheme == "https", nil
}

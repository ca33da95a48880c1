package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"loadstone/harness/client"
)

// checkURL makes a base URL of what the user gave. It refuses one that leads off this machine: a
// load test is an attack on anybody who did not ask for it.
func checkURL(s string, allowRemote bool) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usageError("%q is not a server's address; want one like http://127.0.0.1:8080",
			s)
	}
	if !allowRemote && !loopback(u.Hostname()) {
		return "", usageError("%s is not this machine: load is sent to loopback addresses only, "+
			"as it may bring down a server that is not yours; if it is yours, say -allow-remote",
			u.Hostname())
	}
	// Users of clients are used to giving the API's base; ours is the server's.
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	return strings.TrimRight(u.String(), "/"), nil
}

// loopback tells whether a host is this machine. It does not resolve names: what a name stands for
// can change between the check and the load.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// readyWithin is how long a server may load its model before it is given up.
const readyWithin = 5 * time.Minute

// servedModel finds the model that a server serves, or checks that the server is there where the
// user has named a model: not every server lists its models. It waits for a server that loads its
// model, and finds out, in one line, that a server is down.
func servedModel(ctx context.Context, e *env, base, named string) (string, error) {
	c := client.New(base)
	defer c.Close()
	waiting := func(reason string) {
		fmt.Fprintf(e.stderr, "waiting for %s: %s\n", base, reason)
	}
	if named == "" {
		model, err := c.FindModel(ctx, readyWithin, waiting)
		return model, unreachable(err)
	}
	_, err := c.WaitReady(ctx, readyWithin, waiting)
	if _, ok := errors.AsType[*client.NoModelsError](err); ok {
		err = nil
	}
	return named, unreachable(err)
}

// unreachable gives an error of finding a server its exit code, and says what to do about it.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		err = fmt.Errorf("%w; is the server running? (loadstone serve -addr 127.0.0.1:8080)", err)
	}
	if _, ok := errors.AsType[*client.NoModelsError](err); ok {
		err = fmt.Errorf("%w; name one with -model", err)
	}
	return &exitError{exitUnreachable, err}
}

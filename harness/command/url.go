package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/internal/peer"
)

// checkURL makes a base URL of what the user gave. It refuses one that leads off this machine,
// unless the user says that it is theirs.
func checkURL(s string, allowRemote bool) (string, error) {
	base, err := harness.BaseURL(s, allowRemote)
	if _, remote := errors.AsType[*harness.RemoteError](err); remote {
		err = fmt.Errorf("%w; if it is yours, say -allow-remote", err)
	}
	if err != nil {
		return "", usageError("%w", err)
	}
	return base, nil
}

// readyWithin is how long a server may load its model before it is given up.
const readyWithin = 5 * time.Minute

// servedModel finds the model that a server serves, or checks that the server is there where the
// user has named a model: not every server lists its models. It waits for a server that loads its
// model, finds out, in one line, that a server is down, and chooses the target's API.
func servedModel(ctx context.Context, e *env, t *harness.Target, named string) (string, error) {
	base := t.URL
	c := t.NewClient(base)
	defer c.Close()
	waiting := func(reason string) {
		fmt.Fprintf(e.stderr, "waiting for %s: %s\n", base, reason)
	}
	models, err := c.WaitReady(ctx, readyWithin, waiting)
	if _, ok := errors.AsType[*client.NoModelsError](err); ok && named != "" {
		err = nil
	}
	if err != nil {
		return "", unreachable(err)
	}
	if err := chooseAPI(ctx, t); err != nil || named != "" {
		return named, err
	}
	if len(models) > 0 {
		return models[0], nil
	}
	c.API = t.API
	model, err := c.FindModel(ctx, readyWithin, nil)
	return model, unreachable(err)
}

// unreachable gives an error of finding a server its exit code, and says what to do about it.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	var unknown x509.UnknownAuthorityError
	var unfit x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown), errors.As(err, &unfit), errors.As(err, &invalid):
		err = fmt.Errorf("%w; say whom to trust with -ca FILE, or trust anybody with -insecure", err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"),
		strings.Contains(err.Error(), "does not look like a TLS handshake"):
		err = fmt.Errorf("%w; its address begins with http://", err)
	case strings.Contains(err.Error(), "malformed HTTP response"):
		err = fmt.Errorf("%w; does its address begin with https://?", err)
	default:
		err = unanswered(err)
	}
	return &exitError{exitUnreachable, err}
}

// serveAt is the command that serves at an address of this machine, in parentheses, "" elsewhere.
func serveAt(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Port() == "" || !peer.Loopback(u.Hostname()) {
		return ""
	}
	return fmt.Sprintf(" (loadstone serve -addr %s)", u.Host)
}

// unanswered says what to do about a server that does not answer as one does.
func unanswered(err error) error {
	if missing, ok := errors.AsType[*client.UnreachableError](err); ok {
		err = fmt.Errorf("%w; is the server running?%s", err, serveAt(missing.URL))
	}
	if _, ok := errors.AsType[*client.NoModelsError](err); ok {
		if hinted := hint(err); hinted != err {
			return hinted
		}
		err = fmt.Errorf("%w; name one with -model", err)
	}
	return err
}

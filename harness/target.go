package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/internal/peer"
)

// A Target is the server under test: one that runs already, or a command that is started for the
// test and stopped after it.
type Target struct {
	// URL is the address of a server that runs, such as http://127.0.0.1:8080.
	URL string

	// Command is a program and its arguments that serve: it prints a line with "listening on URL"
	// on standard output once its port is open. It is waited for until it is ready, by
	// /health/ready or, if it has no such route, by its first answer. It gets a pipe as standard
	// input that ends when this process does; a Go program follows by proc.FollowParent.
	Command []string

	Model   string        // as the server calls it; "" lets it decide: see Client.FindModel
	API     client.API    // in which it is asked; "" is client.Chat: see Client.FindAPI
	Forms   []client.API  // in which what was recorded in them is asked, instead of API
	Key     string        // sent as a bearer token unless ""
	Headers []load.Header // sent with every request
	Body    load.Body     // how the bodies of requests differ from the usual
	TLS     *tls.Config   // for an address that begins with https; nil: the system's own settings
	Timeout time.Duration // of one request; 0: two minutes

	// Remote allows an address off this machine. A load test is an attack on anybody who did not
	// ask for it.
	Remote bool

	// Log is given what the command writes to standard error; nil keeps the end of it for errors.
	Log io.Writer
}

// startWithin is how long a target may take until it is ready, model loading included.
const startWithin = 5 * time.Minute

// Open starts the target, if it is a command, waits until it is ready and returns a harness for it,
// to be closed. The error of a command that ends before it is ready has its last words in it.
func Open(ctx context.Context, t Target) (*StressTestHarness, error) {
	h := &StressTestHarness{}
	late := fmt.Errorf("the server was not ready within %v", startWithin)
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, late)
	defer cancel()
	var base string
	switch {
	case t.URL == "" && len(t.Command) == 0:
		return nil, errors.New("the target has neither an address nor a command")
	case t.URL != "" && len(t.Command) > 0:
		return nil, errors.New("the target has both an address and a command; want one of them")
	case t.URL != "":
		var err error
		if base, err = BaseURL(t.URL, t.Remote); err != nil {
			return nil, err
		}
	default:
		log := t.Log
		if log == nil {
			log = io.Discard
		}
		h.log = &watched{to: log}
		p, err := proc.Start(ctx, h.log, t.Command[0], t.Command[1:]...)
		if err != nil {
			return nil, &StartError{t.Command[0], err}
		}
		h.Process, base = p, p.URL
	}
	h.Client = t.NewClient(base)
	return h, nil
}

// NewClient makes a client of the target at an address, that of its URL or of a process of its
// Command.
func (t Target) NewClient(base string) *client.Client {
	c := client.NewTLS(base, t.TLS)
	c.API, c.Forms, c.Key, c.Headers, c.Body = t.API, t.Forms, t.Key, t.Headers, t.Body
	c.Timeout, c.Model = t.Timeout, t.Model
	return c
}

// A StartError says that a target's command did not become a server that is ready.
type StartError struct {
	Command string
	Err     error // its last words
}

func (e *StartError) Error() string { return fmt.Sprintf("%s did not start: %v", e.Command, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// Close drops connections and stops a target that was started. The error says how the server ended,
// unless it did so cleanly, and what it had to say of a panic.
func (h *StressTestHarness) Close() error {
	if h.Client != nil {
		h.Client.Close()
	}
	if h.Process == nil {
		return nil
	}
	err := h.stop()
	if text := h.log.panic(); text != "" {
		err = errors.Join(err, fmt.Errorf("the server panicked:\n%s", text))
	}
	return err
}

// stop stops a target that was started.
func (h *StressTestHarness) stop() error {
	select {
	case <-h.Process.Exited():
		return fmt.Errorf("the server died: %s", h.Process.ExitStatus())
	default:
	}
	err := h.Process.Stop(30 * time.Second)
	// A server that does not handle the signal ends by it.
	if err != nil && h.Process.ExitStatus() != syscall.SIGTERM.String() {
		return fmt.Errorf("the server did not end cleanly: %w", err)
	}
	return nil
}

// New is Open for a test or benchmark. The target ends with the test, which fails if the server
// could not be started, died, panicked or did not end cleanly.
func New(tb testing.TB, t Target) *StressTestHarness {
	tb.Helper()
	h, err := Open(tb.Context(), t)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// A RemoteError says that an address is not this machine's.
type RemoteError struct{ Host string }

func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s is not this machine: load is sent to loopback addresses only, as it may "+
		"bring down a server that is not yours", e.Host)
}

// BaseURL makes the base URL of a server out of what a person gives, such as localhost:8080 or
// http://127.0.0.1:8080/v1. An address off this machine is a RemoteError unless remote allows it.
func BaseURL(s string, remote bool) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not a server's address; want one like http://127.0.0.1:8080", s)
	}
	if !remote && !peer.Loopback(u.Hostname()) {
		return "", &RemoteError{u.Hostname()}
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q has more than a server's address: what comes after %s is no part of "+
			"it", s, u.Path)
	}
	// Clients are used to giving the API's base, or the route itself; ours is the server's.
	u.Path = strings.TrimRight(u.Path, "/")
	for _, route := range []string{"/chat/completions", "/completions", "/messages", "/responses",
		"/models"} {
		if base, ok := strings.CutSuffix(u.Path, "/v1"+route); ok {
			u.Path = base
		}
	}
	u.Path = strings.TrimSuffix(u.Path, "/v1")
	return strings.TrimRight(u.String(), "/"), nil
}

// watched passes on what a server writes and keeps what it says from a panic on.
type watched struct {
	to io.Writer

	mu   sync.Mutex
	text []byte
}

// keptLog is how much of a server's last words is kept.
const keptLog = 64 << 10

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.text = append(w.text, p...)
	if n := len(w.text) - keptLog; n > 0 {
		w.text = append(w.text[:0], w.text[n:]...)
	}
	w.mu.Unlock()
	return w.to.Write(p)
}

// panic is what was said from a panic or a data race on, "" where there was none.
func (w *watched) panic() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sign := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
		if i := bytes.Index(w.text, []byte(sign)); i >= 0 {
			return string(w.text[i:])
		}
	}
	return ""
}

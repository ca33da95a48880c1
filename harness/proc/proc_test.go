package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// A server is started when it says that it is ready, not when it listens. What it uses is known,
// and it ends when it is asked to.
func TestStart(t *testing.T) {
	var asked atomic.Int64
	health := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" || asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer health.Close()
	var log bytes.Buffer
	p, err := Start(t.Context(), &log, "sh", "-c", `echo loading >&2; echo "listening on $0"; exec sleep 600`, health.URL)
	assert.NilError(t, err)
	assert.Equal(t, p.URL, health.URL)
	assert.Equal(t, asked.Load(), int64(3))
	u, err := p.Usage()
	assert.NilError(t, err)
	assert.Assert(t, u.RSS > 0 && u.Files != 0, "%+v", u)
	assert.ErrorContains(t, p.Stop(time.Minute), "terminated")
	assert.Equal(t, p.ExitStatus(), "terminated")
	assert.Equal(t, log.String(), "loading\n")
}

// A server that ends before it is ready is an error with its last words. One that is not ready when
// the context ends is killed.
func TestStartFails(t *testing.T) {
	_, err := Start(t.Context(), io.Discard, "sh", "-c", "echo starting >&2; echo no such model >&2; exit 3")
	assert.Error(t, err, "no such model")
	exit, ok := errors.AsType[*ExitError](err)
	assert.Assert(t, ok && exit.LastWords == "no such model", "%#v", err)
	_, err = Start(t.Context(), io.Discard, "sh", "-c", "exit 3")
	assert.Error(t, err, "the server ended before it was ready: exit status 3")

	impatient := errors.New("no patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(impatient) })
	_, err = Start(ctx, io.Discard, "sleep", "600")
	assert.ErrorIs(t, err, impatient)
}

// A server that does not end when it is asked to is killed.
func TestStopLosesPatience(t *testing.T) {
	health := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer health.Close()
	p, err := Start(t.Context(), io.Discard, "sh", "-c", `trap "" TERM; echo "listening on $0"; while :; do read x; done`, health.URL)
	assert.NilError(t, err)
	assert.ErrorContains(t, p.Stop(50*time.Millisecond), "did not end within 50ms of SIGTERM and was killed")
	assert.Equal(t, p.ExitStatus(), "killed")
}

// How a server ended after it was ready is known: its exit status, and its last words, which are
// the line of the panic and not the end of its stack trace.
func TestLastWords(t *testing.T) {
	health := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer health.Close()
	for _, tc := range []struct{ stderr, want string }{
		{"", ""},
		{"one\n\ntwo\n\n", "two"},
		{"one\npanic: out of blocks\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: out of blocks"},
		{"no end of line", "no end of line"},
	} {
		p, err := Start(t.Context(), io.Discard, "sh", "-c",
			`trap 'printf "$1" >&2; exit 7' TERM; echo "listening on $0"; while :; do read x; done`,
			health.URL, tc.stderr)
		assert.NilError(t, err)
		assert.ErrorContains(t, p.Stop(time.Minute), "exit status 7")
		assert.Equal(t, p.ExitStatus(), "7")
		assert.Equal(t, p.LastWords(), tc.want)
	}
}

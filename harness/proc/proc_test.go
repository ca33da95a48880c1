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

// A server is started when it says that it is ready, not when it listens; what it uses is known; and it ends when it is told.
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

// A server that ends before it is ready gives its last words, and one that is not waited for any longer is ended.
func TestStartFails(t *testing.T) {
	_, err := Start(t.Context(), io.Discard, "sh", "-c", "echo starting >&2; echo no such model >&2; exit 3")
	assert.Error(t, err, "no such model")
	_, err = Start(t.Context(), io.Discard, "sh", "-c", "exit 3")
	assert.Error(t, err, "the server ended before it was ready: exit status 3")

	impatient := errors.New("no patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(impatient) })
	_, err = Start(ctx, io.Discard, "sleep", "600")
	assert.ErrorIs(t, err, impatient)
}

// One that does not end when it is told is killed.
func TestStopLosesPatience(t *testing.T) {
	health := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer health.Close()
	p, err := Start(t.Context(), io.Discard, "sh", "-c", `trap "" TERM; echo "listening on $0"; while :; do read x; done`, health.URL)
	assert.NilError(t, err)
	assert.ErrorContains(t, p.Stop(50*time.Millisecond), "did not end within 50ms of SIGTERM and was killed")
	assert.Equal(t, p.ExitStatus(), "killed")
}

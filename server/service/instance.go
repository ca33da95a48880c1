package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/server"
)

// An instance is one call of Run.
type instance struct {
	*options
	keys     *keyReader
	source   catalog.Source
	stdout   io.Writer
	progress io.Writer // gets the state of a load that takes a while
	log      *slog.Logger
	server   *server.Server
}

// serve answers on the listener while the model loads and afterwards, until ctx or a signal ends
// it.
func (i *instance) serve(ctx context.Context, listener net.Listener) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer close(signals)
	defer signal.Stop(signals)
	defer i.rereadKeys()()
	hs := &http.Server{
		Handler: i.server,
		// The server has deadlines for bodies and for writes. A deadline for the whole would cut
		// off long streams.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(i.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	defer hs.Close()

	start := time.Now()
	m, err := i.awaitModel(ctx, served, signals)
	if m.engine == nil || err != nil {
		return err
	}
	defer m.engine.Close()
	i.ready(m, time.Since(start))

	select {
	case err := <-served:
		return err
	case <-signals:
	case <-ctx.Done():
	}
	// A second signal ends the process here, because a shell turns off the signal's default effect
	// for what it runs in the background, and because Run's own end would wait for a step of the
	// model.
	go func() {
		if s, ok := <-signals; ok {
			i.log.Warn("exiting at once", "signal", s.String())
			os.Exit(1)
		}
	}()
	return i.finish(hs, m)
}

// awaitModel loads the model, and shows how far it is. It returns without an engine as soon as the
// listener fails, with its error, or a signal comes or ctx ends.
func (i *instance) awaitModel(ctx context.Context, served <-chan error,
	signals <-chan os.Signal) (loaded, error) {
	shown := newProgress(i.progress, i.source.Name)
	defer shown.end()
	loading := make(chan loaded, 1)
	go func() { loading <- load(i.source, i.network, i.engine, shown.read) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case m := <-loading:
			return m, m.err
		case now := <-tick.C:
			i.server.Loading(shown.done.Load(), shown.total.Load())
			shown.show(now)
		case err := <-served:
			return loaded{}, err
		case <-signals: // nothing is in flight, and a load cannot be interrupted
			return loaded{}, nil
		case <-ctx.Done():
			return loaded{}, nil
		}
	}
}

// ready opens the server for requests, and says what it has and what the model lacks.
func (i *instance) ready(m loaded, took time.Duration) {
	if m.lacks != "" {
		i.log.Warn(m.lacks)
	}
	i.server.Ready(m.engine, m.text)
	st := m.engine.Stats()
	fmt.Fprintf(i.stdout,
		"loadstone: ready: %s on %s "+
			"(%d blocks of %d tokens, %s of %s KV cache%s, loaded in %.1f s)\n",
		i.source.Name, i.network.backend, st.Blocks, st.BlockTokens,
		formatBytes(m.kvBytes), m.kv, room(m.engine), took.Seconds())
	_, err := m.text.EncodeChat([]string{"user"}, []string{"Hello"}, nil, nil, 0)
	if err != nil && m.lacks == "" {
		i.log.Warn("this model cannot chat: requests with messages will be refused, and only "+
			"/v1/completions works", "reason", err)
	}
}

// rereadKeys has the keys read again whenever the process gets SIGHUP, until the function that it
// returns is called. Keys that cannot be read leave all as it was.
func (i *instance) rereadKeys() (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var done sync.WaitGroup
	done.Go(func() {
		for range hangups {
			keys, operators, err := i.keys.read()
			if err == nil {
				err = i.server.SetKeys(keys, operators)
			}
			if err != nil {
				i.log.Error("the keys were not read again; those from before are kept", "error", err)
				continue
			}
			i.log.Info("keys read again", "keys", len(keys), "operator_keys", len(operators))
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		done.Wait()
	}
}

// room says how long a request may be where the KV cache has no room for the model's whole context.
func room(e *engine.Engine) string {
	if e.Longest() == e.Context() {
		return ""
	}
	return fmt.Sprintf(": longest request %d of the model's %d tokens", e.Longest(), e.Context())
}

// finish finishes the answers in flight. The port stays open and refuses new work meanwhile.
func (i *instance) finish(hs *http.Server, m loaded) error {
	st := m.engine.Stats()
	i.log.Info("draining; another signal exits at once",
		"running", st.Running, "queued", st.Queued, "limit", i.drainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), i.drainTimeout)
	defer cancel()
	cut := i.server.Drain(ctx)

	// The engine has given every answer to its handler now. Clients that were cut off get a second
	// to hear it.
	if cut != nil {
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
	}
	if err := hs.Shutdown(ctx); err != nil && cut == nil {
		cut = err
	}
	if cut != nil {
		return fmt.Errorf("answers were cut off: the drain took longer than %v", i.drainTimeout)
	}
	i.log.Info("drained")
	return nil
}

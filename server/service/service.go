// Package service runs a server as a process: the command line, the model, the port and the
// signals.
//
//	command line --options--> catalog: model folder --load--> metal or engine/ref: model
//	                                                  |
//	signals --drain--> server: HTTP  <--Ready--  engine and engine/tokenizer
//
// The port is open while the model loads, so that a client gets a status and not a refused
// connection. Run is the whole of it; Backend and KVFormats are the rules that other programs share
// with the command line.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/internal/build"
	"loadstone/internal/objects"
	"loadstone/metal"
	"loadstone/server"
)

// Run serves until ctx ends or the process gets SIGTERM or an interrupt, and then finishes the
// answers in flight. It writes a line to stdout when the port is open and another when the model is
// ready, which programs can wait for; everything else goes to stderr. The error is one line for the
// user, and a *UsageError where the command line is at fault. It is nil after a drain in which no
// answer was cut off.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return Program{}.Run(ctx, args, stdout, stderr)
}

// A Program is a server as a process, with what it can do beside serving. The zero Program does
// nothing besides.
type Program struct {
	// Export, unless nil, begins to export spans to an OpenTelemetry collector at a URL, which the
	// flag -otlp gives. It returns what takes a span, and what sends those that are left.
	Export func(ctx context.Context, url string) (span func(server.Span), end func(), err error)
	// Store, unless nil, opens the object store at an address, which the flag -agents-store gives.
	Store func(ctx context.Context, address string, access StoreAccess) (objects.Bucket, error)
}

// A StoreAccess is what an object store wants of its clients, beside its address and what is in the
// environment.
type StoreAccess struct {
	Creds string // file of a NATS user's credentials
	CA    string // file with the certificate of the authority of the store's server
	Plain bool   // a store on another machine need not have TLS
}

// Run is the function Run, of a program that may do more.
func (p Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return &UsageError{err}
	}
	if o.version {
		fmt.Fprintln(stdout, version())
		return nil
	}
	src, err := catalog.Open(o.model)
	if err != nil {
		return &UsageError{err}
	}
	if o.network.part.Rank > 0 {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		fmt.Fprintf(stdout, "loadstone: part %d of %s\n", o.network.part.Rank, src.Name)
		return follow(ctx, src, o.network)
	}
	closeStore, err := p.openStore(ctx, o)
	if err != nil {
		return err
	}
	defer closeStore()
	reader, err := o.keys(ctx)
	if err != nil {
		return err
	}
	keys, operators, err := reader.read()
	if err != nil {
		return err
	}
	if o.engine.SealKeys, err = o.readSealKeys(); err != nil {
		return err
	}
	span, endSpans, err := p.export(ctx, o.otlp)
	if err != nil {
		return &UsageError{err}
	}
	defer endSpans()
	access, closeAccess, err := openAccessLog(o.accessLog, stderr)
	if err != nil {
		return err
	}
	defer closeAccess()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	listener, err := listen(o.addr, len(keys) > 0, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "loadstone: listening on http://%s\n", listener.Addr())
	stored, err := openResponses(o.engine.Dir, o.responses, o.engine.SealKeys)
	if err != nil {
		return err
	}
	i := &instance{
		options:  o,
		keys:     reader,
		source:   src,
		stdout:   stdout,
		progress: stderr,
		log:      log,
		server: server.New(server.Config{
			Model:        src.Name,
			Aliases:      o.aliases,
			MaxTokens:    o.maxTokens,
			Origins:      splitList(o.origins),
			MaxBody:      o.maxBody,
			Keys:         keys,
			Responses:    stored,
			OperatorKeys: operators,
			Rate:         o.rate,
			AgentRate:    o.agentRate,
			DurableWait:  o.durableWait,
			AccessLog:    accessLogger(access, o.accessFormat),
			QuietProbes:  o.quiet,
			Log:          log,
			OnSpan:       span,
		}),
	}
	if o.silent {
		i.progress = io.Discard
	}
	return i.serve(ctx, listener)
}

// export begins to export spans to a URL, unless it is "".
func (p Program) export(ctx context.Context, url string) (func(server.Span), func(), error) {
	switch {
	case url == "":
		return nil, func() {}, nil
	case p.Export == nil:
		return nil, nil, errors.New("-otlp: this program does not export spans; loadstone serve does")
	}
	span, end, err := p.Export(ctx, url)
	if err != nil {
		return nil, nil, fmt.Errorf("-otlp: %w", err)
	}
	return span, end, nil
}

// storeWait is how long a store may take to answer when a server starts.
const storeWait = 30 * time.Second

// openStore opens the object store that the options name, if they name one, for the engine.
func (p Program) openStore(ctx context.Context, o *options) (closeStore func(), err error) {
	switch {
	case o.store == "":
		return func() {}, nil
	case p.Store == nil:
		return nil, &UsageError{errors.New("-agents-store: this program keeps memories in directories " +
			"alone; loadstone serve knows object stores")}
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	b, err := p.Store(ctx, o.store, o.storeAccess)
	if err != nil {
		return nil, fmt.Errorf("-agents-store: %w", err)
	}
	o.engine.Bucket = b
	return func() { b.Close() }, nil
}

// listen opens the address. It warns if others than this machine's programs can reach it without a
// key.
func listen(addr string, keys bool, log *slog.Logger) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another process; "+
			"stop it, or give another -addr (port 0 is any free one)", addr)
	}
	if err != nil {
		return nil, err
	}
	if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && !keys {
		log.Warn("there is no API key, and the address is not this machine's own: "+
			"everybody who reaches it can use the model; -api-key-file sets keys",
			"addr", a.String())
	}
	return listener, nil
}

// openResponses opens the store of responses, which lie beside agents' memories; in RAM where those
// have no directory.
func openResponses(
	agents string, limits server.ResponseLimits, sealKeys [][]byte,
) (*server.ResponseStore, error) {
	if agents != "" {
		agents = filepath.Join(agents, "responses")
	}
	return server.OpenResponses(agents, limits, sealKeys...)
}

// A UsageError says what is wrong with a command line. Nothing was begun then.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }

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
	_, err := m.text.EncodeChat([]string{"user"}, []string{"Hello"}, nil, nil)
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

// openAccessLog opens the log, which only this user may read: it says who asked when, though not
// what.
func openAccessLog(name string, stderr io.Writer) (io.Writer, func() error, error) {
	nothing := func() error { return nil }
	switch name {
	case "":
		return nil, nothing, nil
	case "-":
		return stderr, nothing, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// accessLogger returns a logger that writes a line for each record in one of the formats, nil for
// no log.
func accessLogger(w io.Writer, format string) *slog.Logger {
	switch {
	case w == nil:
		return nil
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, nil))
	case format == "text":
		return slog.New(slog.NewTextHandler(w, nil))
	default:
		return server.LineLog(w)
	}
}

// splitList splits a list at commas and spaces.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// version returns the versions of this program, of Go and of MLX.
func version() string {
	v := "loadstone"
	if b := build.Read(); b.Version != "" {
		v += " " + b.Version
	}
	mlx := "without MLX"
	if metal.Available {
		mlx = metal.Runtime()
	}
	return fmt.Sprintf("%s, %s %s/%s, %s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH, mlx)
}

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
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

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
	return p.serve(ctx, o, src, stdout, stderr)
}

// serve opens what a server of the options needs, serves, and closes it again.
func (p Program) serve(
	ctx context.Context, o *options, src catalog.Source, stdout, stderr io.Writer,
) error {
	closeStore, err := p.openStore(ctx, o)
	if err != nil {
		return err
	}
	defer closeStore()
	keys, err := o.keys(ctx)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	c := o.config(src.Name, log)
	if c.Keys, c.OperatorKeys, err = keys.read(); err != nil {
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
	c.OnSpan = span
	access, closeAccess, err := openAccessLog(o.accessLog, stderr)
	if err != nil {
		return err
	}
	defer closeAccess()
	c.AccessLog = accessLogger(access, o.accessFormat)
	listener, err := listen(o.addr, len(c.Keys) > 0, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "loadstone: listening on http://%s\n", listener.Addr())
	c.Responses, err = openResponses(o.engine.Dir, o.responses, o.engine.SealKeys)
	if err != nil {
		return err
	}
	i := &instance{
		options:  o,
		keys:     keys,
		source:   src,
		stdout:   stdout,
		progress: stderr,
		log:      log,
		server:   server.New(c),
	}
	if o.silent {
		i.progress = io.Discard
	}
	return i.serve(ctx, listener)
}

// config returns what the options alone say of a server.
func (o *options) config(model string, log *slog.Logger) server.Config {
	return server.Config{
		Model:       model,
		Aliases:     o.aliases,
		MaxTokens:   o.maxTokens,
		Origins:     splitList(o.origins),
		MaxBody:     o.maxBody,
		Rate:        o.rate,
		AgentRate:   o.agentRate,
		DurableWait: o.durableWait,
		QuietProbes: o.quiet,
		Log:         log,
	}
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

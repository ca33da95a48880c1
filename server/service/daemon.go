// Package service runs a server as a process: the command line, the model, the port and the signals.
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
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"loadstone/engine/catalog"
	"loadstone/metal"
	"loadstone/server"
)

// Run serves until ctx ends or the process gets SIGTERM or an interrupt, then finishes the answers in flight. What
// programs wait for goes to stdout, a line each, when the port is open and when the model is ready; everything else
// goes to stderr. The error is one line for the user, a *UsageError where the command line is at fault; nil also stands for
// a drain in which nothing was cut off.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
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
	keys, err := o.keys()
	if err != nil {
		return err
	}
	access, closeAccess, err := openAccessLog(o.accessLog, stderr)
	if err != nil {
		return err
	}
	defer closeAccess()
	listener, err := net.Listen("tcp", o.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another process; stop it, or give another -addr (port 0 is any free one)", o.addr)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "loadstone: listening on http://%s\n", listener.Addr())

	log := slog.New(slog.NewTextHandler(stderr, nil))
	if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && len(keys) == 0 {
		log.Warn("the address is not this machine's own: whoever reaches it can use the model, there is no key (-api-key-file)", "addr", a.String())
	}
	d := &daemon{
		options:  o,
		source:   src,
		stdout:   stdout,
		progress: stderr,
		log:      log,
		server: server.New(server.Config{
			Model:       src.Name,
			Origins:     splitList(o.origins),
			MaxBody:     o.maxBody,
			Keys:        keys,
			Rate:        o.rate,
			AgentRate:   o.agentRate,
			AccessLog:   accessLogger(access, o.accessFormat),
			QuietProbes: o.quiet,
			Log:         log,
		}),
	}
	if o.silent {
		d.progress = io.Discard
	}
	return d.serve(ctx, listener)
}

// A UsageError is what is wrong with a command line, before anything was begun.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }

// A daemon is one run.
type daemon struct {
	*options
	source catalog.Source
	stdout io.Writer
	// Where a load that takes a while says how far it is.
	progress io.Writer
	log      *slog.Logger
	server   *server.Server
}

// serve answers on the listener while the model loads and afterwards, until ctx or a signal ends it.
func (d *daemon) serve(ctx context.Context, listener net.Listener) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer close(signals)
	defer signal.Stop(signals)
	hs := &http.Server{
		Handler: d.server,
		// Bodies and answers have deadlines of their own in the server: one for the whole would cut off long streams.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	defer hs.Close()

	start := time.Now()
	p := newProgress(d.progress, d.source.Name)
	loading := make(chan loaded, 1)
	go func() { loading <- load(d.source, d.backend, d.kv, d.engine, p.read) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var m loaded
	for ended := false; !ended; {
		select {
		case m = <-loading:
			ended = true
		case now := <-tick.C:
			d.server.Loading(p.done.Load(), p.total.Load())
			p.show(now)
		case err := <-served:
			return err
		case <-signals: // nothing is in flight, and a load cannot be interrupted
			p.end()
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	tick.Stop()
	p.end()
	if m.err != nil {
		return m.err
	}
	defer m.engine.Close()
	d.server.Ready(m.engine, m.text)
	st := m.engine.Stats()
	fmt.Fprintf(d.stdout, "loadstone: ready: %s on %s (%d blocks of %d tokens, %s of %s KV cache, loaded in %.1f s)\n",
		d.source.Name, d.backend, st.Blocks, st.BlockTokens, formatBytes(d.engine.KVBytes), m.kv, time.Since(start).Seconds())

	select {
	case err := <-served:
		return err
	case <-signals:
	case <-ctx.Done():
	}
	// Not the signal's default effect, which a shell sets to none for what it runs in the background; and not by way of
	// Run's end, which would wait for a step of the model.
	go func() {
		if s, ok := <-signals; ok {
			d.log.Warn("exiting at once", "signal", s.String())
			os.Exit(1)
		}
	}()
	return d.drain(hs, m)
}

// drain finishes the answers in flight, all the while saying on the open port that it takes no more.
func (d *daemon) drain(hs *http.Server, m loaded) error {
	st := m.engine.Stats()
	d.log.Info("draining; another signal exits at once", "running", st.Running, "queued", st.Queued, "limit", d.options.drain)
	ctx, cancel := context.WithTimeout(context.Background(), d.options.drain)
	defer cancel()
	cut := d.server.Drain(ctx)

	// Every answer is with its handler now. Those who were cut off get a second to be told.
	if cut != nil {
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
	}
	if err := hs.Shutdown(ctx); err != nil && cut == nil {
		cut = err
	}
	if cut != nil {
		return fmt.Errorf("answers were cut off: the drain took longer than %v", d.options.drain)
	}
	d.log.Info("drained")
	return nil
}

// openAccessLog opens the log for this user's eyes only: it says who asked when, if not what.
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

// accessLogger writes a record a line in one of the formats; nil where nothing is to be written.
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

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func version() string {
	v := "loadstone"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v += " " + info.Main.Version
		}
	}
	mlx := "MLX is not in this build"
	if metal.Available {
		mlx = metal.Runtime()
	}
	return fmt.Sprintf("%s, %s %s/%s, %s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH, mlx)
}

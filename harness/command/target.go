package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"loadstone/engine/catalog"
	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/report"
	"loadstone/internal/build"
	"loadstone/server/service"
)

// A target is the server that is measured: one that bench started and will stop, or one that was
// there.
type target struct {
	model   string // as the server calls it
	system  report.System
	startUp time.Duration
	process *proc.Process // nil: somebody else's
	// start starts it with further flags.
	start func(context.Context, ...string) (*proc.Process, error)
	to    harness.Target // what it wants of its clients
	files fs.FS          // of the model; nil: somebody else's
}

// client is a new one of the server.
func (s *target) client() *client.Client {
	c := s.to.NewClient(s.system.URL)
	c.Model = s.model
	return c
}

// targetOptions say which server is measured, and how much is told meanwhile.
type targetOptions struct {
	model, backend, url string
	remote              bool // url may lead off this machine
	json, quiet         bool
	serve               []string // flags of serve, for a server that is started
	access              accessOptions
	tokens              func(text string) (int, error) // of the model's tokenizer; nil: not known
}

// modelFlags declares those of every command that may start a server.
func (o *targetOptions) modelFlags(f *flagSet) {
	f.StringVar(&o.model, "model", "tiny", "`model` to serve, by name or folder; of a server that "+
		"runs, the name to ask for")
	f.StringVar(&o.backend, "backend", "auto",
		"`what` runs the model: mlx (MLX), ref (pure Go), or auto")
	f.BoolVar(&o.remote, "allow-remote", false,
		"allow addresses off this machine; only for servers that are yours")
	f.BoolVar(&o.quiet, "q", false, "no progress")
	o.tokenizerFlag(f)
	o.access.flags(f)
}

// flags declares those and what a command of one server has beside them.
func (o *targetOptions) flags(f *flagSet, verb string) {
	o.modelFlags(f)
	f.StringVar(&o.url, "url", "", verb+" the server at this `address` instead of starting one")
	f.BoolVar(&o.json, "json", false, "print JSON instead of a table")
}

// settle is called once the flags are parsed: it refuses what does not go together and completes
// the address.
func (o *targetOptions) settle(f *flagSet, set map[string]bool, serving bool) error {
	if o.url == "" {
		return nil
	}
	if set["backend"] || serving {
		return usageError("-backend and flags after -- are for a server that %s starts; with -url "+
			"it runs already", f.Name())
	}
	if !set["model"] {
		o.model = ""
	}
	var err error
	o.url, err = checkURL(o.url, o.remote)
	return err
}

func findTarget(ctx context.Context, e *env, o *targetOptions, results *results) (*target, error) {
	to, err := o.access.target(o.url, o.serve)
	if err != nil {
		return nil, err
	}
	s, err := meetTarget(ctx, e, o, &to, results)
	if err == nil {
		s.to = to
	}
	return s, err
}

func meetTarget(ctx context.Context, e *env, o *targetOptions, to *harness.Target,
	results *results) (*target, error) {
	if o.url == "" {
		return startTarget(ctx, e, o, results)
	}
	var err error
	if o.model, err = servedModel(ctx, e, to, o.model); err != nil {
		return nil, err
	}
	name := o.model
	if filepath.IsAbs(name) {
		// a server that calls its model by the file: where that lies is no name of it
		name = filepath.Base(name)
	}
	return &target{model: o.model, system: report.System{Name: "server", URL: o.url, Model: name}}, nil
}

// startTarget runs this program again as a server. Its access log goes beside the results, for
// loadstone logs.
func startTarget(ctx context.Context, e *env, o *targetOptions, results *results) (*target, error) {
	src, err := catalog.Open(o.model)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if o.tokens == nil {
		o.tokens = tokensOf(src)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "-addr", "127.0.0.1:0", "-model", o.model, "-backend",
		o.backend, "-access-log", results.path("access.log")}, o.serve...)
	if !o.quiet {
		fmt.Fprintf(e.stderr, "starting loadstone serve -model %s\n", o.model)
	}
	start := func(ctx context.Context, more ...string) (*proc.Process, error) {
		return proc.Start(ctx, results.serverLog, self, append(args[:len(args):len(args)], more...)...)
	}
	p, err := start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		// The server is this program, so its last words carry this program's name already.
		return nil, &exitError{exitUnreachable,
			fmt.Errorf("the server did not start: %s", strings.TrimPrefix(oneLine(err), "loadstone: "))}
	}
	this := build.Read()
	return &target{model: src.Name, files: src.FS, process: p, start: start, startUp: p.StartUp,
		system: report.System{Name: "loadstone", Version: this.Version, Commit: this.Commit, URL: p.URL,
			Model: src.Name, Backend: service.Backend(o.backend), Quant: quantization(src.FS),
			Threads: runtime.GOMAXPROCS(0)}}, nil
}

// quantization is how the checkpoint stores its weights, "" when it does not say.
func quantization(folder fs.FS) string {
	text, err := fs.ReadFile(folder, "config.json")
	if err != nil {
		return ""
	}
	var c struct {
		Quantization *struct {
			Bits int
		}
		DType string `json:"torch_dtype"`
		New   string `json:"dtype"`
	}
	if json.Unmarshal(text, &c) != nil {
		return ""
	}
	if c.Quantization != nil && c.Quantization.Bits > 0 {
		return fmt.Sprintf("q%d", c.Quantization.Bits)
	}
	if c.New != "" {
		return c.New
	}
	return c.DType
}

// explain says of a failure what the user needs: that it was Ctrl-C, or that the server is gone,
// and why if it said.
func (s *target) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted; what was measured until " +
			"then is kept")}
	case errors.Is(err, harness.ErrServerGone):
		return fmt.Errorf("%w; what was measured until then is kept", err)
	}
	if _, ok := errors.AsType[*harness.FilesError](err); ok {
		return &exitError{exitUsage, err}
	}
	if _, ok := errors.AsType[*client.LocalError](err); ok {
		return fmt.Errorf("%w; what was measured until then is kept", err)
	}
	return hint(err)
}

// usage notes what the server's process has used.
func (s *target) usage(r *report.Report) {
	if s.process == nil {
		return
	}
	select {
	case <-s.process.Exited(): // nobody is there to ask
	default:
		if u, err := s.process.Usage(); err == nil {
			r.System.Memory, r.System.CPU = u.RSS, u.CPU
		}
	}
}

// stop ends a server that bench started. It has 15 s to drain, which it is killed after: on a
// machine that pauses, 5 s were too few for one that had nothing left to do.
func (s *target) stop() {
	if s.process != nil {
		s.process.Stop(15 * time.Second)
	}
}

// restartThere is restart at the address that the server had.
func (s *target) restartThere(ctx context.Context) error {
	return s.restart(ctx, "-addr", strings.TrimPrefix(s.system.URL, "http://"))
}

// restart ends a server that was started here and starts it again, at another address unless more
// flags say so. What it keeps on disk is all that it knows then.
func (s *target) restart(ctx context.Context, more ...string) error {
	if err := s.process.Stop(time.Minute); err != nil {
		return fmt.Errorf("the server did not end cleanly: %w", err)
	}
	p, err := s.start(ctx, more...)
	if err != nil {
		return err
	}
	s.process, s.system.URL = p, p.URL
	return nil
}

package world

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// A Build says how the guest is built and run.
type Build struct {
	Overlay     string   // a file as go build -overlay takes it; "": none
	Env         []string // KEY=VALUE, of the guest
	Interpreter bool     // run it by wazero's interpreter, which is slow, instead of its compiler
	Progress    func(string)
}

// A Guest is a compiled guest, of which any number can run at once.
type Guest struct {
	Code    []byte // the program, in WebAssembly
	runtime wazero.Runtime
	module  wazero.CompiledModule
	env     []string
}

const guestPackage = "loadstone/internal/world/guest"

// Open builds the guest and compiles it. dir is a directory for files on the way.
func Open(ctx context.Context, dir string, b Build) (*Guest, error) {
	say := func(s string) {
		if b.Progress != nil {
			b.Progress(s)
		}
	}
	say("building the guest")
	code, err := build(ctx, dir, b.Overlay)
	if err != nil {
		return nil, err
	}
	return open(ctx, code, b, say)
}

func open(ctx context.Context, code []byte, b Build, say func(string)) (*Guest, error) {
	say("compiling it")
	config := wazero.NewRuntimeConfigCompiler()
	if b.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	g := &Guest{Code: code, runtime: wazero.NewRuntimeWithConfig(ctx, config), env: b.Env}
	_, err := wasi_snapshot_preview1.Instantiate(ctx, g.runtime)
	if err == nil {
		g.module, err = g.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, 2), code)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Close frees the guest.
func (g *Guest) Close() error { return g.runtime.Close(context.Background()) }

// build returns the guest as a program.
func build(ctx context.Context, dir, overlay string) ([]byte, error) {
	tool, err := findToolchain(ctx, dir)
	if err != nil {
		return nil, err
	}
	replace := struct{ Replace map[string]string }{map[string]string{}}
	if overlay != "" {
		text, err := os.ReadFile(overlay)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &replace); err != nil {
			return nil, fmt.Errorf("%s: %w", overlay, err)
		}
	}
	if err := shuffled(ctx, dir, replace.Replace); err != nil {
		return nil, err
	}
	tool.relink(replace.Replace)
	text, err := json.Marshal(replace)
	if err != nil {
		return nil, err
	}
	file, out := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	// -trimpath keeps the names of directories out, so that the same source gives the same program.
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-tags=invariants", "-overlay", file, "-o", out, guestPackage)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0", "GOWASM=")
	tool.use(c)
	if message, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, message)
	}
	return os.ReadFile(out)
}

// shuffled adds to an overlay a runtime that shuffles goroutines, as the race detector's does.
func shuffled(ctx context.Context, dir string, replace map[string]string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	const was, is = "const randomizeScheduler = raceenabled", "const randomizeScheduler = true"
	name := filepath.Join(strings.TrimSpace(string(root)), "src", "runtime", "proc.go")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if strings.Count(string(text), was) != 1 {
		return fmt.Errorf("%s does not have %q once: this version of Go shuffles goroutines in "+
			"another way, which package world must learn", name, was)
	}
	other := filepath.Join(dir, "proc.go")
	replace[name] = other
	return os.WriteFile(other, []byte(strings.Replace(string(text), was, is, 1)), 0o600)
}

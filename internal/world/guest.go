package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// A Build says how the guest is built and run.
type Build struct {
	Overlay     string   // a file as go build -overlay takes it; "": none
	Env         []string // KEY=VALUE, of the guest
	Native      bool     // run it as a process, not as WebAssembly: see Processes
	Interpreter bool     // run WebAssembly by wazero's interpreter, which is slow, not its compiler
	Progress    func(string)
}

func (b *Build) say(what string) {
	if b.Progress != nil {
		b.Progress(what)
	}
}

// A Guest is a compiled guest, of which any number can run at once.
type Guest struct {
	Code []byte // the program, if it is WebAssembly
	env  []string

	path string // of the program, which runs as a process; "": it is WebAssembly
	cold bool   // it cannot be warmed up

	of      *Guest // whose runtime it has, if it came of With
	runtime wazero.Runtime
	cache   wazero.CompilationCache // of machine code; nil: none
	module  wazero.CompiledModule
	started *image // after its start

	instances idle[*instance]
	processes idle[*process]
}

const (
	guestPackage = "loadstone/internal/world/guest"

	// machineCode is what Open leaves in its folder beside the program.
	machineCode = "machine-code"
)

// Open builds the guest and compiles it into a folder, or takes what it has left there before: a
// folder is for one overlay.
func Open(ctx context.Context, dir string, b Build) (*Guest, error) {
	t := &wasm
	if b.Native {
		if t = &linux; !Processes() {
			return nil, fmt.Errorf("the guest runs as a process on linux/amd64 and linux/arm64, "+
				"not on %s/%s", runtime.GOOS, runtime.GOARCH)
		}
	}
	path := filepath.Join(dir, t.program)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		b.say("building the guest")
		err = t.build(ctx, dir, b.Overlay)
	}
	if err != nil {
		return nil, err
	}
	if b.Native {
		return openNative(path, b)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return open(ctx, code, filepath.Join(dir, machineCode), b)
}

func open(ctx context.Context, code []byte, dir string, b Build) (*Guest, error) {
	g := &Guest{Code: code, env: b.Env}
	config := wazero.NewRuntimeConfigInterpreter()
	var err error
	if !b.Interpreter {
		if g.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, err
		}
		config = wazero.NewRuntimeConfigCompiler().WithCompilationCache(g.cache)
	}
	g.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	_, err = wasi_snapshot_preview1.Instantiate(ctx, g.runtime)
	if err == nil {
		err = addLog(ctx, g.runtime)
	}
	if err == nil {
		code, err = exportGlobals(code)
	}
	if err == nil {
		b.say("compiling it")
		g.module, err = g.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, 2), code)
	}
	if err == nil {
		b.say("starting it")
		g.started, err = g.start(ctx)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// addLog adds the module with which a guest writes its event log.
func addLog(ctx context.Context, r wazero.Runtime) error {
	pointer := []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}
	_, err := r.NewHostModuleBuilder("world").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			line, _ := m.Memory().Read(api.DecodeU32(stack[0]), api.DecodeU32(stack[1]))
			ctx.Value(logKey{}).(*bytes.Buffer).Write(line)
		}), pointer, nil).Export("log").Instantiate(ctx)
	return err
}

// logKey is under what a call's context has the event log of the instance.
type logKey struct{}

// With returns the guest with other variables in its environment. It lives no longer than g.
func (g *Guest) With(ctx context.Context, env ...string) (*Guest, error) {
	if g.path != "" {
		return openNative(g.path, Build{Env: env})
	}
	other := &Guest{Code: g.Code, of: g, runtime: g.runtime, module: g.module, env: env}
	var err error
	other.started, err = other.start(ctx)
	return other, err
}

// Close frees the guest.
func (g *Guest) Close() error {
	for p, ok := g.processes.take(); ok; p, ok = g.processes.take() {
		p.end()
	}
	ctx := context.Background()
	for in, ok := g.instances.take(); ok; in, ok = g.instances.take() {
		in.module.Close(ctx)
	}
	if g.runtime == nil || g.of != nil {
		return nil
	}
	err := g.runtime.Close(ctx)
	if g.cache != nil {
		err = errors.Join(err, g.cache.Close(ctx))
	}
	return err
}

package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

func (b *Build) say(what string) {
	if b.Progress != nil {
		b.Progress(what)
	}
}

// A Guest is a compiled guest, of which any number can run at once.
type Guest struct {
	Code    []byte // the program, in WebAssembly
	runtime wazero.Runtime
	cache   wazero.CompilationCache // of machine code; nil: none
	module  wazero.CompiledModule
	env     []string
	started *image // after its start
}

const (
	guestPackage = "loadstone/internal/world/guest"

	// What Open leaves in its folder.
	program     = "guest.wasm"
	machineCode = "machine-code"
)

// Open builds the guest and compiles it into a folder, or takes what it has left there before: a
// folder is for one overlay.
func Open(ctx context.Context, dir string, b Build) (*Guest, error) {
	code, err := os.ReadFile(filepath.Join(dir, program))
	if errors.Is(err, fs.ErrNotExist) {
		b.say("building the guest")
		code, err = build(ctx, dir, b.Overlay)
	}
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

// With returns the guest with other variables in its environment. It lives as long as g.
func (g *Guest) With(ctx context.Context, env ...string) (*Guest, error) {
	other := &Guest{Code: g.Code, runtime: g.runtime, module: g.module, env: env}
	var err error
	other.started, err = other.start(ctx)
	return other, err
}

// Close frees the guest.
func (g *Guest) Close() error {
	err := g.runtime.Close(context.Background())
	if g.cache != nil {
		err = errors.Join(err, g.cache.Close(context.Background()))
	}
	return err
}

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
	if err := changeRuntime(ctx, dir, replace.Replace); err != nil {
		return nil, err
	}
	tool.relink(replace.Replace)
	text, err := json.Marshal(replace)
	if err != nil {
		return nil, err
	}
	file, out := filepath.Join(dir, "overlay.json"), filepath.Join(dir, program)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	// -trimpath keeps the names of directories out, so that the same source gives the same program.
	// As a shared library the guest can be called once it has started.
	c := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath",
		"-buildvcs=false", "-ldflags=-s -w", "-tags=invariants", "-overlay", file, "-o", out,
		guestPackage)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0", "GOWASM=")
	tool.use(c)
	if message, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, message)
	}
	return os.ReadFile(out)
}

// changes are what the guest's runtime has other than runtime/proc.go: it shuffles goroutines, as
// the race detector's does, and their stacks begin at a size at which few must grow.
var changes = [][2]string{
	{"const randomizeScheduler = raceenabled", "const randomizeScheduler = true"},
	{"newg = malg(stackMin)", "newg = malg(worldStack)"},
}

// added is what it has beyond that: it can begin anew with other random numbers.
const added = `
const worldStack = 16 << 10

//go:linkname worldReseed
func worldReseed() {
	startingStackSize = worldStack
	seed := &globalRand.seed
	if readRandom(seed[:]) != len(seed) {
		throw("no random numbers")
	}
	globalRand.state.Init(*seed)
	mrandinit(getg().m)
}
`

// changeRuntime adds to an overlay the guest's runtime.
func changeRuntime(ctx context.Context, dir string, replace map[string]string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	name := filepath.Join(strings.TrimSpace(string(root)), "src", "runtime", "proc.go")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	changed := string(text)
	for _, c := range changes {
		if strings.Count(changed, c[0]) != 1 {
			return fmt.Errorf("%s does not have %q once: this version of Go has another runtime, "+
				"which package world must learn", name, c[0])
		}
		changed = strings.Replace(changed, c[0], c[1], 1)
	}
	other := filepath.Join(dir, "proc.go")
	replace[name] = other
	return os.WriteFile(other, []byte(changed+added), 0o600)
}

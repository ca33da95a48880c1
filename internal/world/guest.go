package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
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
	of      *Guest // whose runtime it has, if it came of With
	runtime wazero.Runtime
	cache   wazero.CompilationCache // of machine code; nil: none
	module  wazero.CompiledModule
	env     []string
	started *image // after its start

	mu   sync.Mutex
	idle []*instance
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
	other := &Guest{Code: g.Code, of: g, runtime: g.runtime, module: g.module, env: env}
	var err error
	other.started, err = other.start(ctx)
	return other, err
}

// Close frees the guest.
func (g *Guest) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx := context.Background()
	for _, in := range g.idle {
		in.module.Close(ctx)
	}
	if g.idle = nil; g.of != nil {
		return nil
	}
	err := g.runtime.Close(ctx)
	if g.cache != nil {
		err = errors.Join(err, g.cache.Close(ctx))
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

// A change is of a file of Go's runtime.
type change struct{ file, from, to string }

// changes are what the guest's runtime has other than Go's: it shuffles goroutines, as the race
// detector's does, their stacks begin at a size at which few must grow, its memory grows only where
// it has too little, not where it has never asked for what it has, and it has the time itself,
// because to ask the host is slow.
var changes = []change{
	{"proc.go", "const randomizeScheduler = raceenabled", "const randomizeScheduler = true"},
	{"proc.go", "newg = malg(stackMin)", "newg = malg(worldStack)"},
	{"mem_wasm.go", "grow := (bl + n - blocMax) / physPageSize",
		"grow := max(0, int32((bl+n)/physPageSize)-currentMemory())"},
	{"os_wasip1.go", "func nanotime1() int64 {", "func nanotime1() int64 {\n\treturn worldTime()"},
	{"os_wasip1.go", "func walltime1() (sec int64, nsec int32) {", `func walltime1() (sec int64, nsec int32) {
	now := worldTime()
	return now / 1e9, int32(now % 1e9)`},
	{"os_wasip1.go", "func usleep(usec uint32) {", `func usleep(usec uint32) {
	worldSleep(int64(usec) * 1e3)
	return`},
	{"netpoll_wasip1.go", "	pollsubs := subs\n", `	if len(subs) == 1 { // nothing but the timers
		worldSleep(delay)
		unlock(&mtx)
		return gList{}, 0
	}
	pollsubs := subs
`},
}

// added is what it has beyond that: it can begin anew with other random numbers. Its time goes on by
// a microsecond whenever it is asked for, and at once to the next timer when all goroutines wait. A
// program that asks again and again and never waits will not come to an end: it asks the host at
// last, which ends it.
const added = `
const worldStack = 16 << 10

const worldMaxAsks = 5_000_000

var (
	worldNow int64 = 1_767_225_600e9 // nanoseconds since 1970: the year 2026 begins
	worldAsks int // since it last went on by itself
)

func worldTime() int64 {
	if worldAsks++; worldAsks > worldMaxAsks {
		var t timestamp
		clock_time_get(clockRealtime, 0, &t)
	}
	worldNow += 1000
	return worldNow
}

func worldSleep(ns int64) {
	if ns > 0 {
		worldNow, worldAsks = worldNow+ns, 0
	}
}

// worldWritten returns the addresses between which memory may have been written.
//
//go:linkname worldWritten
func worldWritten() (from, to uintptr) { return firstmoduledata.noptrdata, blocMax }

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
	changed := map[string]string{} // by the file's name
	name := func(file string) string {
		return filepath.Join(strings.TrimSpace(string(root)), "src", "runtime", file)
	}
	for _, c := range changes {
		if changed[c.file] == "" {
			text, err := os.ReadFile(name(c.file))
			if err != nil {
				return err
			}
			changed[c.file] = string(text)
		}
		if strings.Count(changed[c.file], c.from) != 1 {
			return fmt.Errorf("%s does not have %q once: this version of Go has another runtime, "+
				"which package world must learn", name(c.file), c.from)
		}
		changed[c.file] = strings.Replace(changed[c.file], c.from, c.to, 1)
	}
	changed["proc.go"] += added
	for file, text := range changed {
		other := filepath.Join(dir, file)
		replace[name(file)] = other
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

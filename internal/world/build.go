package world

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// A target is what the guest is built for.
type target struct {
	program string // the file's name
	os      string
	arch    string
	args    []string // of go build
	changes []change // of the runtime, beyond those of all targets
	added   string   // the same
}

// wasm runs on any machine, in wazero. As a shared library the guest can be called once it has
// started.
var wasm = target{program: "guest.wasm", os: "wasip1", arch: "wasm",
	args: []string{"-buildmode=c-shared", "-tags=invariants"}, changes: wasmChanges,
	added: wasmAdded}

// linux runs as a process, which is faster: see the package's documentation, and Processes.
var linux = target{program: "guest", os: "linux", arch: runtime.GOARCH,
	args: []string{"-tags=invariants,world,faketime"}, changes: linuxChanges, added: linuxAdded}

// Processes reports whether the guest can be a process on this system.
func Processes() bool {
	return runtime.GOOS == linux.os && (linux.arch == "amd64" || linux.arch == "arm64")
}

// build builds the guest in a folder.
func (t *target) build(ctx context.Context, dir, overlay string) error {
	tool, err := findToolchain(ctx, dir)
	if err != nil {
		return err
	}
	replace := struct{ Replace map[string]string }{map[string]string{}}
	if overlay != "" {
		text, err := os.ReadFile(overlay)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &replace); err != nil {
			return fmt.Errorf("%s: %w", overlay, err)
		}
	}
	own := filepath.Join(dir, t.os)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	if err := t.changeRuntime(tool.root, own, replace.Replace); err != nil {
		return err
	}
	tool.relink(replace.Replace)
	text, err := json.Marshal(replace)
	if err != nil {
		return err
	}
	file := filepath.Join(own, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	// -trimpath keeps the names of directories out, so that the same source gives the same program.
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-overlay", file, "-o", filepath.Join(dir, t.program)}, t.args, []string{guestPackage})
	c := exec.CommandContext(ctx, "go", args...)
	// The last two keep addresses and instructions from differing between starts and machines.
	c.Env = append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "GOFLAGS=", "CGO_ENABLED=0",
		"GOWASM=", "GOEXPERIMENT=norandomizedheapbase64", "GOAMD64=v1")
	tool.use(c)
	if message, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, message)
	}
	return nil
}

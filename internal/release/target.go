package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// A target is a system for which there is an archive.
type target struct {
	name         string // the archive's
	goos, goarch string
	mlx          bool // with MLX, through cgo
}

func targets() []target {
	return []target{
		{"linux-amd64", "linux", "amd64", false},
		{"linux-arm64", "linux", "arm64", false},
		{"darwin-arm64", "darwin", "arm64", false},
		{"linux-amd64-mlx", "linux", "amd64", true},
	}
}

func targetNames() (names []string) {
	for _, t := range targets() {
		names = append(names, t.name)
	}
	return names
}

// chooseTargets returns the targets of a list of names, all for "".
func chooseTargets(list string) ([]target, error) {
	if list == "" {
		return targets(), nil
	}
	var chosen []target
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(targets(), func(t target) bool { return t.name == name })
		if i < 0 {
			return nil, &usageError{fmt.Sprintf("no target %q; there are %s", name,
				strings.Join(targetNames(), ", "))}
		}
		chosen = append(chosen, targets()[i])
	}
	return chosen, nil
}

// check tells what is missing on this machine to build the target.
func (t target) check(root string) error {
	if !t.mlx {
		return nil
	}
	if host := runtime.GOOS + "/" + runtime.GOARCH; host != t.goos+"/"+t.goarch {
		return fmt.Errorf("%s is built on %s/%s, and this machine is %s; choose others with -only",
			t.name, t.goos, t.goarch, host)
	}
	if _, err := os.Stat(filepath.Join(root, "metal", ".mlx", "lib", "libmlx.so")); err != nil {
		return fmt.Errorf("%s needs MLX: run go run ./metal/setup, or choose others with -only: %w",
			t.name, err)
	}
	return nil
}

// build compiles the program for the target into the file path.
func (s *source) build(ctx context.Context, t target, path string) error {
	set := func(name, value string) string {
		return fmt.Sprintf("-X=%s/internal/build.%s=%s", s.module, name, value)
	}
	link := []string{"-s", "-w", set("release", s.version), set("revision", s.revision())}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", path}
	cgo := "0"
	if t.mlx {
		cgo = "1"
		args = append(args, "-tags=mlx,release")
		// The ID is a hash of all that was built, and the folder's name is among the arguments of
		// the C++ compiler.
		link = append(link, "-buildid=")
	}
	args = append(args, "-ldflags="+strings.Join(link, " "), "./harness/cmd/loadstone")
	return s.goCommand(ctx, args, "GOOS="+t.goos, "GOARCH="+t.goarch, "CGO_ENABLED="+cgo)
}

// goCommand runs the go command in the repository with further variables. What else the environment
// could change of a program is set to its default.
func (s *source) goCommand(ctx context.Context, args []string, env ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off",
		"GOAMD64=v1", "GOARM64=v8.0", "CGO_CFLAGS=-O2", "CGO_CPPFLAGS=", "CGO_CXXFLAGS=-O2",
		"CGO_LDFLAGS=-O2")
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

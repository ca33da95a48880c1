package main

import (
	"context"
	"fmt"
	"go/version"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// A toolchain is the version of Go that a release is made with.
type toolchain struct {
	name string // as GOTOOLCHAIN takes it
	note string // where it is not the one that go.mod names: why, and what comes of it
}

// chooseToolchain returns the toolchain that the go.mod of a repository names, which the go command
// downloads if need be, or this machine's if that is as new. Where the former cannot be had it is
// this machine's as well: a release can be made on a machine without a network.
func chooseToolchain(ctx context.Context, root string) (toolchain, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return toolchain{}, err
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return toolchain{}, err
	}
	local := toolchain{name: "local"}
	own, err := goVersion(ctx, root, local.name)
	if err != nil {
		return toolchain{}, err
	}
	if mod.Toolchain == nil || version.Compare(own, mod.Toolchain.Name) >= 0 {
		return local, nil
	}
	want := mod.Toolchain.Name
	if got, err := goVersion(ctx, root, want); err != nil {
		local.note = fmt.Sprintf("%s, which go.mod names, cannot be had (%v); this machine's %s "+
			"makes the release, with the vulnerabilities that are known of it", want, err, own)
		return local, nil
	} else if got != want {
		return toolchain{}, fmt.Errorf("the go command is %s where %s was asked for", got, want)
	}
	return toolchain{name: want}, nil
}

// goVersion returns the version of a toolchain.
func goVersion(ctx context.Context, root, name string) (string, error) {
	return outputWith(ctx, root, []string{"GOTOOLCHAIN=" + name}, "go", "env", "GOVERSION")
}

// use has the go commands of this process, and of those that it starts, be the toolchain's.
func (t toolchain) use() error { return os.Setenv("GOTOOLCHAIN", t.name) }

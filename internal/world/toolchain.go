package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A toolchain is the Go that builds the guest. One that the go command has downloaded, because
// go.mod names it, lies in the module cache, no file of which an overlay may replace: it is used
// through a link.
type toolchain struct {
	root string
	link string // to root; "": root is used as it is
}

// findToolchain returns the Go that is in use, with a link in dir if need be.
func findToolchain(ctx context.Context, dir string) (t toolchain, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		return t, fmt.Errorf("go env GOROOT: %w", err)
	}
	root, cache, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if t.root = root; strings.HasPrefix(root, cache+string(filepath.Separator)) {
		t.link = filepath.Join(dir, "goroot")
		if err = os.Symlink(root, t.link); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return t, err
}

// relink has an overlay replace files of the link where it replaces some of the toolchain.
func (t toolchain) relink(replace map[string]string) {
	for name, by := range replace {
		if rest, ok := strings.CutPrefix(name, t.root); ok && t.link != "" {
			delete(replace, name)
			replace[t.link+rest] = by
		}
	}
}

// use has a go command be the link's.
func (t toolchain) use(c *exec.Cmd) {
	if t.link != "" {
		c.Path = filepath.Join(t.link, "bin", "go")
		c.Env = append(c.Env, "GOROOT="+t.link, "GOTOOLCHAIN=local")
	}
}

// Command rename gives the module another path, as publishing it under a host needs:
//
//	go run ./internal/rename example.com/you/loadstone
//
// It changes the files of the git checkout in which it runs: module lines, import paths, and the
// paths of packages in tests, scripts and documents. Then go install
// example.com/you/loadstone/harness/cmd/loadstone@latest works for everybody. Measurements under
// benchdata keep the paths under which they were made. It can be run again with another path.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"loadstone/internal/git"
)

const usage = "usage: go run ./internal/rename HOST/OWNER/loadstone"

func main() {
	if len(os.Args) != 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	root, err := git.Run(context.Background(), "", "rev-parse", "--show-toplevel")
	if err == nil {
		err = rename(root, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
}

// rename gives the module in the git checkout root the path to.
func rename(root, to string) error {
	if err := module.CheckPath(to); err != nil {
		return fmt.Errorf("%w; %s", err, usage)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	from := modfile.ModulePath(mod)
	if from == to {
		return fmt.Errorf("the module is called %s already", to)
	}
	list, err := git.Run(context.Background(), root, "ls-files", "-z")
	if err != nil {
		return err
	}
	files := strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
	p := newPaths(from, to, files)
	changed := 0
	for _, name := range files {
		if strings.HasPrefix(name, "benchdata/") {
			continue
		}
		one, err := p.renameFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if one {
			changed++
		}
	}
	fmt.Printf("%s is %s now, in %d files; go build ./... && go vet ./..., then commit\n",
		from, to, changed)
	fmt.Printf("when a tag such as v1.2.3 is pushed: go install %s/harness/cmd/loadstone@latest\n", to)
	return nil
}

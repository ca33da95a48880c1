// Command release makes the files of a release: an archive for each target, with the program,
// completions for three shells, the licence, the notices of everything that is linked in, and a
// software bill of materials (CycloneDX); then SHA256SUMS, and the notes. ./release runs it.
//
// A release is the same bytes from every clone of its commit, whatever the clone's folder is
// called: it records no path, no build time and no user, and what the clone's tags and the
// environment would add is left out. That takes the same version of Go, which loadstone version and
// the bill of materials state: the one that go.mod names by its line toolchain, which the go
// command downloads. For the target with MLX it takes the same C++ compiler, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

const usage = `usage: ./release [flags] VERSION

Makes the files of a release, such as v1.2.3, from the commit that is checked out:

  loadstone-VERSION-TARGET.tar.gz    loadstone, completions, LICENSE, NOTICES.txt, sbom.cdx.json;
                                     with MLX also lib/, the libraries that it needs
  loadstone-VERSION-TARGET.cdx.json  the same bill of materials, CycloneDX 1.6
  loadstone-VERSION-notes.md         what changed, and which files of other versions it reads
  SHA256SUMS                         of all of them: sha256sum -c SHA256SUMS

The same commit and the same Go give the same bytes; go.mod names that Go, and it is downloaded.
Targets:
%s.
The one with MLX is built on linux/amd64 alone, with a C++ compiler, after go run ./metal/setup.
To publish the module under a host's name first: go run ./internal/rename HOST/OWNER/loadstone

Flags:
`

const examples = `
Examples:
  ./release v1.2.3
  ./release -only linux-amd64 -out /tmp/try v0.0.0-try
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:])
	var mistake *usageError
	switch {
	case errors.As(err, &mistake):
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// A usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text + "; ./release -h says more" }

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.SetOutput(os.Stdout)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), usage, strings.Join(targetNames(), ", "))
		f.PrintDefaults()
		fmt.Fprint(f.Output(), examples)
	}
	out := f.String("out", "dist", "`folder` to write to, from the repository's own; files of the "+
		"same names are replaced")
	only := f.String("only", "", "`targets` to make, separated by commas; default: all")
	changed := f.Bool("changed", false,
		"allow files that differ from the commit; the program then says so of itself")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return &usageError{err.Error()}
	}
	if f.NArg() != 1 {
		return &usageError{"want one version, such as v1.2.3"}
	}
	chosen, err := chooseTargets(*only)
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := readSource(ctx, f.Arg(0), *changed)
	if err != nil {
		return err
	}
	t, err := chooseToolchain(ctx, s.root)
	if err != nil {
		return err
	}
	if t.note != "" {
		fmt.Fprintln(os.Stderr, "release: note:", t.note)
	}
	if err := t.use(); err != nil {
		return err
	}
	if err := s.release(ctx, chosen, *out); err != nil {
		return err
	}
	fmt.Printf("%s of commit %.12s is in %s (%.1f s)\n", s.version, s.commit, *out,
		time.Since(start).Seconds())
	return nil
}

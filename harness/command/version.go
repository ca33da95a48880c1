package command

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"loadstone/harness/table"
	"loadstone/internal/build"
	"loadstone/metal"
)

const versionAbout = `Prints the version of this program, the commit that it was built from, and the backends in it with
the instruction sets that they use here. With -v it also prints which files of other versions it
reads.`

const versionExamples = `  loadstone version
  loadstone version -v
`

func version(_ context.Context, e *env, args []string) error {
	f := flags("version", versionAbout, versionExamples, e.stdout)
	verbose := f.Bool("v", false, "print the formats of files as well")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usageError("version takes no arguments")
	}
	if err := writeVersion(e.stdout, build.Read()); err != nil || !*verbose {
		return err
	}
	return writeFormats(e.stdout)
}

// writeVersion prints a line for the program, one for Go and one for each backend.
func writeVersion(w io.Writer, b build.Build) error {
	title := "loadstone"
	if b.Version != "" {
		title += " " + b.Version
	} else {
		title += " (development)"
	}
	if b.Commit != "" {
		title += ", commit " + b.Commit
	}
	ref := "pure Go"
	if b.Level != "" {
		ref += ", compiled for " + b.Level
	}
	mlx := "not in this program"
	if metal.Available {
		mlx = metal.Runtime()
	}
	_, err := fmt.Fprintf(w, "%s\n%s %s/%s\nbackend ref: %s\nbackend mlx: %s\n",
		title, runtime.Version(), runtime.GOOS, runtime.GOARCH, ref, mlx)
	return err
}

// writeFormats prints the table of fileFormats.
func writeFormats(w io.Writer) error {
	rows := [][]string{{"files", "reads", "writes"}}
	for _, f := range fileFormats() {
		rows = append(rows, []string{f.files, strings.Join(f.reads, ", "), strings.Join(f.writes, ", ")})
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	for _, line := range table.Align(rows, 0, 1, 2) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

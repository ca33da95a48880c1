// Package command is the program loadstone: it parses flags, calls the library and prints. It is a
// package so that the program can run inside a test binary as well, as package script's does.
package command

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"loadstone/harness/proc"
)

// Main runs the program with this process's arguments and ends the process with its exit code.
func Main() {
	proc.FollowParent()
	// When the reader of a pipe goes away, as in loadstone bench | head, the write fails, and the
	// server that was started is stopped as after any error. The signal would end this program
	// alone. It is caught, not ignored: child processes would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	log.SetFlags(0)
	log.SetOutput(&remarks{w: os.Stderr})
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run carries out the command line args and returns the exit code. It reports a failure by one line
// on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, overview())
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	c := findCommand(name)
	if c == nil {
		fmt.Fprintf(stderr, "loadstone: unknown command %q; loadstone help lists them\n", name)
		return exitUsage
	}
	return exitCode(c.run(ctx, &env{stdin, stdout, stderr}, args), stderr)
}

// Known reports whether loadstone has a command of that name.
func Known(name string) bool { return findCommand(name) != nil }

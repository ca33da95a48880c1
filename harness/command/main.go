// Package command is the program loadstone: it parses flags, calls the library and prints. It is a
// package so that the program can run inside a test binary as well, as package script's does.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"loadstone/harness/proc"
)

// Main runs the program with this process's arguments and ends the process with its exit code.
func Main() {
	proc.FollowParent()
	// A reader that goes away, as of loadstone bench | head, is an error of the write, by which a
	// server that was started is stopped all the same; the signal would end this program alone. It
	// is caught, not ignored: that would be inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command: it carries out args and returns the exit code. What it has to say of a
// failure is one line on stderr.
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

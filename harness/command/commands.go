package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"loadstone/harness/table"
)

// A command is one of the program's subcommands.
type command struct {
	name    string
	args    string // what comes after the name, for the usage line
	summary string
	run     func(ctx context.Context, e *env, args []string) error
}

// env is where a command reads and writes.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// commands lists them in the order of the overview. It is a function because help prints it.
func commands() []command {
	const server = "[flags] [-- flags of serve]"
	return []command{
		{"bench", server, "measure a server with five scenarios and report", bench},
		{"check", server, "check that a server's answers and counts are right under load",
			checkCommand},
		{"run", "[flags] FILE [-- flags of serve]", "run a scenario file, a load of your own",
			runCommand},
		{"soak", "[flags] [FILE] [-- flags of serve]",
			"run agents against a server for hours and test whether it degrades", soakCommand},
		{"workers", "[flags]", "start workers that put one load on a server together", workersCommand},
		{"worker", "-join URL [flags]", "be such a worker, on this machine or another", workerCommand},
		{"record", "-to URL [flags]", "record what agents ask a server, to replay it", recordCommand},
		{"init", "[FILE]", "write a scenario file to start from", initCommand},
		{"serve", "[flags]", "serve a model over the OpenAI and Anthropic APIs", serve},
		{"store", "[flags]", "start an object store in which servers share agents' memories",
			storeCommand},
		{"ask", "[flags] QUESTION...", "ask a server one question", ask},
		{"report", "[flags] FOLDER...",
			"make the report of a measurement again, also beside an earlier one", reportCommand},
		{"verify", "[flags] FOLDER|FILE.zip",
			"check results: compute everything in them again from the records", verifyCommand},
		{"sign", "-key FILE FOLDER | -new FILE", "sign results, or make a key for that", signCommand},
		{"compare", "[flags] BASE HEAD", "compare two measurements", compareCommand},
		{"gate", server, "decide whether a server got worse", gateCommand},
		{"bisect", "-good REV [-bad REV] [flags] [-- flags of serve]",
			"find the commit at which a server got worse", bisectCommand},
		{"history", "[flags] PATH", "find since when a server is slower or faster", historyCommand},
		{"calibrate", "[flags]", "measure the load generator itself", calibrateCommand},
		{"liars", "[flags]", "servers that lie, by which load tools are judged", liarsCommand},
		{"logs", "[flags] FILE",
			"latencies of a server's access log, beside the client's own", logs},
		{"model", "list | pull NAME | import FILE.gguf DIR | check MODEL | path NAME",
			"the models on this machine", model},
		{"help", "[TOPIC]", "more about a command or a topic", help},
		{"completion", "bash | zsh | fish",
			"completion of commands and flags for a shell", completion},
		{"version", "[-v]", "print the version, the backends and the formats of files", version},
	}
}

// findCommand returns the command of that name, nil where there is none.
func findCommand(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

// Exit codes. They are documented in the help topic exit.
const (
	exitOK          = 0
	exitFailed      = 1   // it was begun and went wrong: a server died, a request or a gate failed
	exitUsage       = 2   // the command line makes no sense: flags, names, unknown models
	exitMissed      = 3   // bench -strict, gate -slo, run: a target or limit was missed
	exitUnreachable = 4   // the server could not be reached or started
	exitNotShown    = 5   // the same: nothing missed, but too few requests to bound a percentile
	exitInterrupted = 130 // stopped by Ctrl-C or SIGTERM; what was measured is kept
	exitUnread      = 141 // nobody reads standard output any more; as when SIGPIPE ends a program
)

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode prints the error, in one line, and returns its code.
func exitCode(err error, stderr io.Writer) int {
	var coded *exitError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &coded):
		// err, not coded: what wraps it belongs to the message.
		fmt.Fprintln(stderr, "loadstone:", oneLine(err))
		return coded.code
	case unread(err):
		return exitUnread
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "loadstone: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "loadstone:", oneLine(err))
	return exitFailed
}

// unread reports whether an error comes from a pipe whose reader, such as head, has gone away.
func unread(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == os.Stdout.Name() && errors.Is(p, syscall.EPIPE)
}

// oneLine is the text of an error in one line, also where several errors were joined.
func oneLine(err error) string {
	var b strings.Builder
	for line := range strings.Lines(err.Error()) {
		line = table.OneLine(line)
		switch before := b.String(); {
		case line == "":
			continue
		case before != "" && strings.ContainsAny(before[len(before)-1:], ":;,"):
			b.WriteByte(' ')
		case before != "":
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

package gate

import (
	"fmt"
	"slices"
	"strings"

	"loadstone/harness/table"
)

// A Failure is a sign in a file that it is not a whole and sound measurement: what stands in it
// then shows nothing.
type Failure struct {
	Side string // "base", "head" or "the noise floor"
	File string
	Line int
	Kind FailureKind
	Text string // what the file says there
}

// A FailureKind is why a file is no measurement.
type FailureKind string

const (
	// Failed: a test or benchmark failed, panicked or was not built, or the server showed what must
	// never be, such as the words of another agent.
	Failed FailureKind = "failed"
	// Incomplete: it ended early, or a part of the file is missing.
	Incomplete FailureKind = "incomplete"
	// ClientInvalid: the load generator itself could explain what was measured.
	ClientInvalid FailureKind = "invalid"
)

func (f Failure) String() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s: %s", at, f.Text)
}

// A FailedError says that a file is not a whole and sound measurement.
type FailedError struct{ Failures []Failure }

func (e *FailedError) Error() string {
	f := e.Failures[0]
	s := fmt.Sprintf("%s is not a whole and sound measurement (%s): %s", f.Side, f.Kind, f)
	if n := len(e.Failures) - 1; n > 0 {
		s += "; and " + table.Plural(n, "more reason")
	}
	return s
}

// ByHead reports whether the head has failed by itself, and nothing else is wrong: the base is
// sound, and the load generator does not explain it.
func (e *FailedError) ByHead() bool {
	for _, f := range e.Failures {
		if f.Side != headSide || f.Kind == ClientInvalid {
			return false
		}
	}
	return true
}

// ByClient reports whether nothing is wrong but that the load generator could explain what was
// measured.
func (e *FailedError) ByClient() bool { return !slices.ContainsFunc(e.Failures, Failure.fails) }

// fails reports whether it is more than the load generator that is at fault.
func (f Failure) fails() bool { return f.Kind != ClientInvalid }

// begins are how the lines begin that Go's tools, make and Loadstone write where something failed.
var begins = []struct {
	prefix string
	kind   FailureKind
}{
	{"--- FAIL", Failed},
	{"panic: ", Failed},
	{"fatal error: ", Failed},
	{"FAIL\t", Failed},
	{"FAIL ", Failed},
	{"FAIL:", Failed},
	{"exit status ", Failed},
	{"signal: ", Incomplete},
	{"[signal SIG", Failed},
	{"SIGQUIT: quit", Incomplete},
	{"SIGABRT: abort", Failed},
	{"*** Test killed", Incomplete},
	{"<<<<<<< ", Failed}, // the file has both sides of a conflict in it
	{">>>>>>> ", Failed},
	{"WARNING: DATA RACE", Failed},
	{"violations: ", Failed},
	{"incomplete: ", Incomplete},
	{"client: invalid", ClientInvalid},
}

// failureMark is the part of a line that says that something failed, "" where none does.
func failureMark(line string) (FailureKind, string) {
	line = strings.TrimRight(line, " \t")
	if rest, ok := strings.CutPrefix(line, "Benchmark"); ok {
		// What fails while it runs says so behind its name, which is printed before.
		if i := strings.IndexAny(rest, " \t"); i >= 0 {
			line = strings.TrimLeft(rest[i:], " \t")
		}
	}
	if trimmed := strings.TrimLeft(line, " \t"); strings.HasPrefix(trimmed, "--- FAIL") {
		return Failed, trimmed // of a part of a test, which is indented
	}
	if line == "FAIL" || line == "panic:" {
		return Failed, line
	}
	if strings.HasPrefix(line, "# incomplete: ") { // bench.txt once said it in a comment alone
		line = line[2:]
	}
	switch {
	case line == "exit status 0":
		return "", ""
	case strings.HasPrefix(line, "make") && strings.Contains(line, "]: *** "),
		strings.HasPrefix(line, "make: *** "):
		return Failed, line
	case wasKilled(line):
		return Incomplete, line
	}
	for _, b := range begins {
		if strings.HasPrefix(line, b.prefix) {
			return b.kind, line
		}
	}
	return "", ""
}

// wasKilled reports whether a line is what a shell says of a process that a signal ended: the
// signal by itself, or in a script "bench.sh: line 3: 4211 Killed    go test -bench .".
func wasKilled(line string) bool {
	_, after, inScript := strings.Cut(line, ": line ")
	for _, signal := range []string{"Killed", "Terminated", "Aborted", "Segmentation fault"} {
		switch {
		case line == signal, line == signal+" (core dumped)":
			return true
		case inScript:
			fields := strings.Fields(after)
			if len(fields) > 2 && strings.HasSuffix(fields[0], ":") && number(fields[1]) &&
				strings.HasPrefix(strings.Join(fields[2:], " "), signal) {
				return true
			}
		}
	}
	return false
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Package git runs the git command.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ErrNotInstalled says that there is no git command.
var ErrNotInstalled = errors.New("the git command was not found: install git")

// An Error is what git said when it failed.
type Error struct {
	Args []string
	Said string // its standard error
	Err  error  // how it ended
}

func (e *Error) Error() string {
	said := strings.TrimSpace(e.Said)
	if said == "" {
		said = e.Err.Error()
	}
	return fmt.Sprintf("git %s: %s", strings.Join(e.Args, " "), said)
}

func (e *Error) Unwrap() error { return e.Err }

// NoRepository reports whether it failed because the folder is in no repository.
func (e *Error) NoRepository() bool { return strings.Contains(e.Said, "not a git repository") }

// Run runs git in a folder, "" being the current one, and returns what it prints, without the
// end of its last line. Paths are printed as they are, messages are in English, git asks for
// nothing and takes no lock that it can do without; else its configuration is the user's. An error
// is ErrNotInstalled, an [*Error] or that of the context.
func Run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager", "-c", "core.quotepath=off",
		"-c", "log.showSignature=false"}, args...)...)
	var out, said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	err := cmd.Run()
	switch {
	case err == nil:
		return strings.TrimSuffix(out.String(), "\n"), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return "", ErrNotInstalled
	}
	return "", &Error{args, said.String(), err}
}

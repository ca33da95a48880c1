package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"loadstone/internal/git"
)

// A source is what a release is made of.
type source struct {
	version string    // as in v1.2.3
	root    string    // the repository's folder
	module  string    // the main module's path
	commit  string    // 40 hexadecimal digits
	changed bool      // files differ from the commit
	time    time.Time // of every file in the archives: the commit's, or SOURCE_DATE_EPOCH
}

// readSource checks that a release of this version can be made of the repository in which the
// current folder lies. It refuses files that differ from the commit, unless changed allows them.
func readSource(ctx context.Context, version string, changed bool) (*source, error) {
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return nil, &usageError{fmt.Sprintf("%q is not a version; want one like v1.2.3 or v1.2.3-rc.1",
			version)}
	}
	s := &source{version: version}
	var err error
	if s.root, err = git.Run(ctx, "", "rev-parse", "--show-toplevel"); err != nil {
		return nil, fmt.Errorf("a release is made of a git commit: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(s.root, "go.mod"))
	if err != nil {
		return nil, err
	}
	if s.module = modfile.ModulePath(mod); s.module == "" {
		return nil, fmt.Errorf("%s/go.mod names no module", s.root)
	}
	if s.commit, err = git.Run(ctx, s.root, "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	files, err := git.Run(ctx, s.root, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if s.changed = files != ""; s.changed && !changed {
		return nil, fmt.Errorf("files differ from commit %.12s; commit or remove them, "+
			"or say -changed:\n%s", s.commit, files)
	}
	s.time, err = s.sourceTime(ctx)
	return s, err
}

// sourceTime returns $SOURCE_DATE_EPOCH, or when the commit was made.
func (s *source) sourceTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = git.Run(ctx, s.root, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sec < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s is not a number of seconds", text)
	}
	return time.Unix(sec, 0).UTC(), nil
}

// revision is the commit as the program states it.
func (s *source) revision() string {
	if s.changed {
		return s.commit[:12] + "+changes"
	}
	return s.commit[:12]
}

// output runs a program in a folder and returns what it prints, without the last line's end.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	return outputWith(ctx, dir, nil, name, args...)
}

// outputWith is output with further variables of the environment.
func outputWith(ctx context.Context, dir string, env []string, name string, args ...string) (string,
	error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return "", commandError(cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// commandError adds what a program said on standard error.
func commandError(cmd *exec.Cmd, err error) error {
	what := strings.Join(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...), " ")
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%s: %w: %s", what, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return fmt.Errorf("%s: %w", what, err)
}

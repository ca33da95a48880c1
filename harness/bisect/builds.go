package bisect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"loadstone/harness/verify"
	"loadstone/internal/git"
)

// Builds are the builds of a repository's commits, each in a git worktree of its own in a folder.
type Builds struct {
	Repository string // its folder
	Dir        string // for worktrees and programs; the caller's to remove
	Commits    []Commit

	// Command is run by sh in the worktree, and leaves the program at the path that the environment
	// variable OUT names.
	Command string
	Timeout time.Duration // of one build; 0: half an hour
}

// Program is where the program of a commit is.
func (b *Builds) Program(commit int) string {
	return filepath.Join(b.worktree(commit)+".built", "program")
}

func (b *Builds) worktree(commit int) string {
	return filepath.Join(b.Dir, b.Commits[commit].Short())
}

// Folder is where a commit is checked out.
func (b *Builds) Folder(commit int) string { return b.worktree(commit) }

// Build checks a commit out and builds it. The text that it returns is the hash of the program. A
// build that fails is a [*SkipError] with the end of what the command wrote, all of which is in the
// file build.log beside the program.
func (b *Builds) Build(ctx context.Context, commit int) (program string, err error) {
	tree, out := b.worktree(commit), b.Program(commit)
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return "", err
	}
	if _, err := git.Run(ctx, b.Repository, "worktree", "add", "--detach", "--force", "--quiet", tree,
		b.Commits[commit].Hash); err != nil {
		return "", err
	}
	log, err := os.OpenFile(filepath.Join(filepath.Dir(out), "build.log"),
		os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	end := &tail{}
	if err := b.run(ctx, tree, out, io.MultiWriter(log, end)); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &SkipError{commit, fmt.Errorf("it does not build: %w%s", err, end.text())}
	}
	sum, err := verify.SumFile(out)
	if errors.Is(err, os.ErrNotExist) {
		return "", &SkipError{commit, errors.New("the build command left no program at $OUT")}
	}
	return sum.SHA256, err
}

func (b *Builds) run(ctx context.Context, tree, out string, log io.Writer) error {
	limit := b.Timeout
	if limit == 0 {
		limit = 30 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", b.Command)
	cmd.Dir, cmd.Stdout, cmd.Stderr = tree, log, log
	cmd.Env = append(os.Environ(), "OUT="+out)
	// A build that has to end ends with all that it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Remove removes the worktrees from the repository, and Dir.
func (b *Builds) Remove() error {
	err := os.RemoveAll(b.Dir)
	_, prune := git.Run(context.Background(), b.Repository, "worktree", "prune")
	return errors.Join(err, prune)
}

// tail keeps the end of what is written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	const kept = 4 << 10
	t.Buffer.Write(p)
	if over := t.Len() - kept; over > 0 {
		t.Next(over)
	}
	return len(p), nil
}

// text is the last line that says something, after a colon.
func (t *tail) text() string {
	lines := strings.Split(strings.TrimSpace(t.String()), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}

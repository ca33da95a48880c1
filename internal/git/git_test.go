package git_test

import (
	"context"
	"errors"
	"testing"

	"loadstone/internal/git"
	"loadstone/internal/git/gittest"
)

// What git prints is its text as it is, and what it says on failure is in the error.
func TestRun(t *testing.T) {
	r := gittest.New(t)
	hash := r.Commit("first", "größe.txt", "1\n")
	if out, err := git.Run(t.Context(), r.Dir, "ls-files"); err != nil || out != "größe.txt" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := git.Run(t.Context(), r.Dir, "rev-parse", "HEAD"); err != nil || out != hash {
		t.Errorf("%q, %v; want %s", out, err, hash)
	}
	var failed *git.Error
	_, err := git.Run(t.Context(), r.Dir, "rev-parse", "--verify", "no-such-tag")
	if !errors.As(err, &failed) || failed.NoRepository() ||
		err.Error() != "git rev-parse --verify no-such-tag: fatal: Needed a single revision" {
		t.Error(err)
	}
	_, err = git.Run(t.Context(), t.TempDir(), "status")
	if !errors.As(err, &failed) || !failed.NoRepository() {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := git.Run(ended, r.Dir, "status"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := git.Run(t.Context(), r.Dir, "status"); !errors.Is(err, git.ErrNotInstalled) {
		t.Error(err)
	}
}

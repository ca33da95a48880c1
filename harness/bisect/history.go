package bisect

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A Commit is one of a git repository.
type Commit struct {
	Hash, Subject string
}

// Short is the hash as people write it.
func (c Commit) Short() string { return c.Hash[:min(len(c.Hash), 10)] }

// A RevisionError says that two revisions have no history between them that can be searched.
type RevisionError struct{ Why string }

func (e *RevisionError) Error() string { return e.Why }

// History lists the commits of a repository from good to bad, both included, along first parents: a
// merge is one commit, which brings in all that it merges.
func History(ctx context.Context, dir, good, bad string) ([]Commit, error) {
	var ends [2]string
	for i, rev := range []string{good, bad} {
		hash, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options",
			rev+"^{commit}")
		if err != nil {
			return nil, &RevisionError{fmt.Sprintf("%q is no commit of the repository at %s", rev, dir)}
		}
		ends[i] = strings.TrimSpace(hash)
	}
	if ends[0] == ends[1] {
		return nil, &RevisionError{fmt.Sprintf("%s and %s are one commit", good, bad)}
	}
	if _, err := git(ctx, dir, "merge-base", "--is-ancestor", ends[0], ends[1]); err != nil {
		why := fmt.Sprintf("%s is no ancestor of %s", good, bad)
		if base, err := git(ctx, dir, "merge-base", ends[0], ends[1]); err == nil {
			why += fmt.Sprintf("; both come from %.10s, which may be the good commit", base)
		}
		return nil, &RevisionError{why}
	}
	const format = "--format=%H%x09%s"
	first, err := git(ctx, dir, "show", "--no-patch", format, ends[0])
	if err != nil {
		return nil, err
	}
	rest, err := git(ctx, dir, "rev-list", "--first-parent", "--reverse", "--no-commit-header", format,
		ends[0]+".."+ends[1])
	if err != nil {
		return nil, err
	}
	var commits []Commit
	for line := range strings.Lines(first + rest) {
		hash, subject, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			hash = strings.TrimSpace(line)
		}
		if hash != "" {
			commits = append(commits, Commit{hash, subject})
		}
	}
	return commits, nil
}

// git runs git and returns what it prints. Its configuration is the user's, but nothing asks.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
